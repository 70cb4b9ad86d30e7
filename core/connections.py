"""The pool's connections, and when a request does without."""

from django.db import connections


def lend_back() -> None:
    """Give the thread's connections back to the pool, but those in a transaction. The next query fetches one anew.

    For before a wait on a client: slow ones shall not hold the pool's connections while they send or read.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
