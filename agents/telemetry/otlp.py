"""OTLP over HTTP, to the letter: requests decoded, answers encoded.

The source of every rule here is the OpenTelemetry protocol specification, «OTLP/HTTP»
(https://opentelemetry.io/docs/specs/otlp/#otlphttp). No view and no database: bytes in, messages out, and back.
"""

import re
import zlib
from enum import IntEnum

import orjson
from google.protobuf import any_pb2, json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from agents.telemetry import otlp_json, text

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

MESSAGE_LIMIT = 10_000
"""Characters of an answer's message: far below the 4 MiB that the specification allows a response."""

GZIP_MEMBERS_LIMIT = 16
"""Members (RFC 1952) of one body. Exporters write one; each further one costs a copy of what follows it."""

_LONE_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class Code(IntEnum):
    """The codes of google.rpc.Code that we answer with. Clients act on the HTTP status, and may log these."""

    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class ProtocolError(Exception):
    """A request that is refused as a whole.

    Args:
        status: of HTTP. Only 429, 502, 503 and 504 make clients send the same data again.
        code: of google.rpc.Code.
        message: for the developer of the client.
        retry_after: seconds, for the header of that name; None without one.
    """

    def __init__(self, status: int, code: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def decode(
    body: bytes, content_type: str, content_encoding: str, *, limit: int, decompressed_limit: int
) -> ExportTraceServiceRequest:
    """Return the request that a body holds.

    Args:
        body: as it came.
        content_type: the header; parameters such as a charset are ignored.
        content_encoding: the header; empty where absent.
        limit: bytes that the body may have as it came.
        decompressed_limit: bytes that it may have when decompressed.

    Raises:
        ProtocolError: 413 over a limit, 415 for an unknown type or encoding, 400 when undecodable.
    """
    media_type = _media_type(content_type)
    if media_type not in (PROTOBUF, JSON):
        raise ProtocolError(415, Code.INVALID_ARGUMENT, f"Content-Type must be {PROTOBUF} or {JSON}.")
    if len(body) > limit:
        raise ProtocolError(413, Code.RESOURCE_EXHAUSTED, f"The body has {len(body)} bytes; {limit} are allowed.")
    encoding = content_encoding.strip().lower()
    if encoding == "gzip":
        body = _gunzip(body, decompressed_limit)
    elif encoding not in ("", "none", "identity"):
        raise ProtocolError(415, Code.INVALID_ARGUMENT, "Content-Encoding must be gzip, or absent.")
    elif len(body) > decompressed_limit:
        raise _too_large(decompressed_limit)
    return _from_json(body) if media_type == JSON else _from_protobuf(body)


def response(content_type: str, rejected: int, reason: str) -> tuple[bytes, str]:
    """Return the body and media type of a 200: all taken, or all but ``rejected`` spans, for ``reason``.

    ``partial_success`` is set only when spans were rejected or there is a warning: clients must find it unset after a
    full success.
    """
    message = ExportTraceServiceResponse()
    if rejected or reason:
        message.partial_success.rejected_spans = rejected
        message.partial_success.error_message = _answer_text(reason)
    return _encode(message, content_type)


def error_body(content_type: str, code: int, message: str) -> tuple[bytes, str]:
    """Return the body and media type of a 4xx or 5xx: google.rpc.Status in the request's encoding.

    A request whose encoding is none that we know is answered in protobuf, the one that every client has. Bad data are
    told once more in ``details`` as a google.rpc.BadRequest, as the specification asks.
    """
    said = _answer_text(message)
    status = Status(code=code, message=said)
    if code == Code.INVALID_ARGUMENT:
        detail = any_pb2.Any()
        detail.Pack(BadRequest(field_violations=[BadRequest.FieldViolation(field="body", description=said)]))
        status.details.append(detail)
    return _encode(status, content_type)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _answer_text(message: str) -> str:
    return text.cut(text.clean(message), MESSAGE_LIMIT)


def _encode(message: Message, content_type: str) -> tuple[bytes, str]:
    if _media_type(content_type) == JSON:
        return orjson.dumps(json_format.MessageToDict(message)), JSON
    return message.SerializeToString(), PROTOBUF


def _gunzip(body: bytes, limit: int) -> bytes:
    """Decompress the members of a gzip file, never holding more than ``limit`` bytes and one."""
    parts: list[bytes] = []
    room = limit
    for _ in range(GZIP_MEMBERS_LIMIT):
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(body, room + 1)
        except zlib.error as error:
            raise _undecodable(f"The body is not gzip: {error}.") from error
        if len(part) > room:
            raise _too_large(limit)
        if not member.eof:
            raise _undecodable("The gzip body ends too early.")
        parts.append(part)
        room -= len(part)
        body = member.unused_data
        if not body:
            return b"".join(parts)
    raise _undecodable(f"The gzip body has more than {GZIP_MEMBERS_LIMIT} members.")


def _from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise _undecodable(f"The body is not an ExportTraceServiceRequest: {error}.") from error


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _mended(body, error)
    try:
        return otlp_json.to_message(document)
    except otlp_json.MismatchError as error:
        raise _undecodable(f"The JSON body is not an ExportTraceServiceRequest: {error}.") from error


def _mended(body: bytes, error: orjson.JSONDecodeError) -> object:
    """Parse once more without lone surrogates, where these may have been the fault."""
    if _LONE_SURROGATE_ESCAPE.search(body) is not None:
        try:
            return orjson.loads(text.mend_surrogates(body))
        except orjson.JSONDecodeError as still:
            error = still
    raise _undecodable(f"The body is not JSON: {error}.") from error


def _undecodable(message: str) -> ProtocolError:
    return ProtocolError(400, Code.INVALID_ARGUMENT, message)


def _too_large(limit: int) -> ProtocolError:
    return ProtocolError(413, Code.RESOURCE_EXHAUSTED, f"The body decompressed has more than {limit} bytes.")
