"""Spans at which our own code fails in a way that nobody foresaw: each costs itself only, and the log tells of it.

Watched so is what works on one span, or on the resource of some, and asks nothing of the database: the mapping, and the
packing of a row. Whatever else fails still fails aloud: a database that refuses or is out of reach has answers of its
own (see ``intake`` and ``views``), and a process without memory is no span's doing.
"""

import logging
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import Error

logger = logging.getLogger(__name__)

NO_SPANS = (MemoryError, Error, psycopg.Error)
"""What no span is to blame for: memory that ran out, and all that the database says, by Django or its driver."""


@dataclass(slots=True)
class _Alike:
    """Spans at which the same line of code failed alike: how many, the first of them, and its error."""

    first: str
    error: Exception
    number: int = 0


class Faults:
    """The spans of a request at which our code failed while it was to ``doing`` them."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._alike: dict[tuple[type[Exception], str, int], _Alike] = {}
        self.spans: list[Any] = []

    def add(self, span: Any, error: Exception) -> None:
        """Note that the code failed at a span. For the ``except`` clause around what works on it.

        Args:
            span: with a ``trace_id`` and a ``span_id``, valid or not.
            error: what was raised.

        Raises:
            Exception: the error itself, if it is one of NO_SPANS.
        """
        if isinstance(error, NO_SPANS):
            raise error
        named = f"span {span.span_id[:8].hex()} of trace {span.trace_id[:16].hex()}"
        alike = self._alike.setdefault((type(error), *_where(error)), _Alike(named, error))
        alike.number += 1
        self.spans.append(span)

    def told(self) -> list[str]:
        """Log each fault once, however many spans it met, and return the reasons for the client.

        These name the exception's type, but not its message, which may hold what is none of a client's business.
        """
        reasons = []
        for alike in self._alike.values():
            number = f"{alike.number} {'span' if alike.number == 1 else 'spans'}"
            logger.error(
                "Rejected %s that couldn't be %s, for a fault in Muster; first %s",
                number,
                self._doing,
                alike.first,
                exc_info=alike.error,
            )
            kind = _name(type(alike.error))
            reasons.append(f"{number} couldn't be {self._doing} for a fault in Muster ({kind}), first {alike.first}")
        return reasons


class UnfitError(Exception):
    """Spans that are to be rejected before the others can be stored; nothing was stored."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(f"{len(faults.spans)} spans are unfit")
        self.faults = faults


def _name(kind: type[Exception]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _where(error: Exception) -> tuple[str, int]:
    """Return the file and the line that raised."""
    traceback = error.__traceback__
    assert traceback is not None  # it was caught
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
