"""The pool and the log of statements, on the database that the tests run on."""

import logging

import psycopg
import pytest
from django.db import connection, connections
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from config import env
from config.postgresql.base import DatabaseWrapper


@pytest.fixture
def no_transaction(transactional_db: None) -> None:
    """Connections that may break."""


def test_the_pool_s_maximum_is_its_size_and_the_overflow(db: None) -> None:
    assert is_psycopg3
    connection.ensure_connection()
    assert isinstance(connection, DatabaseWrapper) or connection.pool is not None
    assert connection.pool.max_size == env.DB_POOL_SIZE.get() + env.DB_MAX_OVERFLOW.get()


@pytest.mark.usefixtures("no_transaction")
def test_a_connection_that_the_server_closed_is_replaced() -> None:
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


def test_echo_logs_statements_without_their_values(
    db: None, caplog: pytest.LogCaptureFixture, settings: pytest.FixtureRequest
) -> None:
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
