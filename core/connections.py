"""The pool's connections, and when a request does without."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections


def prepared_cursor() -> Any:
    """Return a cursor for a statement that is asked again and again, by key (see config.postgresql).

    Not for writes in an audit context: it goes with those in one message, and what is prepared is one command.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    return connection.prepared_cursor()


def native_cursor() -> Any:
    """Return such a cursor for a statement whose placeholders are PostgreSQL's own: $1, $2."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    return connection.native_cursor()


def lend_back() -> None:
    """Give the thread's connections back to the pool, but those in a transaction. The next query fetches one anew.

    For before a wait on a client: slow ones shall not hold the pool's connections while they send or read.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
