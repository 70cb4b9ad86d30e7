"""Any request at all, valid, broken and hostile: each span is kept or rejected, and nothing is an exception."""

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agents.telemetry import otlp
from agents.telemetry.conventions import BY_NAME, BY_PREFIX, MESSAGE_EVENTS
from agents.telemetry.mapping import map_spans
from tests.agents.telemetry.otlp_kit import (
    LIMITS,
    NOW,
    SECOND,
    TRACE_ID,
    add_event,
    add_span,
    as_json,
    assert_storable,
    mapped,
)

ATTRIBUTE_NAMES = [*BY_NAME, *(f"{prefix}.{tail}" for prefix in BY_PREFIX for tail in ("0", "0.content", "x.0", ""))]
TAILS = [
    "message.role",
    "message.content",
    "message.tool_calls.0.tool_call.function.name",
    "role",
    "content",
    "0.0",
    "",
]
names = (
    st.sampled_from(ATTRIBUTE_NAMES)
    | st.builds("{}.{}.{}".format, st.sampled_from(list(BY_PREFIX)), st.integers(0, 99), st.sampled_from(TAILS))
    | st.sampled_from(["resource", "events", "exception.type", "gen_ai.evaluation.name", "content", "tool_calls", "id"])
    | st.text(max_size=10)
)
messages_like = st.sampled_from(
    [
        '[{"role":"user","parts":[{"type":"text","content":"hi"}]}]',
        '[{"role":"user","content":[{"type":"text","text":"\\u0000"}],"tool_calls":[{"function":{"arguments":"{"}}]}]',
        '{"messages":[[{"role":"tool","content":null}],[]]}',
        '{"choices":[{"message":"x","finish_reason":1},2]}',
        '[{"parts":1,"role":2},[],null,"\\ud800"]',
        '[{"type":"text"},{"type":1}]',
        '{"temperature":1e308}',
        "[" * 300,
        "chat",
        "LLM",
        "TOOL",
        "invoke_agent",
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=9)
) | messages_like
attribute_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "parts", "content", "type", "a\x00"]), inner, max_size=3)
    ),
    max_leaves=6,
)
attribute_sets = st.dictionaries(names, attribute_values, max_size=8)
ids = st.sampled_from([TRACE_ID, b"12345678", bytes(8), bytes(16), b"", b"x"])
times = st.sampled_from([NOW - SECOND, NOW, 0, 1, 2**64 - 1]) | st.integers(0, 2**64 - 1)
event_names = st.sampled_from(
    [*MESSAGE_EVENTS, "exception", "gen_ai.evaluation.result", "First Token Stream Event", "x"]
)
span_sets = st.fixed_dictionaries(
    {"name": st.text(max_size=10), "attributes": attribute_sets},
    optional={
        "trace_id": ids,
        "span_id": ids,
        "parent_span_id": ids,
        "start_time_unix_nano": times,
        "end_time_unix_nano": times,
        "code": st.integers(-1, 3),
        "events": st.lists(st.tuples(event_names, attribute_sets), max_size=3),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for said in draw(st.lists(span_sets, max_size=3)):
        events = said.pop("events", [])
        code = said.pop("code", 0)
        span = add_span(request, **said)
        span.status.code = code
        for name, attributes in events:
            add_event(span, name, attributes)
    return request


@given(requests())
@settings(max_examples=200, deadline=None)
def test_every_span_of_any_request_is_kept_or_rejected(request: ExportTraceServiceRequest):
    result = mapped(request)
    sent = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    assert len(result.spans) + result.rejected == sent
    assert bool(result.reasons) == bool(result.rejected)
    for span in result.spans:
        assert_storable(span)
    assert map_spans(request, now_ns=NOW) == result, "the same span always gives the same record"


@given(requests())
@settings(max_examples=100, deadline=None)
def test_json_gives_the_same_records_as_protobuf(request: ExportTraceServiceRequest):
    decoded = otlp.decode(as_json(request), otlp.JSON, "", **LIMITS)
    again = otlp.decode(request.SerializeToString(), otlp.PROTOBUF, "", **LIMITS)
    assert repr(mapped(decoded)) == repr(mapped(again))
