"""Spans into storage, whatever the database says of some of them, and whoever is in the way."""

from collections.abc import Sequence
from uuid import UUID

from django.db import DatabaseError, DataError, IntegrityError, OperationalError

from agents.telemetry import agents, storage
from agents.telemetry.spans import Mapped, Span

ATTEMPTS = 3
# What another transaction did to ours, and won't do again: a deadlock, a failed serialization.
PASSING = {"40P01", "40001"}


def take(organization_id: UUID, mapped: Mapped) -> None:
    """Store the spans; those that the database refuses are told as rejected, and cost no other."""
    try:
        _store(organization_id, mapped.spans)
    except (DataError, IntegrityError):
        agents.forget(organization_id)  # one of them may have gone meanwhile
        _store_by_halves(organization_id, mapped, mapped.spans)


def _store(organization_id: UUID, spans: Sequence[Span]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            storage.store(organization_id, spans)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in PASSING or attempt == ATTEMPTS:
                raise
        else:
            return


def _store_by_halves(organization_id: UUID, mapped: Mapped, spans: Sequence[Span]) -> None:
    try:
        _store(organization_id, spans)
    except (DataError, IntegrityError) as error:
        if len(spans) == 1:
            _reject(mapped, spans[0], error)
            return
        half = len(spans) // 2
        _store_by_halves(organization_id, mapped, spans[:half])
        _store_by_halves(organization_id, mapped, spans[half:])


def _reject(mapped: Mapped, span: Span, error: DatabaseError) -> None:
    mapped.rejected += 1
    told = getattr(error.__cause__, "diag", None)
    reason = (told and told.message_primary) or "the database refused it"
    mapped.reasons.append(f"span {span.span_id.hex()} of trace {span.trace_id.hex()}: {reason}")
