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


def test_attributes_that_make_no_sense_leave_the_field_to_an_object() -> None:
    wrong = {"gen_ai.usage.input_tokens": -1}
    usage = {"langfuse.observation.usage_details": '{"input": 7, "output": 5}'}
    span = map_one({**wrong, **usage})
    assert (span.input_tokens, span.output_tokens, json.loads(span.attributes)) == (7, 5, wrong)


def test_an_object_that_says_the_same_in_other_words_goes() -> None:
    told = {"gen_ai.usage.cost": 0.5, "gen_ai.usage.input_tokens": "10"}
    costs = {"langfuse.observation.cost_details": '{"total": 0.5}'}
    span = map_one({**told, **costs, "langfuse.observation.usage_details": '{"input": 10}'})
    assert (span.input_tokens, span.reported_cost, json.loads(span.attributes)) == (10, Decimal("0.5"), {})


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


CALL = {"type": "tool_call", "id": "call_1", "name": "get_weather", "arguments": {"city": "Paris"}}
RESULT = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "rainy"}]}

VERCEL_PROMPT = [
    {"role": "user", "content": [{"type": "text", "text": "Weather in Paris?"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "tool-call", "toolCallId": "call_1", "toolName": "get_weather", "input": {"city": "Paris"}}
        ],
    },
    {
        "role": "tool",
        "content": [
            {
                "type": "tool-result",
                "toolCallId": "call_1",
                "toolName": "get_weather",
                "output": {"type": "text", "value": "rainy"},
            }
        ],
    },
]
VERCEL_CALL = {  # ai 5
    "operation.name": "ai.streamText.doStream",
    "ai.operationId": "ai.streamText.doStream",
    "ai.model.id": "gpt-4o-mini",
    "ai.model.provider": "openai.chat",
    "ai.prompt.messages": json.dumps(VERCEL_PROMPT),
    "ai.response.text": "It rains.",
    "ai.response.finishReason": "stop",
    "ai.response.model": "gpt-4o-mini-2024-07-18",
    "ai.response.msToFirstChunk": 123.5,
    "ai.usage.inputTokens": 100,
    "ai.usage.outputTokens": 20,
    "ai.usage.cachedInputTokens": 40,
    "ai.usage.reasoningTokens": 5,
    "ai.telemetry.metadata.sessionId": "conversation",
}


def test_vercels_call_of_a_model() -> None:
    span = map_one(VERCEL_CALL)
    assert (span.kind, span.operation, span.provider) == ("model_call", "chat", "openai.chat")
    assert (span.request_model, span.response_model) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (span.input_tokens, span.cached_tokens, span.output_tokens, span.reasoning_tokens) == (100, 40, 20, 5)
    assert (span.session_id, span.finish_reason, span.time_to_first_token_ms) == ("conversation", "stop", 123.5)
    assert parsed(span.input) == [QUESTION, {"role": "assistant", "parts": [CALL]}, RESULT]
    assert parsed(span.output) == [ANSWER]
    assert parsed(span.attributes) == {"operation.name": "ai.streamText.doStream"}


@pytest.mark.parametrize("arguments", ["args", "input"])
def test_vercels_answer_is_one_message(arguments: str) -> None:
    calls = [{"toolCallId": "call_1", "toolName": "get_weather", arguments: '{"city":"Paris"}'}]
    said = {"ai.response.toolCalls": json.dumps(calls), "ai.response.reasoning": "Look it up."}
    span = map_one({**VERCEL_CALL, **said})
    reasoning = {"type": "reasoning", "content": "Look it up."}
    assert parsed(span.output) == [{"role": "assistant", "parts": [reasoning, *ANSWER["parts"], CALL]}]
    only_calls = map_one({"ai.operationId": "ai.generateText.doGenerate", **said, "ai.response.reasoning": ""})
    assert parsed(only_calls.output) == [{"role": "assistant", "parts": [CALL]}]


def test_a_better_spelling_goes_before_vercels_answer() -> None:
    span = map_one({**VERCEL_CALL, "gen_ai.output.messages": json.dumps([RESULT]), "ai.response.object": "{}"})
    assert parsed(span.output) == [RESULT]


@pytest.mark.parametrize(
    ("operation", "kind", "detail"),
    [
        ("ai.generateText", "execution", "chain"),
        ("ai.streamObject", "execution", "chain"),
        ("ai.generateObject.doGenerate", "model_call", "chat"),
        ("ai.embedMany.doEmbed", "model_call", "embeddings"),
        ("ai.rerank.doRerank", "execution", "reranker"),
        ("ai.toolCall", "tool_execution", ""),
    ],
)
def test_vercels_operations(operation: str, kind: str, detail: str) -> None:
    span = map_one({"ai.operationId": operation, "ai.model.id": "m"})
    assert (span.kind, span.agent_type or span.operation) == (kind, detail)


def test_vercels_wrapper_says_all_that_it_says() -> None:
    said = {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "my-fn", "ai.usage.promptTokens": 100}
    told = {"ai.prompt": '{"prompt":"hi"}', "ai.response.text": "hello", "ai.telemetry.metadata.userId": "u9"}
    span = map_one({**said, **told, "ai.usage.completionTokens": 20})
    assert (span.input_tokens, span.output_tokens, span.user_name) == (100, 20, "u9")
    assert (parsed(span.input), parsed(span.output)) == ({"prompt": "hi"}, "hello")
    assert parsed(span.attributes) == {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "my-fn"}


def test_vercels_tool() -> None:
    said = {"ai.toolCall.name": "weather", "ai.toolCall.id": "call_1", "ai.toolCall.args": '{"city":"Paris"}'}
    span = map_one({"ai.operationId": "ai.toolCall", **said, "ai.toolCall.result": '"sunny"'})
    assert (span.kind, span.tool_name, span.tool_call_id) == ("tool_execution", "weather", "call_1")
    assert (parsed(span.input), parsed(span.output)) == ({"city": "Paris"}, "sunny")
    assert parsed(span.attributes) == {}


@pytest.mark.parametrize(
    ("said", "expected"),
    [('"sunny"', "sunny"), ('"[1]"', "[1]"), ('"{}"', "{}"), ("[1]", [1]), ("42", 42), ("sunny", "sunny")],
)
def test_a_text_within_json_is_a_text(said: str, expected: Any) -> None:
    span = map_one({"ai.operationId": "ai.toolCall", "ai.toolCall.name": "weather", "ai.toolCall.result": said})
    assert parsed(span.output) == expected


@pytest.mark.parametrize("empty", ["", []])
@pytest.mark.parametrize("full", ["ai.response.object", "output.value"])
@pytest.mark.parametrize("operation", ["ai.generateObject.doGenerate", "ai.generateObject"])
def test_an_empty_part_hides_nothing(operation: str, full: str, empty: Any) -> None:
    span = map_one({"ai.operationId": operation, "ai.response.text": empty, full: '{"a": 1}'})
    assert "a" in json.dumps(parsed(span.output)), span.output


@pytest.mark.parametrize("quote", [str, json.dumps])
def test_mlflows_chat_model(quote: Any) -> None:
    span = map_one(
        {
            "mlflow.spanType": quote("CHAT_MODEL"),
            "mlflow.llm.model": quote("gpt-4o"),
            "mlflow.llm.provider": quote("openai"),
            "mlflow.spanInputs": '{"messages": [{"role": "user", "content": "Weather in Paris?"}]}',
            "mlflow.spanOutputs": '"It rains."',
            "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 20, "total_tokens": 120,'
            ' "cache_read_input_tokens": 40}',
            "mlflow.llm.cost": {"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75},
        }
    )
    assert (span.kind, span.operation, span.request_model, span.provider) == ("model_call", "chat", "gpt-4o", "openai")
    assert (span.input_tokens, span.cached_tokens, span.output_tokens) == (100, 40, 20)
    assert span.reported_cost == Decimal("0.75")
    assert (parsed(span.input), parsed(span.output)) == ([QUESTION], [ANSWER])
    assert list(parsed(span.attributes)) == ["mlflow.llm.cost"], "It says more than the total."


@pytest.mark.parametrize(
    ("said", "kind", "detail"),
    [
        ("LLM", "model_call", "chat"),
        ("TOOL", "tool_execution", ""),
        ("AGENT", "execution", "agent"),
        ("CHAIN", "execution", "chain"),
        ("RETRIEVER", "execution", "retriever"),
        ("EMBEDDING", "model_call", "embeddings"),
        ("RERANKER", "execution", "reranker"),
        ("WORKFLOW", "execution", "workflow"),
        ("PARSER", "execution", "step"),
        ("UNKNOWN", "execution", "step"),
    ],
)
def test_mlflows_types(said: str, kind: str, detail: str) -> None:
    span = map_one({"mlflow.spanType": f'"{said}"', "mlflow.spanOutputs": "42"})
    assert (span.kind, span.agent_type or span.operation) == (kind, detail)
    assert span.kind == "model_call" or parsed(span.output) == 42


def test_openllmetrys_oldest_names() -> None:
    span = map_one(
        {
            "llm.request.type": "completion",
            "llm.vendor": "OpenAI",
            "llm.request.model": "gpt-3.5-turbo-instruct",
            "llm.response.model": "gpt-3.5-turbo-instruct-0914",
            "llm.usage.prompt_tokens": 10,
            "llm.usage.completion_tokens": 20,
            "llm.prompts.0.role": "user",
            "llm.prompts.0.content": "Weather in Paris?",
            "llm.completions.0.content": "It rains.",
        }
    )
    assert (span.provider, span.request_model) == ("OpenAI", "gpt-3.5-turbo-instruct")
    assert (span.response_model, span.input_tokens, span.output_tokens) == ("gpt-3.5-turbo-instruct-0914", 10, 20)
    assert (parsed(span.input), parsed(span.output)) == ([QUESTION], [ANSWER])
    assert parsed(span.attributes) == {}


def test_litellms_cost() -> None:
    assert map_one({"gen_ai.operation.name": "chat", "gen_ai.cost.total_cost": 0.5}).reported_cost == Decimal("0.5")


@pytest.mark.parametrize(
    ("kind", "prefix"), [("RETRIEVER", "retrieval.documents"), ("RERANKER", "reranker.output_documents")]
)
def test_documents_are_the_output_of_what_finds_them(kind: str, prefix: str) -> None:
    found = {
        f"{prefix}.{number}.document.{key}": value
        for number in (1, 0)
        for key, value in (("id", str(number)), ("content", "doc A"), ("score", 0.5), ("metadata", '{"a": 1}'))
    }
    span = map_one({"openinference.span.kind": kind, "output.value": "[…]", **found})
    assert parsed(span.output) == [
        {"id": number, "content": "doc A", "score": 0.5, "metadata": '{"a": 1}'} for number in ("0", "1")
    ]
    assert parsed(span.attributes) == {}


def test_a_rerankers_query_is_its_input() -> None:
    span = map_one({"openinference.span.kind": "RERANKER", "reranker.query": "capital of France"})
    assert parsed(span.input) == "capital of France"
