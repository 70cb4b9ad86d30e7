"""The base classes of every record: identity, timestamps, audit, organization root, soft deletion."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from core.constraints import OrganizationKey, column_of
from core.ids import DatabaseUUID7, uuid7
from core.lifecycle import Lifecycle
from core.triggers import Audit, Immutable, SharedTrigger, Touch, Transitions


class RecordQuerySet(models.QuerySet):
    """Reads that every record has."""

    def for_organization(self, organization: Any) -> Self:
        """Return only the rows that belong to ``organization`` (an Organization or its id)."""
        return self.filter(**{self.model.organization_path: organization})  # type: ignore[attr-defined]


class Record(models.Model):
    """A row with a time-ordered id and true timestamps.

    ``organization_path`` is the lookup that leads to the organization a row belongs to; every queryset that
    serves a request begins with it. ``lifecycle``, where a model has one, draws its status moves.
    """

    organization_path: ClassVar[str] = "organization"
    lifecycle: ClassVar[Lifecycle | None] = None

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=DatabaseUUID7(), editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar = RecordQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["-created_at", "-id"]

    @classmethod
    def inherited_triggers(cls) -> list[SharedTrigger]:
        """Return the triggers that follow from the base classes and the lifecycle."""
        generated = [field.attname for field in cls._meta.local_fields if field.generated]
        triggers: list[SharedTrigger] = [Touch(counts=issubclass(cls, Audited), generated=generated)]
        if cls.lifecycle:
            triggers.append(Transitions(column_of(cls, cls.lifecycle.field), cls.lifecycle.pairs()))
        return triggers

    @classmethod
    def resource(cls) -> str:
        """Return the record's name in event types and scopes: ``task_run`` for TaskRun."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()


class Audited(models.Model):
    """Every insert, change and deletion of a row is an AuditEvent, whoever writes it, and each change is counted.

    ``audit_redact`` names the columns whose values are secret, ``audit_ignore`` those whose change alone
    isn't worth an event.
    """

    audit_organization_column: ClassVar[str | None] = "organization_id"
    audit_redact: ClassVar[Iterable[str]] = ()
    audit_ignore: ClassVar[Iterable[str]] = ()

    row_version = models.PositiveBigIntegerField(
        default=1,
        db_default=1,
        editable=False,
        help_text="Counts the row's changes; the database increments it. Entity tags are made of it.",
    )

    class Meta:
        abstract = True

    @classmethod
    def inherited_triggers(cls) -> list[SharedTrigger]:
        """Return the triggers of the other base classes, and the audit trigger."""
        lifecycle: Lifecycle | None = getattr(cls, "lifecycle", None)
        status = {"status": column_of(cls, lifecycle.field), "verbs": lifecycle.verbs()} if lifecycle else {}
        audit = Audit(
            cls.resource(),  # type: ignore[attr-defined]
            organization=cls.audit_organization_column,
            redact=cls.audit_redact,
            ignore=cls.audit_ignore,
            **status,  # type: ignore[arg-type]
        )
        return [*super().inherited_triggers(), audit]  # type: ignore[misc]


class OrganizationLog(Record):
    """A record that belongs to one organization, for good, and is itself a log: its changes are not audited.

    A model with constraints of its own starts them with ``*OrganizationRecord.Meta.constraints``.
    """

    organization = models.ForeignKey(
        "core.Organization", on_delete=models.PROTECT, related_name="+", editable=False, db_index=False
    )

    class Meta(Record.Meta):
        abstract = True
        constraints = [OrganizationKey(name="%(app_label)s_%(class)s_in_organization")]
        indexes = [models.Index(fields=["organization", "created_at", "id"], name="%(app_label)s_%(class)s_newest")]

    @classmethod
    def inherited_triggers(cls) -> list[SharedTrigger]:
        """Return the triggers of the base classes, and the one that keeps a row in its organization."""
        return [*super().inherited_triggers(), Immutable("organization_id", name="organization")]


class OrganizationRecord(Audited, OrganizationLog):
    """A record that belongs to one organization, for good, and whose every change is an audit event."""

    class Meta(OrganizationLog.Meta):
        abstract = True


class SoftDeletionQuerySet(RecordQuerySet):
    """Reads of records that can be deleted softly."""

    def alive(self) -> Self:
        """Return the rows that aren't deleted."""
        return self.filter(deleted_at=None)

    def deleted(self) -> Self:
        """Return the rows that are deleted and can be restored."""
        return self.exclude(deleted_at=None)

    def soft_delete(self) -> int:
        """Mark the rows as deleted, and return how many were."""
        return self.alive().update(deleted_at=Now())

    def restore(self) -> int:
        """Bring the rows back, and return how many came.

        Raises IntegrityError when a unique name was taken meanwhile.
        """
        return self.deleted().update(deleted_at=None)


class SoftDeletion(models.Model):
    """A record that is gone from the API once deleted, and restorable in the admin until it is purged.

    Its unique constraints carry ``condition=Q(deleted_at=None)``, so that its names are free again.
    """

    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar = SoftDeletionQuerySet.as_manager()

    class Meta:
        abstract = True

    @property
    def is_deleted(self) -> bool:
        """Tell whether the row is deleted."""
        deleted_at: datetime | None = self.deleted_at
        return deleted_at is not None
