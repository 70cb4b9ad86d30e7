"""Spans as each convention writes them, made into the same records."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agents.telemetry import conventions
from agents.telemetry.conventions import BY_NAME, BY_PREFIX, TABLE, Source
from agents.telemetry.mapping import CONVERTERS
from agents.telemetry.spans import Span
from tests.agents.telemetry.otlp_kit import add_event, add_span, map_one, mapped, only

QUESTION = {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]}
CALL = {"type": "tool_call", "id": "call_1", "name": "get_weather", "arguments": {"city": "Paris"}}
ASKED = {"role": "assistant", "parts": [CALL]}
RESULT = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "rainy"}]}
ANSWER = {"role": "assistant", "parts": [{"type": "text", "content": "It rains."}], "finish_reason": "stop"}
SYSTEM = {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}

GENAI_CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_write.input_tokens": 10,
    "gen_ai.usage.reasoning.output_tokens": 5,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.conversation.id": "conversation",
    "user.id": "user",
    "gen_ai.agent.name": "researcher",
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.system_instructions": json.dumps(SYSTEM["parts"]),
    "gen_ai.input.messages": json.dumps([QUESTION, ASKED, RESULT]),
    "gen_ai.output.messages": json.dumps([ANSWER]),
}

OLDER_CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_creation.input_tokens": 10,
    "gen_ai.usage.details.reasoning_tokens": 5,
    "gen_ai.conversation.id": "conversation",
    "enduser.id": "user",
    "gen_ai.agent.name": "researcher",
    "gen_ai.client.operation.time_to_first_chunk": 0.25,
}

OPENINFERENCE_CHAT = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.request.model_name": "gpt-4o",
    "llm.response.model_name": "gpt-4o-2024-08-06",
    "llm.invocation_parameters": '{"temperature": 0.5}',
    "llm.token_count.prompt": 100,
    "llm.token_count.completion": 20,
    "llm.token_count.prompt_details.cache_read": 40,
    "llm.token_count.prompt_details.cache_write": 10,
    "llm.token_count.completion_details.reasoning": 5,
    "llm.finish_reason": "stop",
    "session.id": "conversation",
    "user.id": "user",
    "agent.name": "researcher",
    "input.value": '{"messages": "the raw request"}',
    "input.mime_type": "application/json",
    "output.value": '{"choices": "the raw response"}',
    "output.mime_type": "application/json",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.contents.0.message_content.type": "text",
    "llm.input_messages.0.message.contents.0.message_content.text": "Be brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "Weather in Paris?",
    "llm.input_messages.2.message.role": "assistant",
    "llm.input_messages.2.message.tool_calls.0.tool_call.id": "call_1",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "get_weather",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": '{"city": "Paris"}',
    "llm.input_messages.3.message.role": "tool",
    "llm.input_messages.3.message.content": "rainy",
    "llm.input_messages.3.message.tool_call_id": "call_1",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "It rains.",
}

OPENLLMETRY_CHAT = {
    "llm.request.type": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": "20",
    "gen_ai.usage.cache_read_input_tokens": 40,
    "gen_ai.usage.cache_creation_input_tokens": 10.0,
    "gen_ai.usage.reasoning_tokens": 5,
    "llm.response.finish_reason": "stop",
    "traceloop.association.properties.session_id": "conversation",
    "traceloop.association.properties.user_id": "user",
    "gen_ai.agent.name": "researcher",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be brief.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": '[{"type": "text", "text": "Weather in Paris?"}]',
    "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "call_1",
    "gen_ai.prompt.2.tool_calls.0.name": "get_weather",
    "gen_ai.prompt.2.tool_calls.0.arguments": '{"city": "Paris"}',
    "gen_ai.prompt.3.role": "tool",
    "gen_ai.prompt.3.tool_call_id": "call_1",
    "gen_ai.prompt.3.content": "rainy",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "It rains.",
    "gen_ai.completion.0.finish_reason": "stop",
}

MESSAGE_EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("gen_ai.system.message", {"content": "Be brief."}),
    ("gen_ai.user.message", {"content": "Weather in Paris?"}),
    (
        "gen_ai.assistant.message",
        {
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "ARGS"}}
            ]
        },
    ),
    ("gen_ai.tool.message", {"id": "call_1", "content": "rainy"}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "It rains."}}),
]
MESSAGE_EVENTS[2][1]["tool_calls"][0]["function"]["arguments"] = '{"city": "Paris"}'


def chat_with_events() -> Span:
    request = ExportTraceServiceRequest()
    span = add_span(request, OLDER_CHAT)
    for name, attributes in MESSAGE_EVENTS:
        add_event(span, name, attributes)
    return only(mapped(request))


def chat_with_first_token_event() -> Span:
    request = ExportTraceServiceRequest()
    span = add_span(request, OPENINFERENCE_CHAT)
    add_event(span, "First Token Stream Event", {}, after=0.25)
    return only(mapped(request))


def chat_with_events_in_an_attribute() -> Span:
    events = [{"event.name": name, **attributes} for name, attributes in MESSAGE_EVENTS]
    return map_one({**OLDER_CHAT, "events": json.dumps(events)})


def openllmetry() -> Span:
    return map_one({**OPENLLMETRY_CHAT, "gen_ai.response.time_to_first_chunk": 0.25})


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: map_one(GENAI_CHAT), id="GenAI"),
        pytest.param(chat_with_events, id="GenAI, older, span events"),
        pytest.param(chat_with_events_in_an_attribute, id="Pydantic AI, events in an attribute"),
        pytest.param(chat_with_first_token_event, id="OpenInference"),
        pytest.param(openllmetry, id="OpenLLMetry"),
    ],
)
def test_every_convention_tells_the_same_model_call(make: Any):
    span = make()
    assert (span.kind, span.operation, span.agent_type) == ("model_call", "chat", "")
    assert (span.provider, span.request_model, span.response_model) == ("openai", "gpt-4o", "gpt-4o-2024-08-06")
    assert (span.input_tokens, span.output_tokens) == (100, 20)
    assert (span.cached_tokens, span.cache_write_tokens, span.reasoning_tokens) == (40, 10, 5)
    assert (span.session_id, span.agent_name) == ("conversation", "researcher")
    assert span.finish_reason == "stop"
    assert span.time_to_first_token_ms == 250
    assert json.loads(span.parameters) == {"temperature": 0.5}
    assert json.loads(span.input) == [SYSTEM, QUESTION, ASKED, RESULT]
    answer = json.loads(span.output)
    answer[0].setdefault("finish_reason", "stop")  # OpenInference tells it of the span, not of the message
    assert answer == [ANSWER]
    (user,) = json.loads(span.attributes).items()  # a model call has no column for it; all else has its place
    assert user[0] in {"user.id", "enduser.id", "traceloop.association.properties.user_id"}
    assert user[1] == "user"


def test_messages_in_genai_form_pass_through_as_they_came():
    said = '[ {"role" : "user", "parts":[{"content":"\\u00e9","type":"text","custom":1}]} ]'
    assert map_one({"gen_ai.operation.name": "chat", "gen_ai.input.messages": said}).input == said.encode()


def test_structured_messages_are_the_same_as_messages_in_text():
    in_text = map_one({"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps([QUESTION, ASKED])})
    structured = map_one({"gen_ai.operation.name": "chat", "gen_ai.input.messages": [QUESTION, ASKED]})
    assert json.loads(structured.input) == json.loads(in_text.input)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"input.value": "Weather in Paris?"}, [QUESTION]),
        ({"input.value": '{"messages": [{"role": "user", "content": "Weather in Paris?"}], "model": "m"}'}, [QUESTION]),
        ({"input.value": '{"messages": [[{"role": "user", "content": "Weather in Paris?"}]]}'}, [QUESTION]),
        ({"llm.prompts.0.prompt.text": "Weather in Paris?"}, [QUESTION]),
        ({"gen_ai.prompt": "Weather in Paris?"}, [QUESTION]),
        ({"gen_ai.input.messages": '[{"type": "text", "text": "Weather in Paris?"}]'}, [QUESTION]),
        (
            {"gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "te'},
            [{"role": "user", "parts": [{"type": "text", "content": '[{"role": "user", "parts": [{"type": "te'}]}],
        ),
        (
            {
                "llm.input_messages.0.message.contents.0.message_content.type": "image",
                "llm.input_messages.0.message.contents.0.message_content.image.image.url": "https://x/y.png",
            },
            [{"role": "user", "parts": [{"type": "uri", "modality": "image", "uri": "https://x/y.png"}]}],
        ),
        (
            {"gen_ai.input.messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}]},
            [{"role": "user", "parts": [{"type": "tool_call_response", "id": "1", "response": None}]}],
        ),
    ],
)
def test_a_model_calls_input_is_always_messages(attributes: dict[str, Any], expected: Any):
    span = map_one({"openinference.span.kind": "LLM", **attributes})
    assert json.loads(span.input) == expected


def test_an_attribute_that_is_only_called_events_stays_one():
    assert json.loads(map_one({"events": "three"}).attributes) == {"attribute.events": "three"}


def test_flattened_messages_keep_their_order_by_number():
    attributes = {f"gen_ai.prompt.{number}.content": str(number) for number in (10, 9, 2, 1, 11)}
    span = map_one({"llm.request.type": "chat", **attributes})
    assert [said["parts"][0]["content"] for said in json.loads(span.input)] == ["1", "2", "9", "10", "11"]


def test_a_tool_execution_has_its_call_whole():
    span = map_one(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": "call_1",
            "gen_ai.tool.call.arguments": '{"city": "Paris"}',
            "gen_ai.tool.call.result": {"weather": ["rain"]},
            "gen_ai.tool.description": "Says the weather.",
        }
    )
    assert (span.tool_name, span.tool_type, span.tool_call_id) == ("get_weather", "function", "call_1")
    assert json.loads(span.input) == {"city": "Paris"}
    assert json.loads(span.output) == {"weather": ["rain"]}
    assert json.loads(span.attributes) == {"gen_ai.tool.description": "Says the weather."}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"input.value": "plain"}, "plain"),
        ({"input.value": '{"a": 1}'}, {"a": 1}),
        ({"input.value": '{"a": 1}', "input.mime_type": "text/plain"}, '{"a": 1}'),
        ({"input.value": "{broken", "input.mime_type": "application/json"}, "{broken"),
        ({"input.value": "42"}, "42"),
        ({"input.value": 42}, 42),
        ({"input.value": "", "traceloop.entity.input": '{"inputs": {}}'}, {"inputs": {}}),
        ({"gen_ai.retrieval.query.text": "capital of France"}, "capital of France"),
        ({"gen_ai.input.messages": json.dumps([QUESTION])}, [QUESTION]),
    ],
)
def test_other_inputs_are_any_json(attributes: dict[str, Any], expected: Any):
    assert json.loads(map_one({"openinference.span.kind": "CHAIN", **attributes}).input) == expected


def test_what_several_spellings_say_differently_is_kept():
    span = map_one(
        {
            "gen_ai.usage.prompt_tokens": 90,
            "gen_ai.usage.input_tokens": 100,
            "llm.token_count.prompt": 100,
            "llm.system": "openai",
            "gen_ai.provider.name": "azure.ai.openai",
        }
    )
    assert (span.input_tokens, span.provider) == (100, "azure.ai.openai")
    assert json.loads(span.attributes) == {"gen_ai.usage.prompt_tokens": 90, "llm.system": "openai"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"graph.node.name": "Planner"}, {"graph.node.id": "node 7"}),
        ({"traceloop.span.kind": "agent"}, {"llm.request.type": "chat"}),
        (
            {"gen_ai.response.time_to_first_chunk": 0.5},
            {"gen_ai.client.operation.time_to_first_chunk": 0.75},
        ),
    ],
)
def test_no_second_spelling_is_lost(first: dict[str, Any], second: dict[str, Any]):
    for attributes in ({**first, **second}, {**second, **first}):
        span = map_one({"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "m", **attributes})
        kept = json.loads(span.attributes)
        assert kept.items() >= second.items()


def test_a_spelling_without_sense_leaves_its_place_to_the_next():
    span = map_one({"gen_ai.usage.cost": "0.5", "llm.cost.total": "n/a", "gen_ai.usage.input_tokens": -1})
    assert span.reported_cost == Decimal("0.5")
    assert span.input_tokens is None
    assert json.loads(span.attributes) == {"llm.cost.total": "n/a", "gen_ai.usage.input_tokens": -1}


IDS = {
    "muster.task_run.id": "0190b5a0-0000-7000-8000-000000000001",
    "muster.squad.id": "0190b5a0-0000-7000-8000-000000000002",
    "muster.agent.id": "0190b5a0-0000-7000-8000-000000000003",
}


def test_our_own_attributes_tie_a_span_to_work():
    span = map_one({**IDS, "muster.correlation.id": "order-7"})
    assert [span.task_run_id, span.squad_id, span.agent_id] == [UUID(value) for value in IDS.values()]
    assert span.correlation_id == "order-7"
    span = map_one({"muster.task_run.id": "run seven"})
    assert span.task_run_id is None
    assert json.loads(span.attributes) == {"muster.task_run.id": "run seven"}


def test_the_table_is_sound():
    spellings = [spelling for rows in TABLE.values() for spelling, _ in rows]
    named = [spelling for spelling in spellings if spelling != conventions.MESSAGE_EVENTS_SPELLING]
    assert len(BY_NAME) + len(BY_PREFIX) == len(named), "No attribute stands in two rows."
    assert all(source in Source for rows in TABLE.values() for _, source in rows)
    assert all(prefix.count(".") == 1 for prefix in BY_PREFIX)
    assert set(CONVERTERS) <= set(TABLE)
    assert set(CONVERTERS) <= set(Span.__slots__)
    assert conventions.MESSAGE_SPELLINGS.issubset(spellings)
    assert conventions.CONTENT_FIELDS.issubset(TABLE)
