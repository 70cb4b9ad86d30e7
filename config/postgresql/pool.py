"""The pools of connections, one a database and process, which Django's backend makes and keeps."""

import select
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakSet

import psycopg
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base

_made: WeakSet[psycopg.Connection[Any]] = WeakSet()
_noting = Lock()


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """How a pool stands: connections in all, idle ones, as many as there may be, and requests that wait for one."""

    size: int
    available: int
    maximum: int
    waiting: int


def pools() -> dict[str, Any]:
    """Return the pools, by the database's alias."""
    # Django's own accessor opens a pool where there is none.
    return getattr(base.DatabaseWrapper, "_connection_pools")  # noqa: B009 (untyped)


def figures(alias: str = DEFAULT_DB_ALIAS) -> PoolFigures:
    """Return how the pool of a database stands in this process; without one, all is 0."""
    pool = pools().get(alias)
    if pool is None or pool.closed:
        return PoolFigures(0, 0, 0, 0)
    stats = pool.get_stats()
    return PoolFigures(stats["pool_size"], stats["pool_available"], stats["pool_max"], stats["requests_waiting"])


def note_made(connection: psycopg.Connection[Any]) -> None:
    """Remember a connection that a pool made, for ``has_working``."""
    with _noting:
        _made.add(connection)


def has_working(alias: str) -> bool:
    """Tell whether the pool of the database `alias` has lent a connection that the server still holds.

    Idle ones don't count: of them nobody knows until they are used.
    """
    pool = pools().get(alias)
    if pool is None:
        return False
    with _noting:
        # A pool marks what it lends, and unmarks what comes back; Django goes by the same mark.
        lent = [connection for connection in _made if getattr(connection, "_pool", None) is pool]
    return any(map(is_held, lent))


def is_held(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the server still holds a connection that another thread may be using: nothing is read from it."""
    try:
        end = connection.fileno()
    except psycopg.OperationalError:
        return False  # it is closed
    hung_up = select.poll()
    hung_up.register(end, getattr(select, "POLLRDHUP", 0))  # which Linux has; POLLHUP is told unasked
    return not hung_up.poll(0)


def close_pool(alias: str, *, wait: float = 5.0) -> None:
    """Close the pool of the database `alias`, if it is open.

    Args:
        alias: the database.
        wait: for how many seconds its threads are waited for, which may be waiting for a server themselves.
    """
    pool = pools().pop(alias, None)
    if pool is not None:
        pool.close(timeout=wait)
