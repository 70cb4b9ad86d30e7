"""What the program tells of itself while it runs: metrics for Prometheus, and logs that name the request."""
