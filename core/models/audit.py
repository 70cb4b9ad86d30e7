"""The event stream: what happened, to what, by whom."""

from typing import Any, ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Func

from core.ids import DatabaseUUID7, uuid7
from core.models.base import RecordQuerySet
from core.models.identity import Organization, User
from core.triggers import AppendOnly, Deliver, Notify, NoTruncate


class ClockTimestamp(Func):
    """The time by the database's clock, inside a transaction too."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


class AuditEventQuerySet(RecordQuerySet):
    """Reads of the event stream."""

    def about(self, instance: models.Model) -> Self:
        """Return the events of one record, newest first."""
        return self.filter(
            resource_type=instance.resource(),  # type: ignore[attr-defined]
            resource_id=instance.pk,
        ).order_by("-timestamp", "-id")


class AuditEvent(models.Model):
    """One thing that happened: a row written, a login that failed, a request refused.

    The trigger of ``Audited`` models writes the events of rows, in the transaction of the change. Rows are
    only ever added, so there is no ``updated_at``, and ``timestamp`` says when. The references carry no database
    constraint: an event outlives what it tells of.
    """

    organization_path = "organization"

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=DatabaseUUID7(), editable=False)
    timestamp = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    event_type = models.CharField(max_length=100, help_text="The resource and what happened to it: order.pay")
    resource_type = models.CharField(max_length=60)
    resource_id = models.UUIDField(null=True)
    organization = models.ForeignKey(
        Organization,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        help_text="None: the event concerns no organization, or none that is known.",
    )
    user = models.ForeignKey(
        User, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="+"
    )
    user_email = models.CharField(max_length=254, blank=True, db_default="", help_text="The email as it was.")
    api_key = models.ForeignKey(
        "core.APIKey", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="+"
    )
    request_id = models.CharField(max_length=100, blank=True, db_default="")
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=400, blank=True, db_default="")
    details = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    old_value = models.JSONField(null=True)
    new_value = models.JSONField(null=True)
    success = models.BooleanField(db_default=True)
    error_message = models.TextField(blank=True, db_default="")

    objects: ClassVar = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-timestamp", "-id"]
        constraints = [
            models.CheckConstraint(
                name="core_auditevent_type_shape",
                condition=models.Q(event_type__regex=r"^[a-z0-9_]+\.[a-z0-9_]+$"),
                violation_error_message="“event_type” reads resource.verb.",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "timestamp", "id"], name="core_auditevent_newest"),
            models.Index(fields=["timestamp", "id"], name="core_auditevent_all_newest"),
            models.Index(fields=["organization", "event_type", "timestamp", "id"], name="core_auditevent_type"),
            models.Index(fields=["resource_id", "timestamp", "id"], name="core_auditevent_resource"),
            models.Index(fields=["user", "timestamp", "id"], name="core_auditevent_user"),
            models.Index(
                fields=["api_key", "timestamp", "id"],
                name="core_auditevent_api_key",
                condition=models.Q(api_key__isnull=False),
            ),
            GinIndex(fields=["details"], name="core_auditevent_details", opclasses=["jsonb_path_ops"]),
        ]
        triggers = [AppendOnly(), NoTruncate(), Deliver(), Notify()]

    def __str__(self) -> str:
        return f"{self.event_type} {self.resource_id or ''}".strip()

    @classmethod
    def resource(cls) -> str:
        """Return the record's name in scopes and event types."""
        return "audit_event"

    def changes(self) -> list[tuple[str, Any, Any]]:
        """Return what changed, as (field, old, new)."""
        old, new = self.old_value or {}, self.new_value or {}
        return [(field, old.get(field), new.get(field)) for field in sorted(old.keys() | new.keys())]
