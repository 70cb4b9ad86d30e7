"""What is sold: products, orders, subscriptions, usage."""
