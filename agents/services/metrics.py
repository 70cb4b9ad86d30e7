"""Series of metrics: what a chart draws."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from agents.models.metrics import PERCENTILES, STATISTICS, MetricQuerySet

MAX_BUCKETS = 2_000
MAX_POINTS = 20_000
ALL_STATISTICS = (*STATISTICS, *PERCENTILES)


class TooManyPointsError(ValueError):
    """There are more points than a chart can draw."""


@dataclass(frozen=True)
class Series:
    """The points of one value of a label, by time; ``label`` is None for rows without it, or when none was asked."""

    label: str | None
    points: list[dict[str, Any]]


def series(
    rows: MetricQuerySet,
    *,
    start: datetime,
    end: datetime,
    bucket: timedelta,
    statistic: str | None = None,
    label: str | None = None,
) -> list[Series]:
    """Return what ``rows`` say from ``start`` until before ``end``, in buckets of UTC, in one statement.

    Each point has the ``time`` of its bucket and all statistics, or the ``value`` of the one that is asked for.
    Buckets without a value are left out. Raises TooManyPointsError rather than to leave out a point.
    """
    if (end - start) / bucket > MAX_BUCKETS:
        raise TooManyPointsError(f"That is more than {MAX_BUCKETS} buckets: ask for longer ones, or for less time.")
    wanted: Iterable[str] = [statistic] if statistic else ALL_STATISTICS
    found = list(
        rows.series(start=start, end=end, bucket=bucket, statistics=wanted, label=label)[: MAX_POINTS + 1],
    )
    if len(found) > MAX_POINTS:
        raise TooManyPointsError(f"That is more than {MAX_POINTS} points: ask for longer buckets, or filter by labels.")
    return [
        Series(group, [_point(row, statistic) for row in points])
        for group, points in groupby(found, key=lambda row: row["group"])
    ]


def _point(row: dict[str, Any], statistic: str | None) -> dict[str, Any]:
    figures = {name: row[name] for name in STATISTICS if name in row}
    figures |= dict(zip(PERCENTILES, row.get("percentiles") or (), strict=False))
    return {"time": row["time"], **({"value": figures[statistic]} if statistic else figures)}
