"""Requests of telemetry made by hand, for the tests of decoding and mapping."""

import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from agents.telemetry.mapping import map_spans
from agents.telemetry.spans import Mapped, Span

NOW = 1_780_000_000_000_000_000
SECOND = 1_000_000_000
LIMITS = {"limit": 1 << 20, "decompressed_limit": 1 << 22}
TRACE_ID = bytes(range(1, 17))


def any_value(value: Any) -> AnyValue:
    """Return a Python value as OTLP writes it."""
    made = AnyValue()
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int):
        made.int_value = value
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, str):
        made.string_value = value
    elif isinstance(value, bytes):
        made.bytes_value = value
    elif isinstance(value, list):
        made.array_value.SetInParent()
        made.array_value.values.extend([any_value(item) for item in value])
    elif isinstance(value, dict):
        made.kvlist_value.SetInParent()
        for key, item in value.items():
            made.kvlist_value.values.add(key=key, value=any_value(item))
    return made


def set_attributes(pairs: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        pairs.add(key=key, value=any_value(value))


def add_span(request: ExportTraceServiceRequest, attributes: dict[str, Any] | None = None, **fields: Any) -> OtlpSpan:
    """Add a valid span of two seconds, then whatever the test says of it."""
    if not request.resource_spans:
        request.resource_spans.add().scope_spans.add()
    spans = request.resource_spans[0].scope_spans[0].spans
    span = spans.add(
        trace_id=TRACE_ID,
        span_id=(len(spans) + 1).to_bytes(8, "big"),
        name="work",
        start_time_unix_nano=NOW - 2 * SECOND,
        end_time_unix_nano=NOW,
    )
    for field, value in fields.items():
        setattr(span, field, value)
    set_attributes(span.attributes, attributes or {})
    return span


def add_event(span: OtlpSpan, name: str, attributes: dict[str, Any], *, after: float = 0) -> None:
    event = span.events.add(name=name, time_unix_nano=span.start_time_unix_nano + int(after * SECOND))
    set_attributes(event.attributes, attributes)


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """Return a request as OTLP's JSON has it: protobuf's own, but for ids, which are hex."""
    document = json_format.MessageToDict(request)
    for resource, said in zip(request.resource_spans, document.get("resourceSpans", []), strict=True):
        for scope, said_of_scope in zip(resource.scope_spans, said.get("scopeSpans", []), strict=True):
            for span, said_of_span in zip(scope.spans, said_of_scope.get("spans", []), strict=True):
                said_of_span["traceId"] = span.trace_id.hex()
                said_of_span["spanId"] = span.span_id.hex()
                said_of_span["parentSpanId"] = span.parent_span_id.hex()
    return orjson.dumps(document)


def map_one(attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    """Map a single span and return its record."""
    request = ExportTraceServiceRequest()
    add_span(request, attributes, **fields)
    return only(mapped(request))


def mapped(request: ExportTraceServiceRequest) -> Mapped:
    """Map a request's spans, none of which our own code may fail at."""
    result = map_spans(request, now_ns=NOW)
    assert not [reason for reason in result.reasons if "fault in Muster" in reason]
    return result


def only(result: Mapped) -> Span:
    assert result.reasons == []
    (span,) = result.spans
    return span


LENGTHS = {"name": 300, "error_message": 10_000, "finish_reason": 100, "operation": 50}
"""Columns of another length than 200."""


def assert_storable(span: Span) -> None:
    """Assert what the database and the storage rely on."""
    assert span.kind in ("execution", "model_call", "tool_execution")
    assert span.status in ("completed", "failed")
    assert len(span.trace_id) == 16
    assert len(span.span_id) == 8
    assert span.name
    assert bool(span.tool_name) or span.kind != "tool_execution"
    for field in Span.__slots__:
        value = getattr(span, field)
        if isinstance(value, str):
            value.encode()
            assert "\x00" not in value, field
            assert len(value) <= LENGTHS.get(field, 200), field
        elif isinstance(value, float):
            assert math.isfinite(value)
        else:
            assert value is None or isinstance(value, (bytes, int, Decimal, UUID, list)), field
    for content in (span.input, span.output, span.parameters, span.attributes):
        if content is not None:
            assert "\x00" not in repr_of_texts(orjson.loads(content))
    assert isinstance(orjson.loads(span.attributes), dict)
    if span.kind == "model_call":
        for content in filter(None, (span.input, span.output)):
            for message in orjson.loads(content):
                assert isinstance(message["role"], str)
                assert isinstance(message["parts"], list)


def repr_of_texts(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(f"{key}{repr_of_texts(child)}" for key, child in value.items())
    return "".join(map(repr_of_texts, value)) if isinstance(value, list) else ""
