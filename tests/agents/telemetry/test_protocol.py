"""OTLP/HTTP to the letter: decoding, its refusals, and the answers. By the specification's own examples."""

import gzip
import json
import tracemalloc
from typing import Any

import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from agents.telemetry import otlp
from agents.telemetry.otlp import JSON, PROTOBUF, Code, ProtocolError
from tests.agents.telemetry.otlp_kit import LIMITS, add_span

# https://github.com/open-telemetry/opentelemetry-proto/blob/main/examples/trace.json, with an unknown member added.
EXAMPLE = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
            "futureField": {"any": ["thing"]},
            "scopeSpans": [
                {
                    "scope": {"name": "my.library", "version": "1.0.0"},
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "spanId": "eee19b7ec3c1b174",
                            "parentSpanId": "EEE19B7EC3C1B173",
                            "name": "I'm a server span",
                            "startTimeUnixNano": "1544712660000000000",
                            "endTimeUnixNano": 1544712661000000000,
                            "kind": 2,
                            "attributes": [
                                {"key": "text", "value": {"stringValue": "some value"}},
                                {"key": "number as text", "value": {"intValue": "-12"}},
                                {"key": "number", "value": {"intValue": 12}},
                                {"key": "double", "value": {"doubleValue": 0.5}},
                                {"key": "infinite", "value": {"doubleValue": "-Infinity"}},
                                {"key": "boolean", "value": {"boolValue": True}},
                                {"key": "bytes", "value": {"bytesValue": "AP8="}},
                                {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}},
                                {"key": "empty list", "value": {"arrayValue": {}}},
                                {"key": "map", "value": {"kvlistValue": {"values": [{"key": "a", "value": {}}]}}},
                                {"key": "nothing", "value": None},
                            ],
                            "events": [{"timeUnixNano": "1544712660500000000", "name": "event"}],
                            "links": [{"traceId": "5B8EFFF798038103D269B633813FC60D", "spanId": "EEE19B7EC3C1B175"}],
                            "status": {"code": 2, "message": "broken"},
                        }
                    ],
                }
            ],
        }
    ]
}


def decode(body: bytes, content_type: str = PROTOBUF, content_encoding: str = "", **limits: int) -> Any:
    return otlp.decode(body, content_type, content_encoding, **(LIMITS | limits))


def refusal(body: bytes, content_type: str = PROTOBUF, content_encoding: str = "", **limits: int) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode(body, content_type, content_encoding, **limits)
    assert caught.value.message
    assert caught.value.retry_after is None
    return caught.value


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.fixture
def request_message() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    add_span(request, {"gen_ai.operation.name": "chat"})
    return request


def test_json_says_what_protobuf_says():
    request = decode(as_json(EXAMPLE), JSON)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.span_id.hex() == "eee19b7ec3c1b174"
    assert span.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1544712660000000000, 1544712661000000000)
    assert (span.kind, span.status.code, span.status.message) == (2, 2, "broken")
    assert span.links[0].span_id.hex() == "eee19b7ec3c1b175"
    said = {pair.key: pair.value for pair in span.attributes}
    assert said["number as text"].int_value == -12
    assert said["number"].int_value == 12
    assert said["infinite"].double_value == float("-inf")
    assert said["bytes"].bytes_value == b"\x00\xff"
    assert said["list"].array_value.values[0].int_value == 1
    assert said["empty list"].WhichOneof("value") == "array_value"
    assert said["map"].kvlist_value.values[0].key == "a"
    assert said["nothing"].WhichOneof("value") is None
    assert decode(request.SerializeToString()) == request


def test_a_json_charset_and_enum_names_do_no_harm():
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [{"status": {"code": "STATUS_CODE_ERROR"}}]}]}]}
    request = decode(as_json(document), "Application/JSON; charset=utf-8")
    assert request.resource_spans[0].scope_spans[0].spans[0].status.code == 2


def test_original_field_names_are_not_read_in_json():
    assert decode(as_json({"resource_spans": [{}]}), JSON) == ExportTraceServiceRequest()


@pytest.mark.parametrize(("body", "content_type"), [(b"", PROTOBUF), (b"{}", JSON), (b'{"resourceSpans": null}', JSON)])
def test_an_empty_request_is_a_request(body: bytes, content_type: str):
    assert decode(body, content_type) == ExportTraceServiceRequest()


@pytest.mark.parametrize("encoding", ["", "none", "identity", " Identity "])
def test_no_compression_by_any_name(request_message: ExportTraceServiceRequest, encoding: str):
    assert decode(request_message.SerializeToString(), PROTOBUF, encoding) == request_message


def test_gzip_of_one_member_and_of_several(request_message: ExportTraceServiceRequest):
    body = request_message.SerializeToString()
    assert decode(gzip.compress(body, mtime=0), PROTOBUF, "gzip") == request_message
    assert (
        decode(gzip.compress(body[:20], mtime=0) + gzip.compress(body[20:], mtime=0), PROTOBUF, "GZIP")
        == request_message
    )


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [("text/plain", ""), ("", ""), ("application/jsonx", ""), (PROTOBUF, "br"), (PROTOBUF, "deflate"), (JSON, "zstd")],
)
def test_unknown_types_and_encodings_are_415(content_type: str, encoding: str):
    assert refusal(b"", content_type, encoding).status == 415


def test_too_large_is_413_before_and_after_decompression(request_message: ExportTraceServiceRequest):
    body = request_message.SerializeToString()
    size = len(body)
    assert decode(body, limit=size, decompressed_limit=size) == request_message
    assert refusal(body, limit=size - 1).status == 413
    assert refusal(body, decompressed_limit=size - 1).status == 413
    assert decode(gzip.compress(body, mtime=0), content_encoding="gzip", decompressed_limit=size) == request_message
    assert refusal(gzip.compress(body, mtime=0), content_encoding="gzip", decompressed_limit=size - 1).status == 413
    two = gzip.compress(body, mtime=0) * 2
    assert refusal(two, content_encoding="gzip", decompressed_limit=2 * size - 1).code == Code.RESOURCE_EXHAUSTED


def test_a_gzip_bomb_is_never_unpacked():
    bomb = gzip.compress(bytes(50_000_000), 9, mtime=0)
    tracemalloc.start()
    try:
        assert refusal(bomb, content_encoding="gzip", decompressed_limit=100_000).status == 413
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        b"not gzip",
        b"",
        gzip.compress(b"", mtime=0)[:-1],
        gzip.compress(b"x" * 1000, mtime=0)[:20],
        gzip.compress(b"", mtime=0) + b"trailing garbage",
        gzip.compress(b"", mtime=0) * 17,
        gzip.compress(b"", mtime=0)[:-8] + bytes(range(8)),
    ],
)
def test_broken_gzip_is_400(body: bytes):
    assert refusal(body, content_encoding="gzip").status == 400


NOT_A_REQUEST = [
    b"",
    b"[]",
    b"null",
    b"{",
    b"\xff",
    b"NaN",
    b"[" * 100_000,
    as_json({"resourceSpans": {}}),
    as_json({"resourceSpans": [1]}),
    as_json({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 1}]}]}]}),
    as_json({"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": 1 << 40}]}]}]}),
    as_json({"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": "NO_SUCH_KIND"}]}]}]}),
    as_json({"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}),
    as_json({"resourceSpans": [{"scopeSpans": [{"spans": [{"droppedLinksCount": -1}]}]}]}),
    as_json({"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": {"intValue": 1 << 63}}]}}]}),
    as_json({"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": {"intValue": 0.5}}]}}]}),
    as_json({"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": {"doubleValue": "many"}}]}}]}),
    as_json({"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": {"bytesValue": "*"}}]}}]}),
    as_json({"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": {"boolValue": 1}}]}}]}),
    b'{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":'
    + b'{"arrayValue":{"values":[' * 60
    + b"]}}" * 60
    + b"}]}}]}",
]


@pytest.mark.parametrize("body", NOT_A_REQUEST)
def test_json_of_another_form_is_400(body: bytes):
    refused = refusal(body, JSON)
    assert (refused.status, refused.code) == (400, Code.INVALID_ARGUMENT)


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab"])
def test_broken_protobuf_is_400(body: bytes):
    assert refusal(body).status == 400


def test_one_lone_surrogate_does_not_cost_the_request():
    body = rb'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"cut \uD83D, pair \uD83D\uDE00, text \\ud83d"}]}]}]}'
    assert decode(body, JSON).resource_spans[0].scope_spans[0].spans[0].name == "cut �, pair 😀, text \\ud83d"


def test_ids_that_are_not_hex_cost_only_their_span():
    spans = [{"traceId": "xyz", "spanId": 7, "startTimeUnixNano": -1}, {"name": "fine"}]
    request = decode(as_json({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}), JSON)
    bad, fine = request.resource_spans[0].scope_spans[0].spans
    assert (bad.trace_id, bad.span_id, bad.start_time_unix_nano) == (b"", b"", 0)
    assert fine.name == "fine"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1", "AAA=", "ff" * 8])
MEMBERS = [
    "resourceSpans",
    "scopeSpans",
    "spans",
    "traceId",
    "kind",
    "attributes",
    "key",
    "value",
    "stringValue",
    "intValue",
    "arrayValue",
    "values",
    "kvlistValue",
    "startTimeUnixNano",
    "status",
    "code",
    "events",
]
json_values = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=20,
)


@given(st.one_of(json_values.map(as_json), st.binary(max_size=200)), st.sampled_from([JSON, PROTOBUF]))
def test_nothing_but_a_protocol_error_ever_comes_out(body: bytes, content_type: str):
    try:
        assert isinstance(decode(body, content_type), ExportTraceServiceRequest)
    except ProtocolError as refused:
        assert refused.status == 400  # noqa: PT017


def test_full_success_leaves_partial_success_unset():
    assert otlp.response(PROTOBUF, 0, "") == (b"", PROTOBUF)
    assert otlp.response(f"{JSON}; charset=utf-8", 0, "") == (b"{}", JSON)


def test_partial_success_tells_the_number_and_the_reason():
    body, media_type = otlp.response(PROTOBUF, 2, "why\x00\ud800")
    message = ExportTraceServiceResponse.FromString(body)
    assert media_type == PROTOBUF
    assert (message.partial_success.rejected_spans, message.partial_success.error_message) == (2, "why��")
    body, _ = otlp.response(JSON, 2, "why")
    assert json.loads(body) == {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "why"}}
    assert json.loads(otlp.response(JSON, 0, "a warning")[0]) == {"partialSuccess": {"errorMessage": "a warning"}}


def test_a_response_stays_small_whatever_the_reason():
    assert len(otlp.response(JSON, 1, "x" * 5_000_000)[0]) < 20_000


def test_errors_are_a_status_in_the_requests_encoding():
    body, media_type = otlp.error_body(JSON, Code.UNAVAILABLE, "later")
    assert (json.loads(body), media_type) == ({"code": 14, "message": "later"}, JSON)
    for content_type in (PROTOBUF, "text/plain", ""):
        body, media_type = otlp.error_body(content_type, Code.UNAVAILABLE, "later")
        assert media_type == PROTOBUF
        assert Status.FromString(body) == Status(code=14, message="later")


def test_bad_data_are_told_in_the_details():
    status = Status.FromString(otlp.error_body(PROTOBUF, Code.INVALID_ARGUMENT, "not this")[0])
    bad = BadRequest()
    assert status.details[0].Unpack(bad)
    assert bad.field_violations[0].description == "not this"
    said = json.loads(otlp.error_body(JSON, Code.INVALID_ARGUMENT, "not this")[0])
    assert said["details"][0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"
