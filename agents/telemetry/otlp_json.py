"""OTLP's JSON read into protobuf messages.

protobuf's own ``json_format`` can't: OTLP writes ids in hex, not base64, and it would take twenty times as long. The
fields, their JSON names and their types come from the messages' descriptors, so that nothing is said twice and a new
version of opentelemetry-proto needs no change here.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

NESTING_LIMIT = 100
"""Messages inside messages: what protobuf's binary decoder allows too."""

HEX_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})

SHORT_WAY = {
    "stringValue": (str, "string_value"),
    "intValue": (int, "int_value"),
    "doubleValue": (float, "double_value"),
    "boolValue": (bool, "bool_value"),
}
"""Values of AnyValue that JSON says in one word: the type that the word must have, and the field."""
_NO_SHORT_WAY: tuple[type | None, str] = (None, "")

_Setter = Callable[[Any, Any, int], None]
_tables: dict[str, dict[str, _Setter]] = {}


class MismatchError(ValueError):
    """The JSON document isn't of the message's form."""


def to_message(document: object) -> ExportTraceServiceRequest:
    """Return the request that a parsed JSON document says.

    Unknown members are ignored and null means unset, as the specification asks. An id that isn't hex, and a time out
    of range, become empty: its span is then rejected by itself, and the others are kept.

    Raises:
        MismatchError: a member has a value that its field can't hold, or messages are nested too deeply.
    """
    request = ExportTraceServiceRequest()
    _fill(request, document, _table(request.DESCRIPTOR), 0)
    return request


def _fill(message: Any, members: object, table: dict[str, _Setter], depth: int) -> None:
    if type(members) is not dict:
        raise MismatchError(f"{message.DESCRIPTOR.name} must be an object")
    if depth > NESTING_LIMIT:
        raise MismatchError("nested too deeply")
    for key, value in members.items():
        setter = table.get(key)
        if setter is not None and value is not None:
            try:
                setter(message, value, depth)
            except MismatchError:
                raise
            except (TypeError, ValueError, OverflowError) as error:
                raise MismatchError(f"{message.DESCRIPTOR.name}.{key}: {error}") from error


def _table(descriptor: Descriptor) -> dict[str, _Setter]:
    """Return what sets each field of a message, by the field's JSON name; made once a type."""
    table = _tables.get(descriptor.full_name)
    if table is None:
        table = _tables[descriptor.full_name] = {}
        table.update({field.json_name: _setter(field) for field in descriptor.fields})
    return table


def _setter(field: FieldDescriptor) -> _Setter:
    if field.message_type is not None:
        table = _table(field.message_type)
        if field.message_type.full_name == KeyValue.DESCRIPTOR.full_name:
            return _attributes(field.name, table)
        return _messages(field.name, table) if field.is_repeated else _message(field.name, table)
    scalar = _scalar(field)
    attribute = field.name
    if field.is_repeated:
        return lambda message, value, depth: getattr(message, attribute).extend([scalar(item) for item in _list(value)])
    return lambda message, value, depth: setattr(message, attribute, scalar(value))


def _message(attribute: str, table: dict[str, _Setter]) -> _Setter:
    def set_message(message: Message, value: Any, depth: int) -> None:
        child = getattr(message, attribute)
        child.SetInParent()
        _fill(child, value, table, depth + 1)

    return set_message


def _messages(attribute: str, table: dict[str, _Setter]) -> _Setter:
    def add_messages(message: Message, value: Any, depth: int) -> None:
        add = getattr(message, attribute).add
        for item in _list(value):
            _fill(add(), {} if item is None else item, table, depth + 1)

    return add_messages


def _attributes(attribute: str, table: dict[str, _Setter]) -> _Setter:
    """As ``_messages``, with a short way for nearly all attributes: a key with a text, a number or a boolean."""

    def add_attributes(message: Message, value: Any, depth: int) -> None:
        add = getattr(message, attribute).add
        for item in _list(value):
            made = add()
            if type(item) is dict and type(held := item.get("value")) is dict and len(held) == 1:
                ((kind, inner),) = held.items()
                word, field = SHORT_WAY.get(kind, _NO_SHORT_WAY)
                if type(inner) is word and type(key := item.get("key")) is str:
                    made.key = key
                    setattr(made.value, field, inner)
                    continue
            _fill(made, {} if item is None else item, table, depth + 1)

    return add_attributes


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise MismatchError("a list is expected")
    return value


def _scalar(field: FieldDescriptor) -> Callable[[Any], Any]:
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        return _text
    if kind == FieldDescriptor.TYPE_BYTES:
        return _hex if field.name in HEX_FIELDS else _base64
    if kind == FieldDescriptor.TYPE_BOOL:
        return _boolean
    if kind == FieldDescriptor.TYPE_DOUBLE:
        return _double
    if field.enum_type is not None:
        names = {value.name: value.number for value in field.enum_type.values}
        return lambda value: names[value] if type(value) is str and value in names else _integer(value)
    if kind == FieldDescriptor.TYPE_FIXED64:
        return _time
    return _integer


def _text(value: Any) -> str:
    if type(value) is not str:
        raise MismatchError("a text is expected")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise MismatchError("true or false is expected")
    return value


def _integer(value: Any) -> int:
    """Read a number or a text of digits; the range is protobuf's to judge."""
    if type(value) is int:
        return value
    if type(value) is str and len(value) <= 32:
        return int(value)
    if type(value) is float and value.is_integer():
        return int(value)
    raise MismatchError("an integer is expected")


def _time(value: Any) -> int:
    nanoseconds = _integer(value)
    return nanoseconds if 0 <= nanoseconds < 1 << 64 else 0


def _double(value: Any) -> float:
    """Read a number, or a text of one: proto3's JSON also writes NaN, Infinity and -Infinity."""
    if type(value) in (int, float, str):
        return float(value)
    raise MismatchError("a number is expected")


def _hex(value: Any) -> bytes:
    try:
        return bytes.fromhex(_text(value))
    except ValueError:
        return b""


def _base64(value: Any) -> bytes:
    """Read base64 in either alphabet, with or without padding."""
    digits = _text(value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except binascii.Error as error:
        raise MismatchError(f"base64 is expected: {error}") from error
