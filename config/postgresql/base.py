"""Django's PostgreSQL backend, with the statement log of DB_ECHO and a failure told at once."""

import atexit
import logging
import select
import time
from collections.abc import Callable
from typing import Any

import psycopg
import psycopg.sql
from django.db.backends.postgresql import base, operations
from psycopg_pool import ConnectionPool, PoolTimeout

_statements = logging.getLogger("muster.sql")


class DatabaseOperations(operations.DatabaseOperations):
    """What Django asks of PostgreSQL; beyond that, it can tell which statement was prepared."""

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        """Return the statement with its values, or, when they were bound by the server, without."""
        if isinstance(cursor, NativeCursor):
            return sql
        return super().last_executed_query(cursor, sql, params) or sql


ServerBindingCursor: Any = base.ServerBindingCursor  # whose stub is empty


class PreparedCursor(ServerBindingCursor):
    """A cursor whose statements are planned once a connection, and then only bound and run."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Run a statement, which PostgreSQL remembers by its text."""
        return super().execute(query, params, prepare=True, **options)


class NativeCursor(psycopg.RawCursor):
    """A cursor for statements with PostgreSQL's own placeholders ($1), prepared: nothing of them is read again."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Run a statement, which PostgreSQL remembers by its text."""
        return super().execute(query, params, prepare=True, **options)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to PostgreSQL; beyond Django's, it heeds `ECHO` (log each statement) in its settings."""

    ops_class = DatabaseOperations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.settings_dict.get("ECHO"):
            self.execute_wrappers.append(log_statement)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Lend a connection of the pool, or say why there is none.

        A pool retries a failing connection in the background, lets everybody wait for it until the timeout,
        and then tells only that it has none. So one attempt is made before it opens, and after a timeout; if
        that fails, the pool is closed, and while the database is away each attempt fails at once.
        """
        if self.pool and self.pool.closed:
            self.reach_database(conn_params)
            atexit.register(close_pool, self.alias)
        while True:
            try:
                connection = super().get_new_connection(conn_params)
            except PoolTimeout:
                try:
                    self.reach_database(conn_params)
                except self.Database.OperationalError:
                    close_pool(self.alias)
                    raise
                raise  # the database is there: all connections are lent
            if self.pool is None or is_alive(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)  # which replaces it

    def prepared_cursor(self, cursor_class: Any = PreparedCursor) -> Any:
        """Return a cursor for a statement that is asked again and again, by key: planning would take longer.

        Not for statements whose best plan depends on the values: PostgreSQL may settle for one plan for all.
        """
        self.ensure_connection()
        with self.wrap_database_errors:
            cursor = cursor_class(self.connection)
        return self.make_debug_cursor(cursor) if self.queries_logged else self.make_cursor(cursor)

    def _set_autocommit(self, autocommit: bool) -> None:
        """Set what a connection lent by the pool mostly has already: to set it again costs as much as a short query."""
        if self.connection.autocommit != autocommit:
            super()._set_autocommit(autocommit)  # type: ignore[misc]

    def native_cursor(self) -> Any:
        """Return a prepared cursor for a statement with PostgreSQL's own placeholders: $1, $2."""
        return self.prepared_cursor(NativeCursor)

    def reach_database(self, conn_params: dict[str, Any]) -> None:
        """Connect once, and away.

        Raises:
            psycopg.OperationalError: the database can't be reached, and why.
        """
        self.Database.connect(**conn_params).close()


def is_alive(connection: Any) -> bool:
    """Tell whether the server still holds the connection, as far as this end was told: no round trip is made.

    An idle connection has nothing to say, unless that it was closed (or a notice): only then it is asked.
    """
    if connection.closed:
        return False
    incoming = select.poll()
    incoming.register(connection.fileno(), select.POLLIN)
    if not incoming.poll(0):
        return True
    try:
        ConnectionPool.check_connection(connection)
    except psycopg.OperationalError:
        return False
    return True


def close_pool(alias: str) -> None:
    """Close the pool of the database `alias`, if it is open: its threads shall not outlive the program."""
    # Django's own close_pool() is a connection's method, and would open a pool to close it.
    pool = getattr(base.DatabaseWrapper, "_connection_pools").pop(alias, None)  # noqa: B009 (untyped)
    if pool is not None:
        pool.close()


def log_statement(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Run a statement, and log it with its duration but not its values, which may be secret."""
    begin = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        milliseconds = (time.perf_counter() - begin) * 1000
        one_line = " ".join(str(sql).split())
        _statements.info("[%s] %.1f ms: %s", context["connection"].alias, milliseconds, one_line)
