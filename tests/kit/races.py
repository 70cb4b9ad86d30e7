"""Races, run with real threads and real transactions.

A race proves something only beside its control: the same race with the guard off, which must go wrong. Tests that
race are marked ``@pytest.mark.django_db(transaction=True)``, so that each thread sees what the test has committed.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Barrier
from typing import Any

from django.db import connection

LIMIT_SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """What became of one contender: the value that it returned, or the error that it raised."""

    value: Any = None
    error: Exception | None = None


def race(*contenders: Callable[[], Any], limit: float = LIMIT_SECONDS) -> list[Outcome]:
    """Run the contenders at once, each in a thread with a connection of its own, and return their outcomes in order.

    All start together, each with its connection unless the pool has too few. A contender that waits for a lock
    longer than ``limit`` seconds ends with OperationalError, so that a deadlock fails the test and doesn't hang it.
    """
    start = Barrier(len(contenders), timeout=limit)
    crowded = len(contenders) >= connection.settings_dict["OPTIONS"]["pool"]["max_size"]

    def run(contender: Callable[[], Any]) -> Outcome:
        # Many contenders take their turns at few connections.
        connection.pool_seconds = 2 * limit  # type: ignore[attr-defined]
        try:
            if crowded:
                start.wait()
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = '{int(limit * 1000)}ms'")
            if not crowded:
                start.wait()
            return Outcome(value=contender())
        except Exception as error:  # noqa: BLE001 (the test judges it)
            return Outcome(error=error)
        finally:
            _give_back()

    with ThreadPoolExecutor(len(contenders)) as threads:
        futures = [threads.submit(run, contender) for contender in contenders]
        running = wait(futures, timeout=2 * limit).not_done
        assert not running, f"{len(running)} of {len(contenders)} contenders didn't end."
        return [future.result() for future in futures]


def values(outcomes: Sequence[Outcome]) -> list[Any]:
    """Return what the contenders returned that raised nothing."""
    return [outcome.value for outcome in outcomes if outcome.error is None]


def errors(outcomes: Sequence[Outcome]) -> list[Exception]:
    """Return what the contenders raised."""
    return [outcome.error for outcome in outcomes if outcome.error is not None]


class Meeting:
    """A place in the middle of their transactions where contenders wait for each other.

    One who waits for a lock counts as having come, since it can't come sooner. So a race is the same each time,
    with the guard on or off, and no test sleeps.
    """

    def __init__(self, parties: int, *, limit: float = LIMIT_SECONDS) -> None:
        self.parties = parties
        self.limit = limit
        self._on_their_way: set[int] = set()
        self._here: set[int] = set()

    def announce(self) -> None:
        """Say that this contender's transaction begins. Comes first in the transaction."""
        self._on_their_way.add(_process_id())

    def attend(self) -> None:
        """Wait until all the others are here, or wait for a lock."""
        self._here.add(_process_id())
        deadline = time.monotonic() + self.limit
        while time.monotonic() < deadline:
            missing = self._on_their_way - self._here
            if len(self._here) + sum(map(_waits_for_lock, missing)) >= self.parties:
                return
        raise TimeoutError(f"Only {len(self._here)} of {self.parties} came.")


def _process_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def _waits_for_lock(process_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [process_id])
        return bool(cursor.fetchone()[0])


def _give_back() -> None:
    """Give the thread's connection back as it was lent: the pool lends it to others."""
    if connection.connection is not None and not connection.connection.closed:
        connection.rollback()
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    connection.close()
