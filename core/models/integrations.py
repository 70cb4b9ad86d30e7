"""Integrations: other companies' services that an organization works with, and what those tell us."""

import re

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from core.constraints import SameOrganization, given, json_object, one_of
from core.encryption import SecretField, encrypted, is_token
from core.integrations import providers
from core.integrations.providers import RECEIVES, Provider
from core.lifecycle import Lifecycle, Transition
from core.models.base import OrganizationLog, OrganizationRecord
from core.triggers import Immutable, SharedTrigger, pgtrigger

TOKEN = re.compile(r"[\x21-\x7e]{1,1000}")
WEBHOOK_SECRET = re.compile(r"[\x21-\x7e]{16,200}")


class IntegrationStatus(models.TextChoices):
    """Whether an integration works, as far as it is known."""

    UNCHECKED = "unchecked", "Not checked yet"
    WORKING = "working", "Working"
    FAILING = "failing", "Failing"
    DISABLED = "disabled", "Disabled"


UNCHECKED, WORKING, FAILING, DISABLED = IntegrationStatus.values


class KeepAddress(SharedTrigger):
    """Lets the address of a service change only together with the token: else a token could be sent anywhere."""

    name = "address"
    operation = pgtrigger.Update
    function = "muster_integration_address"


class Integration(OrganizationRecord):
    """Another company's service, by which settings and credentials the organization uses it, and whether it works.

    ``token`` is what we log in with, ``webhook_secret`` what the service signs its messages to us with. Both are
    encrypted; nothing shows them again.
    """

    audit_redact = ("token", "webhook_secret")
    audit_ignore = ("last_checked_at", "last_synced_at", "last_error")
    lifecycle = Lifecycle(
        Transition("confirm", {UNCHECKED, FAILING}, WORKING),
        Transition("fail", {UNCHECKED, WORKING}, FAILING),
        Transition("reset", {WORKING, FAILING}, UNCHECKED),
        Transition("disable", {UNCHECKED, WORKING, FAILING}, DISABLED),
        Transition("enable", {DISABLED}, UNCHECKED),
    )

    provider = models.CharField(max_length=10, choices=Provider)
    name = models.CharField(max_length=100)
    config = models.JSONField(default=dict, blank=True)
    token = SecretField(blank=True, default="", db_default="", help_text="What we log in with. It isn't shown again.")
    webhook_secret = SecretField(
        blank=True,
        default="",
        db_default="",
        help_text="What GitHub or Stripe signs its messages with. It isn't shown again.",
    )
    has_token = models.GeneratedField(
        expression=~Q(token=""),  # type: ignore[arg-type]
        output_field=models.BooleanField(),
        db_persist=True,
    )
    has_webhook_secret = models.GeneratedField(
        expression=~Q(webhook_secret=""),  # type: ignore[arg-type]
        output_field=models.BooleanField(),
        db_persist=True,
    )
    status = models.CharField(max_length=10, choices=IntegrationStatus, default=UNCHECKED, editable=False)
    last_checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_synced_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When something last went through: a message, or an event."
    )
    last_error = models.TextField(blank=True, default="", db_default="", editable=False)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            one_of("provider", Provider, name="core_integration_provider"),
            one_of("status", IntegrationStatus, name="core_integration_status"),
            given("name", name="core_integration_name_given"),
            json_object("config", name="core_integration_config_object"),
            *providers.constraints("core_integration"),
            models.UniqueConstraint(
                fields=["organization", "name"],
                name="core_integration_name_unique",
                violation_error_message="“name” belongs to another integration already.",
            ),
            models.CheckConstraint(
                name="core_integration_token_given",
                condition=Q(provider=Provider.CUSTOM.value) | ~Q(token=""),
                violation_error_message="“token” can't be empty.",
            ),
            models.CheckConstraint(
                name="core_integration_webhook_secret_fits",
                condition=Q(provider__in=[str(provider) for provider in RECEIVES]) | Q(webhook_secret=""),
                violation_error_message="“webhook_secret” is for GitHub and Stripe, who send events.",
            ),
            encrypted("token", name="core_integration_token_encrypted"),
            encrypted("webhook_secret", name="core_integration_webhook_secret_encrypted"),
            models.CheckConstraint(
                name="core_integration_why_failing",
                condition=Q(status=DISABLED)
                | (Q(status=FAILING) & ~Q(last_error=""))
                | Q(status__in=[UNCHECKED, WORKING], last_error=""),
                violation_error_message="“last_error” says why an integration fails, and only then.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            # Who is told of an event; every event asks.
            models.Index(
                fields=["organization"],
                name="core_integration_notified",
                condition=Q(provider=Provider.SLACK.value) & ~Q(status=DISABLED),
            ),
        ]
        triggers = [Immutable("provider"), KeepAddress()]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Check what the provider takes. Raises ValidationError, by the names of the fields."""
        super().clean()
        if self.provider not in Provider:
            return  # which the field itself says
        errors: dict[str, list[str]] = {}
        if faults := providers.faults(self.provider, self.config):
            errors["config"] = list(faults.values())
        errors |= self.credential_faults()
        if errors:
            raise ValidationError(errors)

    def credential_faults(self) -> dict[str, list[str]]:
        """Return what is wrong with the credentials, by the names of the fields."""
        errors = {}
        if not self.token and self.provider != Provider.CUSTOM:
            errors["token"] = ["“token” can't be empty."]
        elif self.token and not is_token(self.token) and not TOKEN.fullmatch(self.token):
            errors["token"] = ["“token” takes at most 1,000 visible ASCII characters."]
        if self.webhook_secret and self.provider not in RECEIVES:
            errors["webhook_secret"] = ["“webhook_secret” is for GitHub and Stripe, who send events."]
        elif (
            self.webhook_secret
            and not is_token(self.webhook_secret)
            and not WEBHOOK_SECRET.fullmatch(self.webhook_secret)
        ):
            errors["webhook_secret"] = ["“webhook_secret” takes 16 to 200 visible ASCII characters."]
        return errors


class IntegrationEventStatus(models.TextChoices):
    """What became of an event."""

    PENDING = "pending", "Pending"
    HANDLED = "handled", "Handled"
    IGNORED = "ignored", "Ignored"
    FAILED = "failed", "Failed"


class IntegrationEvent(OrganizationLog):
    """Something that a service told us, signed: kept as it came, and handled by a job, once."""

    lifecycle = Lifecycle(
        Transition("handle", {"pending"}, "handled", stamp="handled_at"),
        Transition("ignore", {"pending"}, "ignored", stamp="handled_at"),
        Transition("fail", {"pending"}, "failed", stamp="handled_at"),
        Transition("retry", {"failed"}, "pending"),
    )

    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="events"
    )
    delivery_id = models.CharField(max_length=200, help_text="The service's own name for it.")
    event_type = models.CharField(max_length=100, help_text="In the service's words: issues.labeled")
    subject = models.CharField(max_length=200, blank=True, help_text="What it is about, by the service's name for it.")
    occurred_at = models.DateTimeField(null=True, blank=True, help_text="When it happened, as the service says.")
    payload = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=IntegrationEventStatus, default=IntegrationEventStatus.PENDING)
    outcome = models.TextField(blank=True, default="", db_default="", help_text="What it led to, or why to nothing.")
    handled_at = models.DateTimeField(null=True, blank=True)

    class Meta(OrganizationLog.Meta):
        constraints = [
            *OrganizationLog.Meta.constraints,
            SameOrganization("integration", name="core_integrationevent_same_organization"),
            one_of("status", IntegrationEventStatus, name="core_integrationevent_status"),
            given("delivery_id", name="core_integrationevent_delivery_given"),
            json_object("payload", name="core_integrationevent_payload_object"),
            models.UniqueConstraint(
                fields=["integration", "delivery_id"],
                name="core_integrationevent_once",
                violation_error_message="This event came already.",
            ),
            models.CheckConstraint(
                name="core_integrationevent_when_handled",
                condition=Q(status="pending", handled_at=None) | (~Q(status="pending") & Q(handled_at__isnull=False)),
                violation_error_message="“handled_at” says when an event was dealt with, and only then.",
            ),
        ]
        indexes = [
            *OrganizationLog.Meta.indexes,
            # Whether something newer about the same was handled already.
            models.Index(fields=["integration", "subject", "occurred_at"], name="core_integrationevent_subject"),
            # What is forgotten next.
            models.Index(fields=["handled_at"], name="core_integrationevent_old", condition=~Q(status="pending")),
        ]
        triggers = [Immutable("integration_id", "delivery_id", "event_type", "payload")]

    def __str__(self) -> str:
        return f"{self.event_type} ({self.status})"
