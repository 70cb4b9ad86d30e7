"""How long an answer of PostgreSQL is waited for.

PostgreSQL's own limits count in PostgreSQL. A server that is frozen, or gone with its network, keeps none of them and
closes no connection: to whoever waits for it, it looks like one that works. So who has waited for a while asks it for a
sign of life, by a connection of its own; where even that isn't answered in time, nobody waits any longer.
"""

import errno
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.waiting import Ready

PATIENCE = 1.0
"""After how many seconds without an answer the server is asked for a sign of life; then after twice as many."""
LONGEST_PATIENCE = 8.0
GRACE = 5.0
"""By how many seconds the server may overrun its own limit of a statement before the connection is given up."""
CANCEL = 1.0
"""For how many seconds a server is asked to cancel the statement that is given up."""
HOLD = 1.0
"""For how many seconds after an attempt that had to wait nobody else tries."""
SLOW = 0.5
"""From how many seconds on an attempt counts as one that had to wait."""
NEWS = 10.0
"""For how many seconds a failure is told to those who come while another thread tries again."""

# libpq tells no error's number, but its text, which is the system's own.
_REASON = re.compile(r"port \S+ failed: (.*)$", re.MULTILINE)
_NO_WAY = frozenset(
    os.strerror(number)
    for number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.ETIMEDOUT)
)


def is_silence(error: psycopg.OperationalError) -> bool:
    """Tell whether an attempt to connect heard nothing of the server: no answer in time, or no way to its machine.

    A refusal is an answer, whoever gives it, and a name that isn't resolved, or a failure of this end's, says nothing
    about the server. Of several addresses, none must have answered.
    """
    if isinstance(error, errors.ConnectionTimeout):
        return True
    reasons = _REASON.findall(str(error))
    return bool(reasons) and all(reason in _NO_WAY for reason in reasons)


class Lifeline:
    """Whether the server of a database takes connections. One thread asks at a time, and the others hear of it.

    While the server is known to be away, they needn't wait for the answer: so an outage costs a process one of its
    threads at most, and the others can say that the database is away.
    """

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._failure: psycopg.OperationalError | None = None
        self._failed = float("-inf")
        self._began: float | None = None  # when the attempt began that is under way
        self._hold_until = 0.0
        self._answered = float("-inf")

    def ask(self, connect: Callable[[], None]) -> None:
        """Ask for a sign of life by ``connect``, or hear of another thread's attempt.

        Raises:
            psycopg.OperationalError: the server can't be reached, and why.
        """
        asked = time.monotonic()
        if not self._asking.acquire(blocking=not self._is_known_away(asked)):
            self._tell()
        try:
            if self._answered > asked:
                return  # another thread had its answer while we waited for our turn
            if time.monotonic() < self._hold_until:
                self._tell()
            self._try(connect)
        finally:
            self._asking.release()

    def _is_known_away(self, now: float) -> bool:
        """Tell whether the last attempt failed, and not long before the present one began, however long that takes."""
        return self._failure is not None and (self._began or now) - self._failed < NEWS

    def _try(self, connect: Callable[[], None]) -> None:
        began = self._began = time.monotonic()
        try:
            connect()
        except psycopg.OperationalError as error:
            self._failed = time.monotonic()
            self._hold_until = self._failed + HOLD if self._failed - began > SLOW else 0.0
            self._failure = error
            raise
        finally:
            self._began = None
        self._failure, self._answered = None, time.monotonic()

    def _tell(self) -> None:
        """Raise what the last attempt failed with."""
        failure = self._failure or psycopg.OperationalError("The database is out of reach.")
        raise type(failure)(*failure.args)


class _Resumed:
    """A generator that was waited for before: it is told that nothing is ready yet, where a new one is begun.

    psycopg's own functions begin what they are given, and its compiled generators take no None for an answer.
    """

    def __init__(self, gen: Any) -> None:
        self.send = gen.send

    def __next__(self) -> Any:
        return self.send(Ready.NONE)


class PatientConnection(psycopg.Connection[Any]):
    """A connection whose waits end: when the server gives no sign of life, or overruns its limit for a statement.

    Attributes:
        limit: the server's limit for a statement in seconds; 0: none.
        sign_of_life: asks the server for one, and raises what ``is_silence`` knows; None: wait as psycopg does.
    """

    limit: float = 0.0
    sign_of_life: Callable[[], None] | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for what the server answers; as psycopg does, for a while."""
        if timeout is not None or self.sign_of_life is None:
            return super().wait(gen, interval, timeout)
        began, patience, turn = time.monotonic(), PATIENCE, gen
        while True:
            try:
                return super().wait(turn, interval, patience)
            except errors._WaitTimeout:
                turn = _Resumed(gen)
                waited = time.monotonic() - began
            if self.limit and waited > self.limit + GRACE:
                # The server notices a closed connection when it next has something to say, and keeps its locks so long.
                with suppress(psycopg.Error):  # it may be past hearing that too
                    self.cancel_safe(timeout=CANCEL)
                self.close()
                raise psycopg.OperationalError(f"The database gave no answer within {waited:.0f} seconds.")
            try:
                self.sign_of_life()
            except psycopg.OperationalError as error:
                if is_silence(error):
                    self.close()
                    raise psycopg.OperationalError(f"The database gives no sign of life: {error}") from error
                # Refused, say for want of a free place: that is an answer.
            patience = min(2 * patience, LONGEST_PATIENCE)
