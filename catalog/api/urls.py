"""Addresses of catalog's records under ``/api/v1/``."""

from catalog.api import billing_views, views
from core.api.routers import RecordRouter

router = RecordRouter()
router.register("products", views.ProductViewSet)
router.register("orders", views.OrderViewSet)
router.register("order-lines", views.OrderLineViewSet)
router.register("subscriptions", billing_views.SubscriptionViewSet)
router.register("usage-records", billing_views.UsageRecordViewSet)
