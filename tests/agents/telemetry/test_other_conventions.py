"""Spans of frameworks with attributes of their own, as their SDKs send them, made into the same records."""

import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agents.telemetry.spans import Span
from tests.agents.telemetry.otlp_kit import NOW, SECOND, add_span, map_one, mapped, only

QUESTION = {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]}
ANSWER = {"role": "assistant", "parts": [{"type": "text", "content": "It rains."}]}


def parsed(content: bytes | None) -> Any:
    return None if content is None else json.loads(content)


LANGFUSE_GENERATION = {  # langfuse 4.15
    "user.id": "user",
    "session.id": "conversation",
    "langfuse.observation.type": "generation",
    "langfuse.observation.input": '[{"role": "user", "content": "Weather in Paris?"}]',
    "langfuse.observation.output": '{"role": "assistant", "content": "It rains."}',
    "langfuse.observation.model.name": "gpt-4o-mini",
    "langfuse.observation.model.parameters": '{"temperature": 0.3}',
    "langfuse.observation.usage_details": '{"input": 600, "output": 150, "input_cached_tokens": 400}',
    "langfuse.observation.cost_details": '{"total": 0.5}',
}


def test_langfuses_generation_is_a_model_call() -> None:
    span = map_one(LANGFUSE_GENERATION)
    assert (span.kind, span.operation, span.request_model) == ("model_call", "chat", "gpt-4o-mini")
    assert (span.input_tokens, span.cached_tokens, span.output_tokens) == (1000, 400, 150)
    assert (span.session_id, span.reported_cost) == ("conversation", Decimal("0.5"))
    assert parsed(span.parameters) == {"temperature": 0.3}
    assert parsed(span.input) == [QUESTION]
    assert parsed(span.output) == [ANSWER]
    assert not any(key.startswith("langfuse.") for key in json.loads(span.attributes))


@pytest.mark.parametrize(
    ("said", "kind", "detail"),
    [
        ("agent", "execution", "agent"),
        ("tool", "tool_execution", ""),
        ("chain", "execution", "chain"),
        ("retriever", "execution", "retriever"),
        ("embedding", "model_call", "embeddings"),
        ("evaluator", "execution", "evaluator"),
        ("guardrail", "execution", "guardrail"),
        ("span", "execution", "step"),
        ("event", "execution", "step"),
    ],
)
def test_langfuses_types(said: str, kind: str, detail: str) -> None:
    span = map_one({"langfuse.observation.type": said, "langfuse.observation.input": "x"}, name="weather")
    assert (span.kind, span.agent_type or span.operation) == (kind, detail)
    assert span.agent_name == ("weather" if said == "agent" else "")
    assert span.tool_name == ("weather" if said == "tool" else "")
    assert json.loads(span.attributes) == ({"langfuse.observation.type": said} if detail == "step" else {})


def test_a_span_of_langfuse_is_what_others_say_of_it() -> None:
    assert map_one({"langfuse.observation.type": "span", "gen_ai.operation.name": "chat"}).kind == "model_call"
    assert map_one({"langfuse.observation.type": "span", "gen_ai.request.model": "m"}).kind == "model_call"


@pytest.mark.parametrize(
    ("usage", "expected", "kept"),
    [
        ({"input": 10, "output": 5, "total": 15}, (10, None, None, 5, None), False),
        ({"input": 77}, (77, None, None, None, None), False),
        ({"input": 10, "cache_read_input_tokens": 30, "output": 5}, (40, 30, None, 5, None), False),
        ({"input": 10, "input_cache_read": 30, "input_cache_creation": 20}, (60, 30, 20, None, None), False),
        ({"input": 60, "input_cached_tokens": 30, "output": 5, "total": 65}, (60, 30, None, 5, None), False),
        ({"input": 30, "input_cached_tokens": 30, "output": 5, "total": 65}, (60, 30, None, 5, None), False),
        ({"output": 5, "output_reasoning_tokens": 7}, (None, None, None, 12, 7), False),
        (
            {"prompt_tokens": 60, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 30}},
            (60, 30, None, 5, None),
            False,
        ),
        (
            {"input_tokens": 60, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}},
            (60, None, None, 5, 3),
            False,
        ),
        ({"input": 10, "input_audio_tokens": 5}, (15, None, None, None, None), True),
        ({"input": 10, "cache_creation_ephemeral_5m_input_tokens": 5}, (10, None, None, None, None), True),
        ({"input": 10, "images": 2}, (10, None, None, None, None), True),
        ({"input": -1, "output": "many"}, (None, None, None, None, None), True),
        ({"input": 2**31 - 1, "input_cached_tokens": 1}, (None, 1, None, None, None), True),
        ("not JSON", (None, None, None, None, None), True),
    ],
)
def test_usage_in_one_object(usage: Any, expected: tuple[int | None, ...], kept: bool) -> None:
    said = json.dumps(usage) if isinstance(usage, dict) else usage
    span = map_one({"langfuse.observation.type": "generation", "langfuse.observation.usage_details": said})
    found = (
        span.input_tokens,
        span.cached_tokens,
        span.cache_write_tokens,
        span.output_tokens,
        span.reasoning_tokens,
    )
    assert found == expected
    assert ("langfuse.observation.usage_details" in json.loads(span.attributes)) == kept


@pytest.mark.parametrize(
    ("costs", "expected", "kept"),
    [
        ({"total": 0.5}, "0.5", False),
        ({"input": 0.1, "output": 0.2}, "0.3", True),
        ({"input": 0.1, "output": 0.2, "total": 0.25}, "0.25", True),
        ({}, None, True),
        ({"total": -1}, None, True),
    ],
)
def test_costs_in_one_object(costs: dict[str, float], expected: str | None, kept: bool) -> None:
    said = {"langfuse.observation.cost_details": json.dumps(costs)}
    span = map_one({"langfuse.observation.type": "generation", **said})
    assert span.reported_cost == (None if expected is None else Decimal(expected))
    assert json.loads(span.attributes) == (said if kept else {})


def test_attributes_of_their_own_are_believed_before_an_object() -> None:
    usage = {"langfuse.observation.usage_details": '{"input": 7, "output": 5}'}
    span = map_one({**usage, "gen_ai.usage.input_tokens": 10})
    assert (span.input_tokens, span.output_tokens) == (10, 5)
    assert json.loads(span.attributes) == usage


def langfuse_failure(code: int, message: str, level: str, explained: str) -> Span:
    request = ExportTraceServiceRequest()
    said: dict[str, str] = {"langfuse.observation.level": level, "langfuse.observation.status_message": explained}
    span = add_span(request, {"langfuse.observation.type": "generation", **said})
    span.status.code = code
    span.status.message = message
    return only(mapped(request))


@pytest.mark.parametrize(("code", "message"), [(0, ""), (2, ""), (2, "boom")])
def test_langfuses_level_tells_an_error(code: int, message: str) -> None:
    span = langfuse_failure(code, message, "ERROR", "boom")
    assert (span.status, span.error_message) == ("failed", "boom")
    assert json.loads(span.attributes) == {}


def test_langfuses_other_levels_stay() -> None:
    span = langfuse_failure(0, "", "WARNING", "slow")
    assert (span.status, span.error_message) == ("completed", "")
    assert json.loads(span.attributes) == {
        "langfuse.observation.level": "WARNING",
        "langfuse.observation.status_message": "slow",
    }
    assert langfuse_failure(1, "", "ERROR", "handled").status == "completed"
    told_twice = langfuse_failure(2, "timeout", "ERROR", "boom")
    assert told_twice.error_message == "timeout"
    assert json.loads(told_twice.attributes) == {"langfuse.observation.status_message": "boom"}


@pytest.mark.parametrize("said", ["1970-01-01T00:00:01Z", "soon", "2026-05-28T20:26:40", 5])
def test_a_senseless_first_token_stays(said: Any) -> None:
    span = map_one({**LANGFUSE_GENERATION, "langfuse.observation.completion_start_time": said})
    assert span.time_to_first_token_ms is None
    assert json.loads(span.attributes)["langfuse.observation.completion_start_time"] == said


def test_langfuses_first_token() -> None:
    assert NOW - 2 * SECOND == 1_779_999_998 * SECOND, "The span starts at 2026-05-28T20:26:38Z."
    said = {"langfuse.observation.completion_start_time": '"2026-05-28T20:26:38.250000Z"'}
    span = map_one({**LANGFUSE_GENERATION, **said})
    assert span.time_to_first_token_ms == 250
