"""catalog's records."""

from catalog.models.orders import Order, OrderLine, OrderStatus
from catalog.models.products import Product, ProductStatus
from catalog.models.subscriptions import BillingInterval, Subscription, SubscriptionStatus
from catalog.models.usage import UsageRecord

__all__ = [
    "BillingInterval",
    "Order",
    "OrderLine",
    "OrderStatus",
    "Product",
    "ProductStatus",
    "Subscription",
    "SubscriptionStatus",
    "UsageRecord",
]
