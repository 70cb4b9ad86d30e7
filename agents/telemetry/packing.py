"""Rows in the binary format of PostgreSQL's COPY.

Packed by hand: psycopg's own way looks each value's type up anew, which takes longer than PostgreSQL does to store it.
The format is PostgreSQL's documentation of COPY, and of each type its ``…send`` function.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from uuid import UUID

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
_MICROSECOND = timedelta(microseconds=1)
EPOCH = int(_EPOCH.timestamp()) * 1_000_000  # in microseconds of 1970
NUMERIC_SCALE = 10  # decimals of the amounts

_length = Struct("!i").pack
_integer = Struct("!iq").pack
_float = Struct("!id").pack
_count = Struct("!h").pack


def columns(number: int) -> bytes:
    """Return what a row of so many columns begins with."""
    return _count(number)


def blob(value: bytes | None) -> bytes:
    """Pack a bytea, or text or json that is UTF-8 already."""
    return NULL if value is None else _length(len(value)) + value


def text(value: str) -> bytes:
    """Pack a text."""
    encoded = value.encode()
    return _length(len(encoded)) + encoded


word = lru_cache(maxsize=20_000)(text)
"""Pack a text that comes again and again, such as a model's name."""


def jsonb(value: bytes) -> bytes:
    """Pack JSON text as jsonb."""
    return _length(len(value) + 1) + b"\x01" + value


def uuid(value: UUID | None) -> bytes:
    """Pack a UUID."""
    return NULL if value is None else b"\0\0\0\x10" + value.bytes


def integer(value: int | None) -> bytes:
    """Pack a bigint."""
    return NULL if value is None else _integer(8, value)


def double(value: float | None) -> bytes:
    """Pack a double precision number."""
    return NULL if value is None else _float(8, value)


def boolean(value: bool) -> bytes:
    """Pack a boolean."""
    return b"\0\0\0\x01\x01" if value else b"\0\0\0\x01\0"


def time(nanoseconds: int) -> bytes:
    """Pack a timestamptz, of nanoseconds since 1970; PostgreSQL keeps microseconds."""
    return _integer(8, nanoseconds // 1_000 - EPOCH)


def moment(value: datetime | None) -> bytes:
    """Pack a timestamptz."""
    return NULL if value is None else _integer(8, (value - _EPOCH) // _MICROSECOND)


def amount(value: int | None) -> bytes:
    """Pack a numeric that isn't negative, of a whole number of 1e-10."""
    if value is None:
        return NULL
    rest, digits = value * 100, []  # in digits of base 10,000, three of them behind the point
    while rest:
        rest, digit = divmod(rest, 10_000)
        digits.append(digit)
    count = len(digits)
    digits.reverse()
    packed = b"".join(digit.to_bytes(2, "big") for digit in digits)
    weight = count - 4 if count else 0
    return _length(8 + 2 * count) + Struct("!hhHh").pack(count, weight, 0, NUMERIC_SCALE) + packed
