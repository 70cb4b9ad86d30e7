"""Django's PostgreSQL backend, with logs of statements, and an outage told at once."""

import atexit
import logging
import re
import select
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import psycopg
import psycopg.sql
from django.db.backends.postgresql import base, operations
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolTimeout

from config.postgresql.patience import Lifeline, PatientConnection, is_silence
from config.postgresql.pool import close_pool, has_working, note_made

_statements = logging.getLogger("muster.sql")

POOL_STEP = 0.5  # seconds
LONGEST = 2_000  # characters of a statement that are logged
PLACEHOLDER = re.compile(r"\$[0-9]+")


def _literal(value: Any, cursor: Any) -> str:
    return psycopg.sql.Literal(value).as_string(cursor.connection)


class DatabaseOperations(operations.DatabaseOperations):
    """What Django asks of PostgreSQL; beyond that, it can tell which statement was prepared."""

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        """Return the statement with its values, or, when they were bound by the server, without.

        For people and their EXPLAIN: a text in the statement that looks like a placeholder reads as one.
        """
        if isinstance(cursor, NativeCursor):
            values = {f"${number}": value for number, value in enumerate(params, 1)}

            def shown(found: re.Match[str]) -> str:
                return _literal(values[found[0]], cursor) if found[0] in values else found[0]

            return PLACEHOLDER.sub(shown, sql)
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


# Whose DETAIL quotes the whole row: NOT NULL, CHECK, and a view's check option.
QUOTING = (errors.NotNullViolation, errors.CheckViolation, errors.WithCheckOptionViolation)


class DiscreetErrors(DatabaseErrorWrapper):
    """Translates psycopg's errors to Django's, and leaves out the row that PostgreSQL refused: it may hold secrets."""

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        """Cut the message; what else the server said stands in the error's ``diag``."""
        if isinstance(exc_value, QUOTING):
            exc_value.args = (exc_value.diag.message_primary,)
        super().__exit__(exc_type, exc_value, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to PostgreSQL. Beyond Django's, its settings have three keys.

    `ECHO`: log each statement. `SLOW_SECONDS`: log those that take longer; 0: none. `LIMIT_SECONDS`: the server's limit
    for a statement, which is only heeded here; 0: none.
    """

    ops_class = DatabaseOperations
    _lifelines: defaultdict[str, Lifeline] = defaultdict(Lifeline)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = self.settings_dict["OPTIONS"]
        if pool := options.get("pool"):
            self.pool_seconds: float = self.settings_dict.setdefault("POOL_SECONDS", pool["timeout"])
            step = min(POOL_STEP, self.pool_seconds)
            options["pool"] = {**pool, "timeout": step, "connection_class": PatientConnection}
        if self.settings_dict.get("ECHO"):
            self.execute_wrappers.append(log_statement)
        if seconds := self.settings_dict.get("SLOW_SECONDS"):
            self.execute_wrappers.append(partial(log_slow_statement, seconds))

    @property
    def pool(self) -> Any:
        """The pool of the database in this process, made but not opened where there is none; None: connect directly."""
        try:
            return super().pool
        except KeyError:  # another thread closed it between Django's looking for it and taking it
            return super().pool

    @cached_property
    def wrap_database_errors(self) -> DiscreetErrors:
        """Where psycopg's errors become Django's."""
        return DiscreetErrors(self)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Lend a connection of the pool, or say why there is none.

        A pool retries a failing connection in the background, lets everybody wait for it until the timeout,
        and then tells only that it has none. So it is waited for in short steps; before it opens, and after each
        step, the server is asked for a sign of life. Without one the pool is closed, and attempts fail at once;
        but who is refused for want of a free place goes on waiting while the pool's own connections work.
        """
        deadline = time.monotonic() + (self.pool_seconds if self.pool else 0)
        if self.pool and self.pool.closed:
            self.ask_for_life(conn_params)
            close_at_exit(self.alias)
        while True:
            try:
                connection = super().get_new_connection(conn_params)
            except PoolTimeout:
                self._ask_why(conn_params)
                if time.monotonic() > deadline:
                    raise  # the database is there: all connections are lent
                continue
            if self.pool is None or is_alive(connection):
                return connection
            connection.close()
            connection._pool.putconn(connection)  # which replaces it; self.pool may be another one by now

    def _ask_why(self, conn_params: dict[str, Any]) -> None:
        """Close the pool and say why, where it has no connection to lend because the server takes none."""
        try:
            self.ask_for_life(conn_params)
        except self.Database.OperationalError as error:
            if not is_silence(error) and has_working(self.alias):
                return  # one of these will come back, while a closed pool would lend none
            close_pool(self.alias, wait=0)
            raise

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

    def _configure_connection(self, connection: Any) -> bool:
        """Prepare a new connection of the pool; from then on its waits end."""
        changed: bool = super()._configure_connection(connection)  # type: ignore[misc]
        connection.limit = self.settings_dict.get("LIMIT_SECONDS", 0)
        # Of the server at its other end, wherever the name leads by then, and if it leads nowhere.
        place = {"host": connection.info.host, "port": connection.info.port, "hostaddr": connection.info.hostaddr}
        connection.sign_of_life = partial(self._stand_by, self.get_connection_params() | place)
        note_made(connection)
        return changed

    def _stand_by(self, conn_params: dict[str, Any]) -> None:
        """Ask for a sign of life, and where there is none, lend no connection any more."""
        try:
            self.ask_for_life(conn_params)
        except self.Database.OperationalError as error:
            if is_silence(error):
                close_pool(self.alias, wait=0)
            raise

    def ask_for_life(self, conn_params: dict[str, Any]) -> None:
        """Make sure that the server takes connections, unless another thread knows that it doesn't.

        Raises:
            psycopg.OperationalError: the database can't be reached, and why.
        """
        self._lifelines[self.alias].ask(lambda: self.reach_database(conn_params))

    def reach_database(self, conn_params: dict[str, Any]) -> None:
        """Connect once, and away.

        Raises:
            psycopg.OperationalError: the database can't be reached, and why.
        """
        self.Database.connect(**conn_params).close()


@cache  # one registration is enough, however often a pool is closed and made anew
def close_at_exit(alias: str) -> None:
    """Close the pool of the database, whichever it is by then, before the interpreter goes."""
    atexit.register(close_pool, alias)


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


def _one_line(sql: str) -> str:
    """Return a statement for a log; without the values in its text, where it knows itself without them."""
    return " ".join(str(getattr(sql, "without_values", sql)).split())


def log_statement(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Run a statement, and log it with its duration but not its values, which may be secret."""
    begin = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        milliseconds = (time.perf_counter() - begin) * 1000
        _statements.info("[%s] %.1f ms: %s", context["connection"].alias, milliseconds, _one_line(sql))


def log_slow_statement(
    limit: float, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Run a statement, and log it without its values if it takes longer than ``limit`` seconds, or fails after that."""
    begin = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        seconds = time.perf_counter() - begin
        if seconds > limit:
            _statements.warning("Slow statement, %.0f ms: %s", seconds * 1000, _one_line(sql)[:LONGEST])
