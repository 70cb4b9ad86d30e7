"""Statistics of executions, model calls and tool executions: counts, tokens, money and durations, by group.

Groups that the database keeps sums for (see SpanStatistic) are read from these: rows of days where whole days are
asked about, and rows of hours at the edges. They are kept in the spans' own transactions, so that they are never
stale. Other questions, by work (squads, projects, tasks) or of two things at once (the models of one agent), are
answered by counting spans, which takes time in proportion to them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import accumulate
from math import ceil
from typing import Any
from uuid import UUID

import orjson

from agents.models import Project, SpanKind, Squad, Task, Width
from agents.services.spancounts import BY_TIME, Question, count_spans, day_of, midnight
from agents.services.workspans import WORK
from agents.sql.statistics import FINEST, RATIO
from core.connections import prepared_cursor

PERCENTILES = (50, 95, 99)
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
SUMS = ("count", "failures", "open", *TOKENS, "cost", "unpriced")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

GROUPS: Mapping[str, tuple[str, ...]] = {
    SpanKind.EXECUTION: ("agent", "model", "provider", "status", *WORK, *BY_TIME),
    SpanKind.MODEL_CALL: ("agent", "model", "provider", "status", *WORK, *BY_TIME),
    SpanKind.TOOL_EXECUTION: ("agent", "tool", "status", *WORK, *BY_TIME),
}


@dataclass
class Group:
    """What is known of one group. ``value`` is a name, a time or an id; None stands for all there is."""

    value: Any
    count: int = 0
    failures: int = 0
    open: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    durations: Mapping[int, float | None] = field(default_factory=lambda: dict.fromkeys(PERCENTILES))

    @property
    def success_rate(self) -> float | None:
        """Return the share of those that ended which neither failed nor timed out; None when none ended."""
        ended = self.count - self.open
        return (ended - self.failures) / ended if ended else None


def statistics(
    *,
    organization_id: UUID,
    kind: str,
    group_by: str | None,
    start: datetime,
    end: datetime,
    filters: Mapping[str, Any] | None = None,
    zone: tzinfo = UTC,
) -> list[Group]:
    """Return the groups of what began from ``start`` until before ``end``.

    The groups come by time where they are times, and else by count, the largest first. What has no value to group it
    by, such as a call that no agent is known of, is in no group. ``filters`` leave what has these values, by the names
    of groups; those of work are ids, of which one at most is given. Days begin at midnight of the ``zone``.
    """
    question = Question(organization_id, kind, group_by, start, end, dict(filters or {}), zone)
    assert group_by is None or group_by in GROUPS[kind]
    assert set(question.filters) <= set(GROUPS[kind]) - {*BY_TIME}
    found = (_of_rollups if _is_of_sums(question) else _of_spans)(question)
    groups = [group for group in found if any(getattr(group, name) for name in SUMS)]
    if group_by is None:
        return groups or [Group(None, durations=percentiles([]))]
    if group_by in BY_TIME:
        return sorted(groups, key=lambda group: group.value)
    return sorted(groups, key=lambda group: (-group.count, str(group.value)))


def goes_by_hour(group_by: str | None, zone: tzinfo) -> bool:
    """Tell whether groups take the sums of hours throughout: those of days are of UTC's."""
    return group_by == "hour" or (group_by == "day" and zone is not UTC)


def _is_of_sums(question: Question) -> bool:
    """Tell whether the sums that are kept answer: they are by one thing at once, of whole hours, and never by work."""
    if len(question.told_apart) > 1 or question.told_apart & {*WORK}:
        return False
    return all(map(is_whole_hour, [question.start, question.end, *question.days[1:]]))


# --- From the sums that the database keeps -----------------------------------------------------------

_ROLLUPS = """
    SELECT s.kind, {value} AS value, {sums}, json_agg(s.durations)::text
      FROM (VALUES {parts}) AS part (width, beginning, until)
      JOIN agents_spanstatistic AS s
        ON s.organization_id = %(organization)s AND s.kind = ANY(%(kinds)s) AND s.dimension = %(dimension)s
       AND {which} AND s.width = part.width AND s.start >= part.beginning AND s.start < part.until
     GROUP BY 1, 2
"""
_VALUES = {
    None: "NULL",
    "day": day_of("s.start"),
    "hour": "s.start",
}


def _of_rollups(question: Question) -> Iterator[Group]:
    group_by, start, end = question.group_by, question.start, question.end
    parts = [("hour", start, end)] if goes_by_hour(group_by, question.zone) else list(parts_of(start, end))
    bounds = {f"{name}{i}": value for i, part in enumerate(parts) for name, value in zip("wbu", part, strict=True)}
    sql = _ROLLUPS.format(
        value=_VALUES.get(group_by, "s.value"),
        sums=", ".join(f"sum(s.{name})" for name in SUMS),
        which="s.value = %(only)s" if question.filters else "true",
        parts=", ".join(f"(%(w{i})s, %(b{i})s::timestamptz, %(u{i})s::timestamptz)" for i in range(len(parts))),
    )
    # Every row has a status, so that the sums over all statuses are those of all rows.
    [dimension] = question.told_apart or ["status"]
    values = {"dimension": dimension, "only": question.filters.get(dimension)}
    values |= {"organization": question.organization_id, "kinds": question.kinds, "days": question.days}
    groups: dict[Any, Group] = {}
    with prepared_cursor() as cursor:
        cursor.execute(sql, values | bounds)
        for row_kind, value, *sums, durations in cursor.fetchall():
            group = groups.setdefault(value, Group(value))
            found = dict(zip(SUMS, sums, strict=True))
            for name in (*TOKENS, "cost", "unpriced"):
                setattr(group, name, getattr(group, name) + found[name])
            if row_kind == question.kind:
                group.count, group.failures, group.open = int(sums[0]), int(sums[1]), int(sums[2])
                group.durations = percentiles(merged(orjson.loads(durations)))
    for group in groups.values():
        for name in (*TOKENS, "unpriced"):
            setattr(group, name, int(getattr(group, name)))
        yield group


def parts_of(start: datetime, end: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """Yield which rows tell of a time: those of hours up to midnight, of whole days, and of hours again."""
    first = midnight((start + DAY - timedelta(microseconds=1)).astimezone(UTC).date(), UTC)
    last = midnight(end.astimezone(UTC).date(), UTC)
    if first >= last:
        yield Width.HOUR.value, start, end
        return
    for width, begin, until in ((Width.HOUR, start, first), (Width.DAY, first, last), (Width.HOUR, last, end)):
        if begin < until:
            yield width.value, begin, until


def merged(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Return the sum of histograms, each a count for each bucket."""
    return list(map(sum, zip(*histograms, strict=True)))


def percentiles(histogram: Sequence[int]) -> dict[int, float | None]:
    """Return percentiles in seconds, each the middle of the bucket in which the one of that rank is.

    A bucket's end is 8 % above its beginning, so that what is answered is within 4 % of whatever is in it (the relative
    middle, as DDSketch has it).
    """
    wanted = sum(histogram)
    ranks = {each: max(1, ceil(wanted * each / 100)) for each in PERCENTILES}
    found: dict[int, float | None] = dict.fromkeys(PERCENTILES)
    for number, passed in enumerate(accumulate(histogram)):
        for each, rank in ranks.items():
            if found[each] is None and passed >= rank:
                found[each] = 2 * FINEST * RATIO**number / (RATIO + 1)
    return found


# --- From the spans ------------------------------------------------------------------------------------


def _of_spans(question: Question) -> Iterator[Group]:
    for row in count_spans(question, PERCENTILES):
        durations = dict(zip(PERCENTILES, row.pop("durations") or [None] * len(PERCENTILES), strict=True))
        yield Group(durations=durations, **row)


# --- When ----------------------------------------------------------------------------------------------


def period(count: int, unit: timedelta, *, now: datetime, zone: tzinfo = UTC) -> tuple[datetime, datetime]:
    """Return the bounds of the last ``count`` hours of UTC or days of a zone, the one under way being the last."""
    if unit == HOUR:
        end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
        return end - count * HOUR, end
    tomorrow = now.astimezone(zone).date() + DAY
    return midnight(tomorrow - count * DAY, zone), midnight(tomorrow, zone)


def is_whole_hour(moment: datetime) -> bool:
    """Tell whether a time is a whole hour of UTC."""
    there = moment.astimezone(UTC)
    return not (there.minute or there.second or there.microsecond)


def names_of(organization_id: UUID, group_by: str, values: Sequence[Any]) -> dict[Any, str]:
    """Return what the squads, projects or tasks with these ids are called."""
    model: Any = {"squad": Squad, "project": Project, "task": Task}[group_by]
    return dict(model.objects.for_organization(organization_id).filter(pk__in=values).values_list("pk", "name"))
