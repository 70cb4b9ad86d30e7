"""Admin pages of catalog's records."""

from catalog.admin import orders, products, subscriptions, usage  # noqa: F401 (they register themselves)
