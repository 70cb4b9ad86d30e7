"""Messages whose parts are told in several places, made into one form."""

from typing import Any

import pytest

from tests.agents.telemetry.otlp_kit import map_one
from tests.agents.telemetry.test_other_conventions import ANSWER, CALL, QUESTION, RESULT, parsed


def flattened(prefix: str, *, message: dict[str, Any]) -> dict[str, Any]:
    return {"openinference.span.kind": "LLM"} | {f"{prefix}.0.message.{key}": value for key, value in message.items()}


OPENINFERENCE_ANTHROPIC = {  # openinference-instrumentation-anthropic 3.1: each call among the contents and beside them
    "role": "assistant",
    "contents.0.message_content.type": "text",
    "contents.0.message_content.text": "It rains.",
    "contents.1.message_content.type": "tool_use",
    "contents.1.tool_call.id": "call_1",
    "contents.1.tool_call.function.name": "get_weather",
    "contents.1.tool_call.function.arguments": '{"city": "Paris"}',
    "tool_calls.0.tool_call.id": "call_1",
    "tool_calls.0.tool_call.function.name": "get_weather",
    "tool_calls.0.tool_call.function.arguments": '{"city": "Paris"}',
}


@pytest.mark.parametrize("left_out", ["", "contents.1", "tool_calls"])
def test_a_call_among_the_contents_and_beside_them_is_one(left_out: str) -> None:
    said = {key: value for key, value in OPENINFERENCE_ANTHROPIC.items() if not left_out or left_out not in key}
    span = map_one(flattened("llm.output_messages", message=said))
    assert parsed(span.output) == [{"role": "assistant", "parts": [*ANSWER["parts"], CALL]}]


def test_a_call_among_the_contents_keeps_its_place_and_others_follow() -> None:
    moved = {key.replace("contents.0", "contents.2"): value for key, value in OPENINFERENCE_ANTHROPIC.items()}
    second = {"tool_calls.1.tool_call.id": "call_2", "tool_calls.1.tool_call.function.name": "stop"}
    span = map_one(flattened("llm.output_messages", message={**moved, **second}))
    stop = {"type": "tool_call", "id": "call_2", "name": "stop", "arguments": None}
    assert parsed(span.output) == [{"role": "assistant", "parts": [CALL, *ANSWER["parts"], stop]}]


def test_calls_without_sensible_ids_are_all_kept() -> None:
    call = {"type": "tool_use", "id": ["x"], "name": "stop", "input": {}}
    said = {"role": "assistant", "content": [call], "tool_calls": [{"id": ["x"], "name": "stop", "args": {}}]}
    span = map_one({"gen_ai.operation.name": "chat", "gen_ai.output.messages": [said]})
    assert len(parsed(span.output)[0]["parts"]) == 2


def test_a_users_message_may_hold_the_result_of_a_call() -> None:
    result = {"role": "user", "tool_call_id": "call_1", "content": "rainy"}
    span = map_one(flattened("llm.input_messages", message=result))
    assert parsed(span.input) == [{"role": "user", "parts": RESULT["parts"]}]
    more = {"contents.1.message_content.type": "text", "contents.1.message_content.text": "Weather in Paris?"}
    span = map_one(flattened("llm.input_messages", message={**result, **more}))
    assert parsed(span.input) == [{"role": "user", "parts": [*RESULT["parts"], *QUESTION["parts"]]}]


def test_a_choices_own_members_stand_beside_its_message() -> None:
    said = {"message.role": "assistant", "message.content": "It rains.", "finish_reason": "stop"}
    span = map_one({"llm.request.type": "chat"} | {f"llm.choices.0.{key}": value for key, value in said.items()})
    assert parsed(span.output) == [{**ANSWER, "finish_reason": "stop"}]
