"""Costs of stored model calls, computed anew: after genai-prices has learned of a model, or corrected a price."""

from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from agents.models import ModelCall
from agents.prices import UNITS, price_of
from core.models import Organization

BATCH = 1_000  # calls a transaction: bounds how long the organization's writers wait

_UPDATE = """
    UPDATE agents_modelcall AS call SET cost = new.units::numeric / %(unit)s, pricing = new.pricing
      FROM unnest(%(ids)s::uuid[], %(units)s::bigint[], %(pricings)s::text[]) AS new (id, units, pricing)
     WHERE call.id = new.id
       AND (call.cost, call.pricing) IS DISTINCT FROM (new.units::numeric / %(unit)s, new.pricing)
"""


def reprice(*, since: datetime) -> tuple[int, int]:
    """Compute anew what calls cost that began at ``since`` or later; return how many were looked at, and changed.

    In batches, each a transaction; what sums contain the calls moves with them.
    """
    seen = changed = 0
    for organization_id in Organization.objects.order_by("pk").values_list("pk", flat=True):
        last: UUID | None = None
        while True:
            with transaction.atomic():
                calls = _batch(organization_id, since, last)
                changed += _reprice(calls)
            if not calls:
                break
            last = calls[-1].pk
            seen += len(calls)
    return seen, changed


def _batch(organization_id: UUID, since: datetime, last: UUID | None) -> list[ModelCall]:
    """Return the next calls, which nobody changes until the transaction ends."""
    calls = ModelCall.objects.filter(organization_id=organization_id, started_at__gte=since).order_by("pk")
    if last is not None:
        calls = calls.filter(pk__gt=last)
    return list(
        calls.select_for_update(no_key=True).only(
            *("pk", "started_at", "provider", "model", "input_tokens", "output_tokens"),
            *("cached_tokens", "cache_write_tokens", "reasoning_tokens"),
        )[:BATCH]
    )


def _reprice(calls: list[ModelCall]) -> int:
    found = [
        price_of(call, provider=call.provider, model=call.model, when=call.started_at.timestamp())  # type: ignore[union-attr]
        for call in calls
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            _UPDATE,
            {
                "unit": UNITS,
                "ids": [call.pk for call in calls],
                "units": [units for units, _ in found],
                "pricings": [pricing for _, pricing in found],
            },
        )
        return int(cursor.rowcount)
