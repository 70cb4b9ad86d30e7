"""The pool and the log of statements, on the database that the tests run on."""

import logging
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from django.db import connection, connections
from psycopg.waiting import Ready, Wait

from config import env
from config.postgresql import patience

from .conftest import Project


def test_the_pool_s_maximum_is_its_size_and_the_overflow(db: None) -> None:
    connection.ensure_connection()
    assert connection.pool.max_size == env.DB_POOL_SIZE.get() + env.DB_MAX_OVERFLOW.get()


def test_a_connection_that_the_server_closed_is_replaced(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (victim,) = cursor.fetchone()
    connection.close()  # back to the pool, as at the end of a request
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [victim])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() != (victim,)


def test_a_session_s_settings(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('TimeZone'), current_setting('jit'), current_setting('application_name')"
        )
        assert cursor.fetchone() == ("UTC", "off", "muster pytest")


def test_echo_logs_statements_without_their_values(db: None, caplog: pytest.LogCaptureFixture) -> None:
    quiet = connections["default"]
    loud = type(quiet)({**quiet.settings_dict, "ECHO": True}, alias="default")
    with caplog.at_level(logging.INFO, logger="muster.sql"):
        with quiet.cursor() as cursor:
            cursor.execute("SELECT %s", ["hunter2"])
        assert caplog.records == []
        with loud.cursor() as cursor:
            cursor.execute("SELECT %s", ["hunter2"])
        loud.close()
    (line,) = caplog.messages
    assert line.endswith("ms: SELECT %s")


def test_while_the_database_is_away_attempts_fail_at_once_and_say_why(project: Project) -> None:
    code = """
import time, psycopg
from django.db import OperationalError, connection
connection.ensure_connection()
connection.close()
connection.pool.wait()  # all of its connections, lest one slips in later
control = psycopg.connect(**{**connection.get_connection_params(), "dbname": "postgres"}, autocommit=True)
control.execute("ALTER DATABASE muster ALLOW_CONNECTIONS false")
control.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'muster'")
for _ in range(2):
    begin = time.monotonic()
    try:
        connection.ensure_connection()
    except OperationalError as error:
        print(time.monotonic() - begin < 30, "is not currently accepting connections" in str(error))
control.execute("ALTER DATABASE muster ALLOW_CONNECTIONS true")
connection.ensure_connection()
print("back")
"""
    result = project.run("-c", code, DB_POOL_TIMEOUT="60")
    assert result.stdout.splitlines() == ["True True", "True True", "back"], result.stderr


def test_a_statement_that_takes_longer_than_our_patience_goes_on(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while it is being sent: psycopg's compiled sender takes nothing but numbers for an answer."""
    monkeypatch.setattr(patience, "PATIENCE", 0.02)
    told: list[Any] = []
    asked: list[str] = []

    def slow() -> Generator[Wait, Any, str]:
        while len(asked) < 3:
            told.append((yield Wait.R))
        return "done"

    with patience.PatientConnection.connect(**connection.get_connection_params()) as direct:
        direct.sign_of_life = lambda: asked.append("alive")
        assert direct.wait(slow(), interval=0.01) == "done"
    assert None not in told
    assert Ready.NONE in told
