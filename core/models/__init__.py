"""core's records."""

from core.models.api_keys import APIKey, Scope
from core.models.audit import AuditEvent
from core.models.base import (
    Audited,
    OrganizationLog,
    OrganizationRecord,
    Record,
    RecordQuerySet,
    SoftDeletion,
    SoftDeletionQuerySet,
)
from core.models.idempotency import IdempotencyKey
from core.models.identity import Membership, Organization, PlanTier, Role, User
from core.models.integrations import Integration, IntegrationEvent, IntegrationEventStatus, IntegrationStatus
from core.models.webhooks import DeliveryStatus, PauseReason, Webhook, WebhookDelivery

__all__ = [
    "APIKey",
    "AuditEvent",
    "Audited",
    "DeliveryStatus",
    "IdempotencyKey",
    "Integration",
    "IntegrationEvent",
    "IntegrationEventStatus",
    "IntegrationStatus",
    "Membership",
    "Organization",
    "OrganizationLog",
    "OrganizationRecord",
    "PauseReason",
    "PlanTier",
    "Record",
    "RecordQuerySet",
    "Role",
    "Scope",
    "SoftDeletion",
    "SoftDeletionQuerySet",
    "User",
    "Webhook",
    "WebhookDelivery",
]
