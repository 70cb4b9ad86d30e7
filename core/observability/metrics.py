"""What is counted in each process. All processes of a server are told of together (see core.observability.sharing)."""

from functools import lru_cache
from threading import Lock
from typing import Any

from django.core.signals import request_finished
from django.dispatch import receiver
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from config.postgresql.pool import PoolFigures, figures

REGISTRY = CollectorRegistry()
"""The metrics of this process."""

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter(
    "muster_http_requests",
    "Requests answered, by route, method and class of status.",
    ["route", "method", "status"],
    registry=REGISTRY,
)
DURATION = Histogram(
    "muster_http_request_duration_seconds",
    "How long requests took until the answer began, by route and method.",
    ["route", "method"],
    buckets=BUCKETS,
    registry=REGISTRY,
)
INGESTED = Counter(
    "muster_records_ingested",
    "Records taken from machines, by where they came in: spans of telemetry, rows of bulk requests.",
    ["source"],
    registry=REGISTRY,
)
rejected = Counter("muster_spans_rejected", "Spans of telemetry that were rejected.", registry=REGISTRY)
POOL = Gauge(
    "muster_database_pool_connections",
    "Connections of the pools of this server's processes: all, idle ones, and as many as there may be.",
    ["state"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
WAITING = Gauge(
    "muster_database_pool_requests_waiting",
    "Requests that wait for a connection of the pool.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)

spans = INGESTED.labels("telemetry")
rows = INGESTED.labels("bulk")


@lru_cache(maxsize=4096)  # bounded by routes, methods and classes of status
def _children(route: str, method: str, status: int) -> tuple[Any, Any]:
    """Return the counter and the histogram of such requests: to find them by labels takes longer than to count."""
    return REQUESTS.labels(route, method, f"{status}xx"), DURATION.labels(route, method)


def count_request(route: str, method: str | None, status: int, seconds: float) -> None:
    """Count a request that was answered.

    Args:
        route: the pattern of its address; never the address itself, of which there are as many as clients like.
        method: its method; those that HTTP doesn't know are counted as one.
        status: the answer's status code.
        seconds: how long it took.
    """
    counter, histogram = _children(route, method if method in METHODS else "other", status // 100)
    counter.inc()
    histogram.observe(seconds)


_noted: PoolFigures | None = None
_noting = Lock()
_size, _idle, _maximum = (POOL.labels(state) for state in ("all", "idle", "maximum"))


@receiver(request_finished)  # behind Django's own receiver, by which the request's connection is back in the pool
def note_pool(**_: Any) -> None:
    """Note how the pool of this process stands; mostly, it stands as it did."""
    global _noted
    stats = figures()
    with _noting:
        if stats == _noted:
            return
        _size.set(stats.size)
        _idle.set(stats.available)
        _maximum.set(stats.maximum)
        WAITING.set(stats.waiting)
        _noted = stats
