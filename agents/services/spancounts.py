"""Figures of spans by group, counted from the spans themselves: exact, in time proportional to how many there are."""

# ruff: noqa: S608 (the statements are made of the project's own constants)

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

from django.db import connection

from agents.models import SpanKind
from agents.services.workspans import TABLES, WORK, is_of, members_of, spans_of, whole
from agents.sql.rows import AS_SEEN, TOTALS

BY_TIME = ("day", "hour")


def day_of(moment: str) -> str:
    """Return when the day began in which a moment is, of ``days``."""
    return f"(%(days)s::timestamptz[])[width_bucket({moment}, %(days)s::timestamptz[])]"


NAMED: dict[str | None, str] = {
    "agent": "agent_name",
    "model": "model",
    "provider": "provider",
    "tool": "tool",
    "status": "status",
}
# What a span has in common with others of its group, as the sums that the database keeps have it.
VALUES: Mapping[str | None, str] = {
    None: "NULL",
    **NAMED,
    "day": day_of("started_at"),
    "hour": "date_trunc('hour', started_at, 'UTC')",
    **dict.fromkeys(WORK, "work"),
}
OWN = {"model", "provider", "status"}
_IN_TIME = "started_at >= %(start)s AND started_at < %(end)s"
_OVERLAPS = "x.started_at < %(end)s AND x.completed_at >= %(start)s"


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return when a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of spans.

    Attributes:
        organization_id: whose spans.
        kind: which spans count.
        group_by: a key of ``VALUES``.
        start: when the first began.
        end: before when the last began.
        filters: the values that spans have, by keys of ``VALUES`` that aren't times; of work, one at most.
        zone: whose midnights part days.
    """

    organization_id: UUID
    kind: str
    group_by: str | None
    start: datetime
    end: datetime
    filters: Mapping[str, Any]
    zone: tzinfo = UTC

    @property
    def days(self) -> list[datetime]:
        """Return when each of the days in question begins; none where they aren't asked for."""
        if self.group_by != "day":
            return []
        first = self.start.astimezone(self.zone).date()
        last = (self.end - timedelta(microseconds=1)).astimezone(self.zone).date()
        return [midnight(first + timedelta(days=each), self.zone) for each in range((last - first).days + 1)]

    @property
    def told_apart(self) -> set[str]:
        """Return by what spans are told apart, but for when they began."""
        return {name for name in (self.group_by, *self.filters) if name is not None and name not in BY_TIME}

    @property
    def kinds(self) -> list[str]:
        """Return whose consumption is added: executions answer for the model calls among them, each counted once.

        Not where they are told apart by what is each one's own.
        """
        with_calls = self.kind == SpanKind.EXECUTION and self.told_apart.isdisjoint(OWN)
        return [self.kind, SpanKind.MODEL_CALL] if with_calls else [self.kind]


def count_spans(question: Question, percentiles: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each group, with these percentiles of the durations of what has ended; all are exact."""
    group_by, filters = question.group_by, question.filters
    work = next((name for name in WORK if name in filters), None)
    before, spans = _spans(question.kinds, group_by if group_by in WORK else work, work)
    value = VALUES[group_by]
    # Of executions, only agents proper count by agent: what else there is are steps of theirs.
    counts = "kind = %(kind)s" + (" AND agent <> ''" if "agent" in question.told_apart else "")
    conditions = [f"{VALUES[name]} = %({name})s" for name in filters if name not in WORK]
    conditions += [f"{value} <> ''"] if group_by in NAMED else []
    fractions = ", ".join(str(each / 100) for each in percentiles)
    sql = f"""
        {before}
        SELECT {value}, count(*) FILTER (WHERE counts), count(*) FILTER (WHERE counts AND failed),
               count(*) FILTER (WHERE counts AND open), {", ".join(f"sum({name})" for name in TOTALS)},
               percentile_disc(ARRAY[{fractions}]) WITHIN GROUP (ORDER BY duration)
                   FILTER (WHERE counts AND duration IS NOT NULL)
          FROM (SELECT spans.*, {counts} AS counts FROM ({spans}) AS spans
                 WHERE {" AND ".join(conditions) or "true"}) AS counted
         GROUP BY 1"""
    names = ("value", "count", "failures", "open", *TOTALS, "durations")
    values = {"organization": question.organization_id, "kind": question.kind, **filters}
    values |= {"start": question.start, "end": question.end, "days": question.days}
    values |= {"id": filters[work]} if work else {}
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        for row in cursor.fetchall():
            yield whole(dict(zip(names, row, strict=True)))


def _spans(kinds: Iterable[str], value: str | None, work: str | None) -> tuple[str, str]:
    """Return common tables, and the query of the spans that began in the time.

    Args:
        kinds: which spans.
        value: by what work they are told apart: the column ``work``.
        work: of what work they are.
    """
    if value is None:
        rows = [
            AS_SEEN[TABLES[SpanKind(kind)]].format(
                rows=f"{TABLES[SpanKind(kind)]} WHERE organization_id = %(organization)s AND {_IN_TIME}"
            )
            for kind in kinds
        ]
        return "", " UNION ALL ".join(rows)
    if work is None:
        return members_of(value, _OVERLAPS), spans_of(kinds, _IN_TIME)
    return members_of(value, f"{_OVERLAPS} AND {is_of(work)}", is_of(work)), spans_of(kinds, _IN_TIME)
