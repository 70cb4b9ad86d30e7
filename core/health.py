"""Health: whether the process runs, whether it can serve, and how its database connections stand.

Answers name components and figures only: no host name, no secret, no error text of another program.
"""

import logging
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage, default_storage, storages
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from psycopg_pool import PoolTimeout

from core.jobs.state import read_state
from core.stores import store_errors

logger = logging.getLogger(__name__)

OUT_OF_REACH = (DatabaseError, InterfaceError, PoolTimeout, OSError)
RETRY_SECONDS = 5


class ComponentDownError(Exception):
    """A component can't do its work; the message is fit for anybody's eyes."""


def check_database() -> dict[str, Any]:
    """Ask the database for a sign of life."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {}


@cache
def expected_migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations that this version of the program brings."""
    return frozenset(MigrationLoader(None).graph.nodes)


def check_migrations() -> dict[str, Any]:
    """Compare the migrations that are applied with those that the program brings."""
    pending = expected_migrations() - set(MigrationRecorder(connection).applied_migrations())
    if pending:
        raise ComponentDownError(f"{len(pending)} migrations are not applied; run “manage.py migrate”.")
    return {}


def check_storage() -> dict[str, Any]:
    """Make sure that files can be kept."""
    if isinstance(default_storage, FileSystemStorage):
        path = Path(default_storage.location)
        nearest = next(folder for folder in (path, *path.parents) if folder.is_dir())
        if not os.access(nearest, os.W_OK):
            raise ComponentDownError("The folder for files is not writable.")
        return {}
    try:
        # Without the patience that uploads have: a silent store would hold whoever asks, and then this process.
        (storages["probe"] if "probe" in storages.backends else default_storage).exists("health")
    except store_errors() as error:
        logger.warning("Health: the store of files: %s", type(error).__name__)
        raise ComponentDownError("The store of files can't be used.") from error
    return {}


def check_worker() -> dict[str, Any]:
    """Say whether a worker was heard of lately, and how the jobs stand.

    No worker is told of and is no reason to be down: requests are served all the same, and jobs wait. Were it one, a
    worker's crash would take every web process out of service.
    """
    state = read_state()
    jobs = {"waiting": state.waiting, "running": state.running, "stalled": state.stalled, "failed": state.failed}
    return {"status": "up" if state.workers else "absent", "workers": state.workers, "jobs": jobs}


COMPONENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "database": check_database,
    "migrations": check_migrations,
    "worker": check_worker,
    "storage": check_storage,
}


def examine(name: str, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a component's state and how long it took to tell, in milliseconds."""
    began = time.perf_counter()
    try:
        state = {"status": "up"} | check()
    except ComponentDownError as error:
        state = {"status": "down", "detail": str(error)}
    except OUT_OF_REACH as error:
        logger.warning("Health: %s is down: %s", name, type(error).__name__)
        state = {"status": "down", "detail": "It can't be reached."}
    return state | {"latency_ms": round((time.perf_counter() - began) * 1000, 2)}


@require_safe
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 while the process runs, and ask nothing of anything else."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """Answer each component's state; 503 when one is down."""
    components = {name: examine(name, check) for name, check in COMPONENTS.items()}
    down = any(state["status"] == "down" for state in components.values())
    body = {"status": "not ready" if down else "ready", "components": components}
    return JsonResponse(body, status=503, headers=_retry()) if down else JsonResponse(body)


@require_safe
@never_cache
def database(request: HttpRequest) -> JsonResponse:
    """Answer the connection's and the pool's figures; 503 when the database is out of reach."""
    state = examine("database", _database_figures)
    pool = getattr(connection, "pool", None)
    if pool is not None:
        stats = pool.get_stats()
        state["pool"] = {
            "size": stats.get("pool_size", 0),
            "available": stats.get("pool_available", 0),
            "minimum": stats.get("pool_min", 0),
            "maximum": stats.get("pool_max", 0),
            "waiting": stats.get("requests_waiting", 0),
        }
    down = state["status"] == "down"
    return JsonResponse(state, status=503, headers=_retry()) if down else JsonResponse(state)


def _database_figures() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('max_connections')::int,"
            " count(*), count(*) FILTER (WHERE state = 'active')"
            " FROM pg_stat_activity WHERE datname = current_database()"
        )
        version, limit, open_, active = cursor.fetchone()
    return {"server_version": version, "connections": {"maximum": limit, "open": open_, "active": active}}


def _retry() -> dict[str, str]:
    return {"Retry-After": str(RETRY_SECONDS)}
