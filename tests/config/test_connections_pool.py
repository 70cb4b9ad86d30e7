"""A pool under stress: all of its connections lent, the server full, other threads closing it."""

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
ONE = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT": "5"}


def test_a_busy_pool_is_waited_for_though_the_server_takes_no_more(project: Project) -> None:
    code = """
pool = connection.pool
threading.Timer(1.5, back.set).start()
connection.ensure_connection()
print(1 < time.monotonic() - begin < 5, connection.pool is pool)
"""
    result = project.run("-c", ALL_LENT + code, **ONE)
    assert result.stdout.splitlines() == ["True True"], result.stderr


def test_a_busy_pool_is_waited_for_no_longer_than_its_timeout(project: Project) -> None:
    code = """
pool = connection.pool
try:
    connection.ensure_connection()
except OperationalError as error:
    print(type(error.__cause__).__name__, 1 < time.monotonic() - begin < 3, connection.pool is pool)
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
    print("is not currently accepting connections" in str(error), time.monotonic() - begin < 2)
back.set()
"""
    result = project.run("-c", ALL_LENT + code, **ONE)
    assert result.stdout.splitlines() == ["True True"], result.stderr
