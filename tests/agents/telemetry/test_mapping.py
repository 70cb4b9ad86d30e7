"""Every valid span becomes one record, a bad one costs itself, and nothing a client sends is an exception."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agents.telemetry import events, leftovers, text
from agents.telemetry.conventions import MESSAGE_EVENTS_SPELLING
from agents.telemetry.spans import Evaluation, Span
from tests.agents.telemetry.otlp_kit import (
    NOW,
    SECOND,
    TRACE_ID,
    add_event,
    add_span,
    any_value,
    assert_storable,
    map_one,
    mapped,
    only,
)

DAY = 86_400 * SECOND
YEAR_2000 = 946_684_800 * SECOND


def test_the_spans_own_facts():
    span = map_one(name=" work ", parent_span_id=b"parent!!")
    assert (span.trace_id, span.span_id, span.parent_span_id) == (TRACE_ID, (1).to_bytes(8, "big"), b"parent!!")
    assert (span.name, span.started_ns, span.ended_ns) == ("work", NOW - 2 * SECOND, NOW)
    assert (span.status, span.error_type, span.error_message) == ("completed", "", "")
    assert (span.input, span.output, span.parameters, span.attributes) == (None, None, None, b"{}")


@pytest.mark.parametrize("parent", [b"", bytes(8), b"short", (1).to_bytes(8, "big")])
def test_a_parent_that_none_can_be_is_none(parent: bytes):
    assert map_one(parent_span_id=parent).parent_span_id is None


def test_a_span_without_a_name_is_named_by_its_kind():
    assert map_one(name=" ").name == "step"
    assert map_one({"openinference.span.kind": "LLM"}, name="").name == "chat"
    assert map_one({"openinference.span.kind": "TOOL"}, name="").name == "tool"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b""}, "without a valid trace id"),
        ({"trace_id": bytes(16)}, "without a valid trace id"),
        ({"trace_id": b"x" * 17}, "without a valid trace id"),
        ({"span_id": b""}, "without a valid span id"),
        ({"span_id": bytes(8)}, "without a valid span id"),
        ({"span_id": b"x" * 7}, "without a valid span id"),
        ({"start_time_unix_nano": 0}, "without a start time"),
        ({"start_time_unix_nano": 1}, "started before the year 2000"),
        ({"start_time_unix_nano": YEAR_2000 - 1}, "started before the year 2000"),
        ({"end_time_unix_nano": 0}, "without an end time"),
        ({"end_time_unix_nano": NOW - 3 * SECOND}, "ended before the start"),
        ({"end_time_unix_nano": NOW + DAY + 1}, "more than a day in the future"),
        ({"start_time_unix_nano": 1 << 63, "end_time_unix_nano": (1 << 64) - 1}, "more than a day in the future"),
    ],
)
def test_a_senseless_span_costs_itself_and_says_why(fields: dict[str, Any], reason: str):
    request = ExportTraceServiceRequest()
    add_span(request, name="first")
    add_span(request, **{"name": "bad", **fields})
    add_span(request, name="last")
    result = mapped(request)
    assert [span.name for span in result.spans] == ["first", "last"]
    assert result.rejected == 1
    (said,) = result.reasons
    assert said.startswith(f"1 span {reason}, first 'bad'")


def test_the_bounds_themselves_are_valid():
    assert map_one(start_time_unix_nano=YEAR_2000).started_ns == YEAR_2000
    assert map_one(end_time_unix_nano=NOW + DAY).ended_ns == NOW + DAY
    assert map_one(start_time_unix_nano=NOW).ended_ns == NOW


def test_reasons_are_counted_not_repeated():
    request = ExportTraceServiceRequest()
    for number in range(1000):
        add_span(request, name="n" * number, trace_id=b"" if number % 2 else TRACE_ID, end_time_unix_nano=0)
    result = mapped(request)
    assert result.rejected == 1000
    assert len(result.reasons) == 2
    assert all(reason.startswith("500 spans ") and len(reason) < 200 for reason in result.reasons)


def test_an_empty_request_has_no_spans():
    result = mapped(ExportTraceServiceRequest())
    assert (result.spans, result.rejected, result.reasons) == ([], 0, [])


def failing(
    code: int, message: str = "", attributes: dict[str, Any] | None = None, *exceptions: dict[str, Any]
) -> Span:
    request = ExportTraceServiceRequest()
    span = add_span(request, attributes)
    span.status.code = code
    span.status.message = message
    for exception in exceptions:
        add_event(span, "exception", exception, after=1)
    return only(mapped(request))


RAISED = {"exception.type": "ValueError", "exception.message": "no", "exception.stacktrace": "at line 1"}


def test_an_error_status_fails_and_the_exception_tells_more():
    span = failing(2, "broken", None, RAISED)
    assert (span.status, span.error_type, span.error_message) == ("failed", "ValueError", "broken")
    assert json.loads(span.attributes)["events"] == [{"name": "exception", "after_ms": 1000, "attributes": RAISED}]
    assert failing(2, "", {"error.type": "timeout"}, RAISED).error_type == "timeout"
    assert failing(2, "", None, RAISED).error_message == "no"
    assert failing(2).status == "failed"


def test_a_span_that_did_not_fail_has_no_error():
    span = failing(1, "ignored", {"error.type": "retried"})
    assert (span.status, span.error_type, span.error_message) == ("completed", "", "")
    assert json.loads(span.attributes) == {"error.type": "retried"}


def test_an_exception_fails_only_where_the_status_is_unset():
    assert failing(0, "", None, RAISED).status == "failed"
    handled = failing(1, "", None, RAISED)
    assert (handled.status, handled.error_type, handled.error_message) == ("completed", "", "")


def test_evaluations_are_read_from_events():
    request = ExportTraceServiceRequest()
    span = add_span(request)
    said = {
        "gen_ai.evaluation.name": "Relevance",
        "gen_ai.evaluation.score.value": 4,
        "gen_ai.evaluation.score.label": "relevant",
        "gen_ai.evaluation.explanation": "To the point.",
    }
    add_event(span, "gen_ai.evaluation.result", said)
    add_event(span, "gen_ai.evaluation.result", {"gen_ai.evaluation.name": "Safety"})
    add_event(span, "gen_ai.evaluation.result", {"gen_ai.evaluation.score.value": 1})
    record = only(mapped(request))
    assert record.evaluations == [
        Evaluation("Relevance", 4.0, "relevant", "To the point."),
        Evaluation("Safety", None, "", ""),
    ]
    assert len(json.loads(record.attributes)["events"]) == 1, "a judgement without a name stays an event"


def test_links_and_other_events_stay_with_the_span():
    request = ExportTraceServiceRequest()
    span = add_span(request, dropped_attributes_count=3)
    link = span.links.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    link.attributes.add(key="why", value=any_value("retry"))
    add_event(span, "checkpoint", {"step": 1}, after=0.5)
    assert json.loads(only(mapped(request)).attributes) == {
        "events": [{"name": "checkpoint", "after_ms": 500, "attributes": {"step": 1}}],
        "links": [{"trace_id": "74" * 16, "span_id": "73" * 8, "attributes": {"why": "retry"}}],
        "dropped": 3,
    }


def test_events_and_links_beyond_so_many_are_counted():
    request = ExportTraceServiceRequest()
    span = add_span(request)
    for number in range(leftovers.LINKS_LIMIT + 3):
        span.links.add(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"))
    for _ in range(events.OTHERS_LIMIT + 4):
        add_event(span, "checkpoint", {})
    said = json.loads(only(mapped(request)).attributes)
    assert (len(said["links"]), len(said["events"]), said["left_out"]) == (128, 128, 7)


@pytest.mark.parametrize(
    ("said", "expected"),
    [(7, 7), (0, 0), ("7", 7), (7.0, 7), (2**31 - 1, 2**31 - 1)]
    + [(said, None) for said in (-1, 2**31, 7.5, "seven", "-7", "9" * 41, True, [7], float("nan"), "\u0667")],
)
def test_token_numbers(said: Any, expected: int | None):
    span = map_one({"gen_ai.usage.input_tokens": said})
    assert span.input_tokens == expected
    assert ("gen_ai.usage.input_tokens" in json.loads(span.attributes)) == (expected is None)


@pytest.mark.parametrize(
    ("said", "expected"),
    [(0.1, "0.1"), ("0.000012", "0.000012"), (3, "3"), (1e-15, "0"), (1e-7, "0.0000001")]
    + [(said, None) for said in (-0.1, "NaN", "Infinity", 1e9, "1e999999999", "free", False, float("inf"))],
)
def test_reported_costs(said: Any, expected: str | None):
    span = map_one({"llm.cost.total": said})
    assert span.reported_cost == (None if expected is None else Decimal(expected))


def test_values_of_every_type_stay_in_the_attributes():
    attributes = {"text": "é", "whole": -(2**63), "float": 0.5, "yes": True, "list": [1, ["a"], {}], "map": {"a": {}}}
    span = map_one({**attributes, "bytes": b"\x00\xff", "nan": float("nan"), "infinite": float("inf")})
    assert json.loads(span.attributes) == {**attributes, "bytes": "AP8=", "nan": None, "infinite": None}


@pytest.mark.parametrize("value", [5, True, "text", ["text"]])
def test_no_attribute_passes_for_messages_that_events_told(value: Any):
    span = map_one({MESSAGE_EVENTS_SPELLING: value, "gen_ai.operation.name": "chat"})
    assert (span.input, span.output) == (None, None)
    assert orjson.loads(span.attributes)[MESSAGE_EVENTS_SPELLING] == value


def test_nul_is_replaced_everywhere():
    request = ExportTraceServiceRequest()
    source = add_span(
        request,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m\x00",
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"a\\u0000b"}]}]',
            "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "c\x00"}]}],
            "gen_ai.system_instructions": "be\x00 brief",
            "gen_ai.request.stop": "\x00",
            "k\x00": "v\x00",
        },
        name="n\x00",
    )
    add_event(source, "exception", {"exception.type": "E\x00", "exception.message": "m\x00"})
    span = only(mapped(request))
    assert (span.name, span.request_model, span.error_type, span.error_message) == ("n�", "m�", "E�", "m�")
    assert_storable(span)
    assert json.loads(span.input)[1]["parts"][0]["content"] == "a�b"
    assert json.loads(span.attributes)["k�"] == "v�"


def test_a_lone_surrogate_inside_json_text_is_replaced():
    span = map_one({"gen_ai.tool.call.arguments": r'{"a": "\ud83d", "b": "\ud83d\ude00"}'})
    assert json.loads(span.input) == {"a": "�", "b": "😀"}


def test_an_attribute_of_five_megabytes_is_cut_and_says_so():
    span = map_one({"huge": "x" * 5_000_000, "list": ["y" * 40_000] * 3, "small": "z"})
    attributes = json.loads(span.attributes)
    assert attributes["huge"] == "x" * 65_536 + "… [cut: 4934464 characters]"
    assert attributes["list"].endswith("characters]")
    assert attributes["small"] == "z"


def test_very_many_attributes_are_bounded():
    span = map_one({f"key {number}": "x" * 60_000 for number in range(100)})
    attributes = json.loads(span.attributes)
    assert len(span.attributes) < text.ATTRIBUTES_LIMIT + 1000
    assert attributes["left_out"] == 100 - (len(attributes) - 1)


@pytest.mark.parametrize(("size", "number"), [(70_000, 1), (5_000_000, 1), (70_000, 30)])
def test_contents_are_bounded_and_stay_messages(size: int, number: int):
    message = {"role": "user", "parts": [{"type": "text", "content": '"' * size}]}
    said = json.dumps([message] * number)
    span = map_one({"gen_ai.operation.name": "chat", "gen_ai.input.messages": said})
    assert len(span.input) <= text.CONTENT_LIMIT + 100
    messages = json.loads(span.input)
    assert all(message["role"] == "user" and message["parts"][0]["type"] == "text" for message in messages)
    if size * number * 2 > text.CONTENT_LIMIT:
        assert messages[-1]["parts"][-1]["content"].endswith(" characters]")


def test_an_output_that_is_no_message_is_bounded_too():
    span = map_one({"gen_ai.tool.call.result": [["é\x00" * 1000] * 30] * 30})
    assert len(span.output) <= text.CONTENT_LIMIT + 100
    assert json.loads(span.output).endswith(" characters]")


def test_nesting_that_is_too_deep_is_kept_as_text():
    deep = "[" * 900 + "]" * 900
    span = map_one({"gen_ai.tool.call.arguments": deep})
    assert json.loads(span.input) == deep


def test_parameters_are_gathered_and_bounded():
    span = map_one(
        {
            "gen_ai.operation.name": "chat",
            "llm.invocation_parameters": '{"a": 1, "top_p": 2}',
            "gen_ai.request.top_p": 0.5,
        }
    )
    assert json.loads(span.parameters) == {"a": 1, "top_p": 0.5}
    span = map_one({"gen_ai.operation.name": "chat", "llm.invocation_parameters": "not json"})
    assert span.parameters is None
    assert json.loads(span.attributes) == {"llm.invocation_parameters": "not json"}
    span = map_one({"gen_ai.operation.name": "chat", "gen_ai.request.huge": "x" * 100_000})
    assert len(span.parameters) < text.VALUE_LIMIT + 1000
    assert json.loads(span.parameters)
