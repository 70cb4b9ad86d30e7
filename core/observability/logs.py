"""Log lines, for people and for programs. Each names its request; none holds a body, a header or a parameter."""

import logging
import time
from typing import Any

import orjson

from core.observability.context import current


class RequestFilter(logging.Filter):
    """Adds to each record the names of the request in which it is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, with its request's names."""
        if not hasattr(record, "names"):
            # Django tells of 4xx and 5xx answers when the request is over, and attaches it.
            names = current.get() or getattr(getattr(record, "request", None), "names", None)
            record.names = names.told() if names else {}
        return True


class PlainFormatter(logging.Formatter):
    """A line for people; the request's id stands behind the message."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the base class's name)
        """Return the line."""
        line = super().formatMessage(record)
        names: dict[str, str] = getattr(record, "names", {})
        return f"{line} [{names['request_id']}]" if "request_id" in names else line


class JSONFormatter(logging.Formatter):
    """A JSON object a line.

    Only the record's own words and what ``told`` names come in: what else callers attach to records (Django attaches
    the request) isn't for logs.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        seconds, fraction = divmod(record.created, 1)
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(fraction * 1000):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "names", {}),
            **getattr(record, "told", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        # Lone surrogates, which text from a client may hold, are no UTF-8.
        return orjson.dumps(line, default=str).decode() if _is_clean(line) else orjson.dumps(_cleaned(line)).decode()


def _is_clean(line: dict[str, Any]) -> bool:
    return all(not isinstance(value, str) or value.isascii() or _encodes(value) for value in line.values())


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cleaned(line: dict[str, Any]) -> dict[str, str]:
    return {name: str(value).encode(errors="backslashreplace").decode() for name, value in line.items()}
