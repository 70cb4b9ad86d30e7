"""What a span is, and what it is called."""

import json
from typing import Any

import pytest

from agents.telemetry import kinds
from tests.agents.telemetry.otlp_kit import map_one

KINDS = [
    ({"openinference.span.kind": "LLM"}, "model_call", "chat"),
    ({"openinference.span.kind": "llm", "gen_ai.operation.name": "text_completion"}, "model_call", "text_completion"),
    ({"openinference.span.kind": "EMBEDDING"}, "model_call", "embeddings"),
    ({"openinference.span.kind": "TOOL"}, "tool_execution", ""),
    ({"openinference.span.kind": "AGENT", "gen_ai.operation.name": "chat"}, "execution", "agent"),
    ({"openinference.span.kind": "CHAIN"}, "execution", "chain"),
    ({"openinference.span.kind": "RETRIEVER"}, "execution", "retriever"),
    ({"openinference.span.kind": "RERANKER", "reranker.model_name": "m"}, "execution", "reranker"),
    ({"openinference.span.kind": "GUARDRAIL"}, "execution", "guardrail"),
    ({"openinference.span.kind": "EVALUATOR"}, "execution", "evaluator"),
    ({"openinference.span.kind": "PROMPT"}, "execution", "step"),
    ({"openinference.span.kind": "UNKNOWN", "gen_ai.operation.name": "execute_tool"}, "tool_execution", ""),
    ({"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "m"}, "execution", "agent"),
    ({"gen_ai.operation.name": "create_agent"}, "execution", "agent"),
    ({"gen_ai.operation.name": "invoke_workflow"}, "execution", "workflow"),
    ({"gen_ai.operation.name": "retrieval"}, "execution", "retriever"),
    ({"gen_ai.operation.name": "plan"}, "execution", "step"),
    ({"gen_ai.operation.name": "generate_content"}, "model_call", "generate_content"),
    ({"gen_ai.operation.name": "embeddings"}, "model_call", "embeddings"),
    ({"gen_ai.operation.name": "rerank_all", "gen_ai.request.model": "m"}, "model_call", "rerank_all"),
    ({"traceloop.span.kind": "workflow"}, "execution", "workflow"),
    ({"traceloop.span.kind": "task"}, "execution", "step"),
    ({"traceloop.span.kind": "tool"}, "tool_execution", ""),
    ({"llm.request.type": "completion"}, "model_call", "text_completion"),
    ({"llm.request.type": "rerank", "gen_ai.request.model": "m"}, "execution", "reranker"),
    ({"gen_ai.tool.name": "search", "gen_ai.request.model": "m"}, "tool_execution", ""),
    ({"gen_ai.tool.call.id": "call_1"}, "tool_execution", ""),
    ({"gen_ai.response.model": "m"}, "model_call", "chat"),
    ({"http.request.method": "GET"}, "execution", "step"),
    ({}, "execution", "step"),
]


@pytest.mark.parametrize(("attributes", "kind", "detail"), KINDS)
def test_the_kind_is_decided_in_order(attributes: dict[str, Any], kind: str, detail: str):
    span = map_one(attributes)
    assert (span.kind, span.agent_type or span.operation) == (kind, detail)


@pytest.mark.parametrize("known", [*kinds.SPAN_KINDS.values(), *kinds.OPERATIONS.values()])
def test_a_kind_is_an_execution_with_a_type_or_a_call_with_an_operation(known: kinds.Kind):
    assert bool(known.agent_type) == (known.record == "execution")
    assert bool(known.operation) == (known.record == "model_call")


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ({"gen_ai.operation.name": "create_agent"}, {"gen_ai.operation.name": "create_agent"}),
        ({"gen_ai.operation.name": "invoke_agent"}, {}),
        ({"openinference.span.kind": "PROMPT"}, {"openinference.span.kind": "PROMPT"}),
        ({"openinference.span.kind": 7}, {"openinference.span.kind": 7}),
        ({"openinference.span.kind": "AGENT", "gen_ai.operation.name": "chat"}, {"gen_ai.operation.name": "chat"}),
        ({"gen_ai.operation.name": "dance"}, {"gen_ai.operation.name": "dance"}),
    ],
)
def test_what_told_the_kind_is_kept_where_the_kind_says_less(attributes: dict[str, Any], kept: dict[str, Any]):
    assert json.loads(map_one(attributes).attributes) == kept


@pytest.mark.parametrize(
    ("attributes", "name", "expected"),
    [
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Ada"}, "invoke_agent Ada", "Ada"),
        ({"gen_ai.operation.name": "invoke_agent", "agent.name": "Ada", "graph.node.id": "n"}, "x", "Ada"),
        ({"openinference.span.kind": "AGENT", "graph.node.id": "planner"}, "x", "planner"),
        ({"openinference.span.kind": "AGENT", "graph.node.id": "n", "graph.node.name": "Planner"}, "x", "Planner"),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": "Ada"}, "Ada.agent", "Ada"),
        ({"gen_ai.operation.name": "invoke_agent"}, "invoke_agent Ada", "Ada"),
        ({"gen_ai.operation.name": "invoke_agent"}, "Ada", "Ada"),
        ({"gen_ai.operation.name": "invoke_agent"}, "invoke_agent ", "invoke_agent"),
        ({"openinference.span.kind": "CHAIN", "graph.node.id": "planner"}, "planner", ""),
        ({}, "some function", ""),
    ],
)
def test_an_agent_is_named_by_itself_by_its_node_or_by_its_span(attributes: dict[str, Any], name: str, expected: str):
    assert map_one(attributes, name=name).agent_name == expected


def test_a_tool_without_a_name_is_named_by_its_span():
    assert map_one({"gen_ai.operation.name": "execute_tool"}, name="execute_tool search").tool_name == "search"
    assert map_one({"openinference.span.kind": "TOOL"}, name="search").tool_name == "search"
