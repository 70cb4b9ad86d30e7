"""Webhooks: who is told of events, and what came of each telling."""

import base64
import secrets
from datetime import timedelta
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Cast, Now
from django.db.models.lookups import Regex
from django.utils import timezone

from core.constraints import EVENT_PATTERN, SameOrganization, between, one_of
from core.encryption import SecretField, encrypted, reveal
from core.lifecycle import Lifecycle, Transition
from core.models.audit import AuditEvent
from core.models.base import OrganizationLog, OrganizationRecord, RecordQuerySet
from core.outbound import MAX_URL_LENGTH, validate_url

SECRET_BYTES = 32
ROTATION = timedelta(days=1)
MOST_PATTERNS = 50
# In ASCII, as requests hold it (RFC 3986); a host of other letters is written in its “xn--” form.
URL = r"^https?://([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?#][!-~]*)?$"


class PauseReason(models.TextChoices):
    """Why a webhook was switched off by itself."""

    NONE = "", "-"
    FAILING = "failing", "It failed for five days"
    GONE = "gone", "Its receiver said that it is gone (410)"


def new_secret() -> str:
    """Return a new secret to sign with, as the Standard Webhooks specification writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


class Webhook(OrganizationRecord):
    """An address that is told of the organization's events, as the Standard Webhooks specification says.

    ``event_types`` are event types or patterns: ``task.complete``, ``task.*``, ``*``. The secret is shown once; after
    a rotation the previous one signs too, for a day.
    """

    audit_redact = ("secret", "previous_secret")
    audit_ignore = ("failing_since",)

    url = models.CharField("URL", max_length=MAX_URL_LENGTH, validators=[validate_url])
    description = models.CharField(max_length=200, blank=True)
    event_types = ArrayField(models.CharField(max_length=100))
    secret = SecretField(default=new_secret, editable=False)
    previous_secret = SecretField(blank=True, editable=False)
    previous_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    is_active = models.BooleanField(default=True)
    pause_reason = models.CharField(
        max_length=10, choices=PauseReason, default=PauseReason.NONE, blank=True, editable=False
    )
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            models.CheckConstraint(
                name="core_webhook_url_shape",
                condition=models.Q(url__regex=URL),
                violation_error_message="“url” must begin with https:// and name a host, without user and password.",
            ),
            models.CheckConstraint(
                name="core_webhook_event_types_shape",
                condition=Regex(
                    Cast(
                        models.Func(models.F("event_types"), function="array_to_json", output_field=models.JSONField()),
                        models.TextField(),
                    ),
                    rf'^\["{EVENT_PATTERN}"(,"{EVENT_PATTERN}"){{0,{MOST_PATTERNS - 1}}}\]$',
                ),
                violation_error_message="“event_types” takes 1 to 50 of these: task.complete, task.*, or *.",
            ),
            one_of("pause_reason", PauseReason, name="core_webhook_pause_reason"),
            models.CheckConstraint(
                name="core_webhook_paused",
                condition=models.Q(pause_reason="") | models.Q(is_active=False),
                violation_error_message="A webhook that was paused isn't active.",
            ),
            models.CheckConstraint(
                name="core_webhook_secret_given",
                condition=~models.Q(secret=""),
                violation_error_message="“secret” can't be empty.",
            ),
            encrypted("secret", name="core_webhook_secret_encrypted"),
            encrypted("previous_secret", name="core_webhook_previous_secret_encrypted"),
        ]

    def __str__(self) -> str:
        return self.url

    def signing_secrets(self) -> list[str]:
        """Return the secrets that sign now, the newest first. Raises UnreadableSecretError when a key is lost."""
        previous_holds = self.previous_secret_until is not None and self.previous_secret_until > timezone.now()
        return [reveal(self.secret), *([reveal(self.previous_secret)] if previous_holds else [])]


class DeliveryStatus(models.TextChoices):
    """Where a delivery stands."""

    PENDING = "pending", "Pending"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class WebhookDeliveryQuerySet(RecordQuerySet):
    """Reads of deliveries."""

    def overdue(self) -> Self:
        """Return those that could be tried now: no earlier one of the same object waits before them."""
        earlier = WebhookDelivery.objects.filter(
            webhook=models.OuterRef("webhook"),
            resource_id=models.OuterRef("resource_id"),
            status=DeliveryStatus.PENDING,
            pk__lt=models.OuterRef("pk"),
        )
        due = self.filter(status=DeliveryStatus.PENDING, next_attempt_at__lte=Now(), webhook__is_active=True)
        return due.filter(~models.Exists(earlier))


class WebhookDelivery(OrganizationLog):
    """One event on its way to one webhook.

    A trigger of the event stream writes it, in the transaction of the change. ``attempts`` are the tries so far:
    ``at``, ``status`` (the HTTP code, or null), ``milliseconds``, ``error``, ``excerpt`` of the answer.
    """

    lifecycle = Lifecycle(
        Transition("deliver", {"pending"}, "delivered", stamp="delivered_at"),
        Transition("fail", {"pending"}, "failed"),
        Transition("redeliver", {"delivered", "failed"}, "pending"),
    )

    webhook = models.ForeignKey(
        Webhook, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="deliveries"
    )
    event = models.ForeignKey(
        AuditEvent, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+", help_text="What happened."
    )
    event_type = models.CharField(max_length=100)
    resource_id = models.UUIDField(null=True, help_text="What it happened to; of each, events are told in order.")
    status = models.CharField(max_length=10, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    attempt_count = models.PositiveSmallIntegerField(default=0, help_text="Tries since it was last asked for.")
    next_attempt_at = models.DateTimeField(null=True, db_default=Now())
    delivered_at = models.DateTimeField(null=True, blank=True)
    response_code = models.PositiveSmallIntegerField(null=True, help_text="Of the last try.")
    response_excerpt = models.TextField(blank=True, db_default="", help_text="Of the last try.")
    duration_ms = models.PositiveIntegerField(null=True, help_text="Of the last try, in milliseconds.")
    attempts = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    body = models.TextField(blank=True, db_default="", help_text="What is sent; made at the first try.")

    objects: ClassVar = WebhookDeliveryQuerySet.as_manager()

    class Meta(OrganizationLog.Meta):
        verbose_name_plural = "webhook deliveries"
        constraints = [
            *OrganizationLog.Meta.constraints,
            SameOrganization("webhook", name="core_webhookdelivery_same_organization"),
            one_of("status", DeliveryStatus, name="core_webhookdelivery_status"),
            between("response_code", 100, 999, name="core_webhookdelivery_code_range"),
            models.UniqueConstraint(
                fields=["webhook", "event"],
                name="core_webhookdelivery_once",
                violation_error_message="The event is delivered to this webhook already.",
            ),
            models.CheckConstraint(
                name="core_webhookdelivery_when_due",
                condition=models.Q(status="pending", next_attempt_at__isnull=False)
                | models.Q(~models.Q(status="pending"), next_attempt_at__isnull=True),
                violation_error_message="A delivery has a next attempt if and only if it is pending.",
            ),
            models.CheckConstraint(
                name="core_webhookdelivery_delivered",
                condition=~models.Q(status="delivered") | models.Q(delivered_at__isnull=False),
                violation_error_message="A delivered event has a time of delivery.",
            ),
        ]
        indexes = [
            *OrganizationLog.Meta.indexes,
            # What is due at one webhook, and what of one object waits before it.
            models.Index(
                fields=["webhook", "next_attempt_at", "id"],
                name="core_webhookdelivery_next",
                condition=models.Q(status="pending"),
            ),
            models.Index(
                fields=["webhook", "resource_id", "id"],
                name="core_webhookdelivery_order",
                condition=models.Q(status="pending"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} ({self.status})"
