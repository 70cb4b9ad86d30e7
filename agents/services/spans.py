"""What executions, model calls and tool executions have in common when clients write them: their times."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.models.spans import ENDED_SPAN, SpanStatus

DISAGREEMENT = 0.001  # seconds by which a given duration may differ from the given times


class TimesError(ValueError):
    """The times that were given exclude each other; ``field`` is the one to blame."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Times:
    """How a span stands, and when it started and ended."""

    status: str
    started_at: datetime | None
    completed_at: datetime | None


def settle(
    *,
    status: str | None,
    started_at: datetime | None,
    completed_at: datetime | None,
    duration: float | None,
    now: datetime,
) -> Times:
    """Return the times of a span, of which a client gives some.

    Without a status, what has ended was completed, and the rest is pending. What isn't pending has started: now,
    unless its end and duration say when. What has ended did so now, unless its start and duration say when.
    ``duration`` is in seconds. Raises TimesError where the times given exclude each other.
    """
    if status is None:
        ended = completed_at is not None or duration is not None
        status = SpanStatus.COMPLETED if ended else SpanStatus.PENDING
    if status not in ENDED_SPAN:
        if completed_at is not None or duration is not None:
            raise TimesError(f"What is {status} hasn't ended.", "completed_at" if completed_at else "duration")
        return Times(status, now if started_at is None and status != SpanStatus.PENDING else started_at, None)
    length = timedelta(seconds=duration or 0)
    try:
        if started_at is None:
            completed_at = completed_at or now
            started_at = completed_at - length
        elif completed_at is None:
            completed_at = max(now, started_at) if duration is None else started_at + length
    except OverflowError as error:
        raise TimesError("That is before or after all times.", "duration") from error
    if completed_at < started_at:
        raise TimesError("“completed_at” can't come before “started_at”.", "completed_at")
    if duration is not None and abs((completed_at - started_at - length).total_seconds()) > DISAGREEMENT:
        raise TimesError("“duration” isn't the time from “started_at” to “completed_at”.", "duration")
    return Times(status, started_at, completed_at)
