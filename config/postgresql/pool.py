"""The pools of connections, one a database and process, which Django's backend makes and keeps."""

from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base


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


def close_pool(alias: str, *, wait: float = 5.0) -> None:
    """Close the pool of the database `alias`, if it is open.

    Args:
        alias: the database.
        wait: for how many seconds its threads are waited for, which may be waiting for a server themselves.
    """
    pool = pools().pop(alias, None)
    if pool is not None:
        pool.close(timeout=wait)
