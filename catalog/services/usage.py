"""Usage: recorded once, however often it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from catalog.models import Subscription, UsageRecord
from core.errors import ConflictError


@dataclass(frozen=True)
class UsageEntry:
    """What was consumed. Without ``recorded_at`` it was now. ``idempotency_key`` makes sending it again harmless."""

    metric: str
    quantity: Decimal
    unit: str
    recorded_at: datetime | None = None
    subscription_id: UUID | None = None
    source: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True)
class Recorded:
    """A usage record as it is stored, and whether it is new."""

    record: UsageRecord
    is_new: bool


COMPARED = ("metric", "quantity", "unit", "recorded_at", "subscription_id", "source")


@transaction.atomic
def record_usage(*, organization_id: UUID, entries: Sequence[UsageEntry]) -> list[Recorded]:
    """Store all entries, or none, and return the records in the entries' order.

    An entry whose idempotency key is known gives the record that was stored first. Raises ConflictError, code
    ``idempotency_conflict``, when that one differs, and ValidationError, both by the entry's position.
    """
    _check_subscriptions(organization_id, entries)
    now = timezone.now()
    records = [
        UsageRecord(
            organization_id=organization_id,
            subscription_id=entry.subscription_id,
            metric=entry.metric,
            quantity=entry.quantity,
            unit=entry.unit,
            recorded_at=entry.recorded_at or now,
            source=entry.source,
            idempotency_key=entry.idempotency_key,
        )
        for entry in entries
    ]
    # Waits for others who are storing the same keys just now, and then leaves theirs.
    UsageRecord.objects.bulk_create(records, ignore_conflicts=True)
    keys = {entry.idempotency_key for entry in entries if entry.idempotency_key}
    stored = {
        record.idempotency_key: record
        for record in UsageRecord.objects.for_organization(organization_id).filter(idempotency_key__in=keys)
    }
    results = []
    for position, (entry, record) in enumerate(zip(entries, records, strict=True)):
        first = stored[entry.idempotency_key] if entry.idempotency_key else record
        if first.pk != record.pk:
            _check_same(entry, first, position)
        results.append(Recorded(first, is_new=first.pk == record.pk))
    return results


def _check_subscriptions(organization_id: UUID, entries: Sequence[UsageEntry]) -> None:
    named = {entry.subscription_id for entry in entries if entry.subscription_id}
    known = set(
        Subscription.objects.for_organization(organization_id).filter(pk__in=named).values_list("pk", flat=True)
    )
    if errors := {
        f"{position}.subscription": ValidationError("There is no such subscription.", "does_not_exist")
        for position, entry in enumerate(entries)
        if entry.subscription_id and entry.subscription_id not in known
    }:
        raise ValidationError(errors)


def _check_same(entry: UsageEntry, stored: UsageRecord, position: int) -> None:
    for name in COMPARED:
        sent = getattr(entry, name)
        if name == "recorded_at" and sent is None:
            continue
        if sent != getattr(stored, name):
            raise ConflictError(
                f"Entry {position}: the idempotency key “{entry.idempotency_key}” belongs to a record with another "
                f"“{name.removesuffix('_id')}”.",
                code="idempotency_conflict",
                field=f"{position}.idempotency_key",
            )
