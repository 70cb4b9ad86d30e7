"""Spans into storage, whatever the database says of some of them, and whoever is in the way."""

from collections.abc import Sequence
from uuid import UUID

from django.db import DatabaseError, DataError, IntegrityError, OperationalError

from agents.telemetry import agents, storage
from agents.telemetry.faults import UnfitError
from agents.telemetry.spans import Mapped, Span

ATTEMPTS = 3
# What another transaction did to ours, and won't do again: a deadlock, a failed serialization.
PASSING = {"40P01", "40001"}


def take(organization_id: UUID, mapped: Mapped) -> None:
    """Store the spans; those that can't be are told as rejected and taken from ``mapped``, and cost no other."""
    try:
        _store(organization_id, mapped, mapped.spans)
    except (DataError, IntegrityError):
        agents.forget(organization_id)  # one of them may have gone meanwhile
        _store_by_halves(organization_id, mapped, mapped.spans)


def _store(organization_id: UUID, mapped: Mapped, spans: Sequence[Span]) -> None:
    """Store the spans but for those that are unfit, which the database needn't see to be found."""
    while True:
        try:
            _store_in_spite_of_others(organization_id, spans)
        except UnfitError as unfit:
            spans = _without(spans, unfit.faults.spans)
            _reject(mapped, unfit.faults.spans, unfit.faults.told())
        else:
            return


def _store_in_spite_of_others(organization_id: UUID, spans: Sequence[Span]) -> None:
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
        _store(organization_id, mapped, spans)
    except (DataError, IntegrityError) as error:
        if len(spans) == 1:
            _reject(mapped, spans, [_refusal(spans[0], error)])
            return
        left = set(map(id, mapped.spans))
        spans = [span for span in spans if id(span) in left]  # the unfit ones were rejected already
        half = len(spans) // 2
        _store_by_halves(organization_id, mapped, spans[:half])
        _store_by_halves(organization_id, mapped, spans[half:])


def _refusal(span: Span, error: DatabaseError) -> str:
    told = getattr(error.__cause__, "diag", None)
    reason = (told and told.message_primary) or "the database refused it"
    return f"span {span.span_id.hex()} of trace {span.trace_id.hex()}: {reason}"


def _reject(mapped: Mapped, rejected: Sequence[Span], reasons: list[str]) -> None:
    mapped.spans = _without(mapped.spans, rejected)
    mapped.rejected += len(rejected)
    mapped.reasons += reasons


def _without(spans: Sequence[Span], rejected: Sequence[Span]) -> list[Span]:
    """Return the spans but for those, which are the same objects: others may be equal."""
    gone = set(map(id, rejected))
    return [span for span in spans if id(span) not in gone]
