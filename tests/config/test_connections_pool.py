"""A pool under stress: all of its connections lent, the server full, other threads closing it."""

import atexit
from typing import Any

import psycopg
import pytest
from django.db import connections

from config.postgresql.patience import PatientConnection
from config.postgresql.pool import close_pool, pools

from .conftest import Project

# One connection, lent to another thread, which gives it back when it is told to; and the server takes no others.
ALL_LENT = """
import threading, time, psycopg
from django.db import OperationalError, connection, connections
connection.ensure_connection()
control = psycopg.connect(**{**connection.get_connection_params(), "dbname": "postgres"}, autocommit=True)
connection.close()
lent, back = threading.Event(), threading.Event()

def work():
    connection.ensure_connection()
    lent.set()
    back.wait()
    connection.close()

worker = threading.Thread(target=work)
worker.start()
lent.wait()
control.execute("ALTER DATABASE muster ALLOW_CONNECTIONS false")
begin = time.monotonic()
"""
ONE = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT": "60"}


def test_a_busy_pool_is_waited_for_though_the_server_takes_no_more(project: Project) -> None:
    code = """
pool = connection.pool
threading.Timer(1.5, back.set).start()
connection.ensure_connection()
print(1 < time.monotonic() - begin < 30, connection.pool is pool)
"""
    result = project.run("-c", ALL_LENT + code, **ONE)
    assert result.stdout.splitlines() == ["True True"], result.stderr


def test_a_busy_pool_is_waited_for_no_longer_than_its_timeout(project: Project) -> None:
    code = """
pool = connection.pool
try:
    connection.ensure_connection()
except OperationalError as error:
    print(type(error.__cause__).__name__, 1 < time.monotonic() - begin < 30, connection.pool is pool)
back.set()
"""
    result = project.run("-c", ALL_LENT + code, **{**ONE, "DB_POOL_TIMEOUT": "1"})
    assert result.stdout.splitlines() == ["PoolTimeout True True"], result.stderr


def test_connections_that_the_server_closed_are_not_waited_for(project: Project) -> None:
    """Though nobody has touched them since, and so they don't know it."""
    code = """
control.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'muster'")
begin = time.monotonic()
try:
    connection.ensure_connection()
except OperationalError as error:
    print("is not currently accepting connections" in str(error), time.monotonic() - begin < 30)
back.set()
"""
    result = project.run("-c", ALL_LENT + code, **ONE)
    assert result.stdout.splitlines() == ["True True"], result.stderr


# --- Another thread closes the pool ----------------------------------------------------------------


@pytest.fixture
def wrapper(transactional_db: None) -> Any:
    """A way to the test's database that tests may lose."""
    found: Any = connections["default"]
    found.close()
    return found


def test_a_broken_connection_goes_back_to_the_pool_that_lent_it(wrapper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper.ensure_connection()
    wrapper.close()
    wrapper.pool.wait()
    with psycopg.connect(**wrapper.get_connection_params(), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    lender = wrapper.pool

    def close(connection: psycopg.Connection[Any]) -> None:
        """Close a connection, at the moment that another thread closes the pool."""
        if getattr(connection, "_pool", None) is lender:
            close_pool(wrapper.alias)
        psycopg.Connection.close(connection)

    monkeypatch.setattr(PatientConnection, "close", close)
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert lender.closed


def test_a_pool_that_goes_while_it_is_looked_for_is_made_anew(wrapper: Any) -> None:
    class Vanishing(dict[str, Any]):
        """Pools, of which another thread takes one away between a look and the next."""

        def __contains__(self, alias: object) -> bool:
            found = super().__contains__(alias)
            self.clear()
            return found

    former = wrapper.pool
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(wrapper), "_connection_pools", Vanishing({wrapper.alias: former}))
        assert wrapper.pool not in (None, former)


def test_however_often_a_pool_is_made_anew_the_exit_closes_one(wrapper: Any) -> None:
    wrapper.ensure_connection()
    registered = atexit._ncallbacks()
    for _ in range(3):
        wrapper.close()
        close_pool(wrapper.alias)
        wrapper.ensure_connection()
        assert not pools()[wrapper.alias].closed
    assert atexit._ncallbacks() == registered
