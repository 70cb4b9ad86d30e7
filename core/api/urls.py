"""Addresses of core's records under ``/api/v1/``."""

from core.api import integrations, views, webhooks
from core.api.routers import RecordRouter

router = RecordRouter()
router.register("organizations", views.OrganizationViewSet)
router.register("users", views.UserViewSet)
router.register("memberships", views.MembershipViewSet)
router.register("api-keys", views.APIKeyViewSet)
router.register("audit-events", views.AuditEventViewSet)
router.register("idempotency-keys", views.IdempotencyKeyViewSet)
router.register("integrations", integrations.IntegrationViewSet)
router.register("integration-events", integrations.IntegrationEventViewSet)
router.register("webhooks", webhooks.WebhookViewSet)
router.register("webhook-deliveries", webhooks.WebhookDeliveryViewSet)
