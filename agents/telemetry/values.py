"""Values of attributes: from protobuf to Python, and from Python to the fields of a record.

Each converter returns None for a value that makes no sense for its field; then the attribute stays an attribute.
"""

import base64
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from agents.telemetry import text

COUNT_LIMIT = 2_147_483_647
"""The largest number of tokens: PostgreSQL's integer."""

COST_LIMIT = Decimal(1_000_000)
COST_PLACES = Decimal("0.000000000001")
"""A cost is below a million dollars and kept to twelve decimal places."""

_NUMBER_LENGTH_LIMIT = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def python(value: Any) -> Any:
    """Return an AnyValue as text, number, boolean, None, list or dict; bytes become base64."""
    which = value.WhichOneof("value")
    if which == "string_value":
        return value.string_value
    if which == "int_value":
        return value.int_value
    if which == "array_value":
        return [item.string_value or python(item) for item in value.array_value.values]
    if which == "double_value":
        return value.double_value
    if which == "bool_value":
        return value.bool_value
    if which == "kvlist_value":
        return {pair.key: python(pair.value) for pair in value.kvlist_value.values}
    if which == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None


def attributes(pairs: Any) -> dict[str, Any]:
    """Return a list of KeyValue as a dict; of a key that comes twice, the last."""
    return {pair.key: python(pair.value) for pair in pairs}


def label(limit: int, *, quotes: bool = False) -> Callable[[Any], str | None]:
    """Return the converter for a name or an id of at most ``limit`` characters; numbers are taken as their digits.

    With ``quotes``, those around the name are taken off: some write all their attributes as JSON.
    """
    around = ' "' if quotes else None

    def convert(value: Any) -> str | None:
        if type(value) is str and len(value) <= limit and value.isprintable():  # nearly all: nothing to replace or cut
            return value.strip(around) or None
        if type(value) is int:
            value = str(value)
        return (text.name(value, limit) or None) if type(value) is str else None

    return convert


def count(value: Any) -> int | None:
    """Convert a number of tokens; also a whole float, or digits in text."""
    number = value if type(value) is int else _whole(value)
    return number if number is not None and 0 <= number <= COUNT_LIMIT else None


def _whole(value: Any) -> int | None:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str and len(value) <= _NUMBER_LENGTH_LIMIT and value.isascii() and value.strip().isdigit():
        return int(value)
    return None


def number(value: Any) -> float | None:
    """Convert a finite number, or the text of one."""
    if type(value) not in (int, float, str) or (type(value) is str and len(value) > _NUMBER_LENGTH_LIMIT):
        return None
    try:
        converted = float(value)
    except ValueError:
        return None
    return converted if math.isfinite(converted) else None


def cost(value: Any) -> Decimal | None:
    """Convert an amount of money; a float's shortest digits are taken, not its binary expansion."""
    if type(value) not in (int, float, str) or (type(value) is str and len(value) > _NUMBER_LENGTH_LIMIT):
        return None
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return amount.quantize(COST_PLACES) if amount.is_finite() and 0 <= amount < COST_LIMIT else None


def moment(value: Any) -> int | None:
    """Convert a moment as ISO 8601 writes it, with its zone, also as a JSON string: nanoseconds since 1970."""
    if type(value) is not str or len(value) > _NUMBER_LENGTH_LIMIT:
        return None
    try:
        parsed = datetime.fromisoformat(value.strip('"'))
    except ValueError:
        return None
    return None if parsed.tzinfo is None else (parsed - _EPOCH) // _MICROSECOND * 1_000


def uuid(value: Any) -> UUID | None:
    """Convert a UUID's text."""
    if type(value) is not str or len(value) > _NUMBER_LENGTH_LIMIT + 5:
        return None
    try:
        return UUID(value)
    except ValueError:
        return None


def reasons(limit: int) -> Callable[[Any], str | None]:
    """Return the converter for a list of reasons: the distinct ones, joined by commas."""
    convert = label(limit)

    def joined(value: Any) -> str | None:
        if type(value) is str and value.startswith("["):
            try:
                value = text.parse(value)[0]
            except ValueError:
                return convert(value)
        if type(value) is list:
            value = ",".join(dict.fromkeys(reason for reason in value if type(reason) is str))
        return convert(value)

    return joined


def opened(value: Any) -> Any:
    """Return what a JSON text says where it is neither a list nor an object; else the value as it came."""
    if type(value) is str and value[:1] not in ("[", "{"):
        try:
            return text.parse(value)[0]
        except ValueError:
            return value
    return value


def nested(value: Any) -> dict[str, Any] | None:
    """Convert an object, or the JSON text of one."""
    if type(value) is str:
        try:
            value = text.parse(value)[0]
        except ValueError:
            return None
    return value if type(value) is dict else None
