"""Requests of telemetry as agents make them: traces of eight spans, with 2.3 KB of messages a model call."""

import random
import secrets
import time
from typing import Any

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WORDS = [
    "the",
    "agent",
    "looked",
    "at",
    "the",
    "invoices",
    "and",
    "found",
    "that",
    "several",
    "of",
    "them",
    "were",
    "unpaid",
    "while",
    "others",
    "had",
    "been",
    "settled",
    "twice",
    "in",
    "error",
    "by",
    "customers",
    "from",
    "abroad",
    "who",
    "had",
    "asked",
    "about",
    "shipping",
    "costs",
    "before",
    "they",
    "placed",
    "another",
    "order",
    "for",
    "parts",
]
AGENTS = ("planner", "researcher", "coder", "critic", "editor")
MODELS = (
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-mini-2024-07-18"),
    ("anthropic", "claude-sonnet-4-20250514"),
)
TRACE = 8  # spans


def request(spans: int, age: float = 0) -> bytes:
    """Return an ``ExportTraceServiceRequest`` of so many spans, encoded; children come before their parents.

    They began some ``age`` seconds ago.
    """
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    _set(resource.resource.attributes, {"service.name": "benchmark", "service.version": "1.0"})
    scope = resource.scope_spans.add()
    scope.scope.name = "benchmark"
    for _ in range(-(-spans // TRACE)):
        _add_trace(scope.spans, time.time_ns() - int(age * 1e9))
    del scope.spans[spans:]
    return message.SerializeToString()


def _add_trace(spans: Any, around: int) -> None:
    trace_id, ids = secrets.token_bytes(16), [secrets.token_bytes(8) for _ in range(TRACE)]
    now = around - random.randrange(1, 3_000) * 1_000_000
    agent, session = random.choice(AGENTS), secrets.token_hex(4)
    provider, model = random.choice(MODELS)

    def add(number: int, parent: int | None, name: str, attributes: dict[str, Any], error: bool = False) -> None:
        span = spans.add(trace_id=trace_id, span_id=ids[number], name=name)
        if parent is not None:
            span.parent_span_id = ids[parent]
        span.start_time_unix_nano = now + number * 1_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + random.randrange(1_000_000, 900_000_000)
        if error:
            span.status.code, span.status.message = 2, "The tool gave up."
        _set(span.attributes, attributes)

    for number in (6, 4, 2):
        add(number, 1, f"chat {model}", _chat(provider, model, session))
    for number in (5, 3):
        add(number, 1, "execute_tool search", _tool(), error=random.random() < 0.05)
    add(7, 1, "retrieve", {"gen_ai.operation.name": "retrieval", "input.value": "unpaid invoices"})
    add(1, 0, "plan", {"openinference.span.kind": "CHAIN", "input.value": _text(100), "output.value": _text(200)})
    add(0, None, f"invoke_agent {agent}", _agent(agent, provider, session))


def _chat(provider: str, model: str, session: str) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.usage.input_tokens": random.randrange(200, 4_000),
        "gen_ai.usage.output_tokens": random.randrange(10, 600),
        "gen_ai.usage.cache_read.input_tokens": 128,
        "gen_ai.response.id": "resp_" + secrets.token_hex(12),
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.conversation.id": session,
        "server.address": "api.example.com",
        "gen_ai.input.messages": _messages("user", 1_700),
        "gen_ai.output.messages": _messages("assistant", 600),
    }


def _tool() -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_" + secrets.token_hex(8),
        "gen_ai.tool.call.arguments": '{"query":"unpaid invoices","limit":20}',
        "gen_ai.tool.call.result": '{"hits":[{"id":1},{"id":2}]}',
    }


def _agent(agent: str, provider: str, session: str) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": provider,
        "gen_ai.agent.name": agent,
        "gen_ai.conversation.id": session,
        "user.id": "customer-17",
    }


def _messages(role: str, size: int) -> str:
    return orjson.dumps([{"role": role, "parts": [{"type": "text", "content": _text(size)}]}]).decode()


def _text(size: int) -> str:
    return " ".join(random.choices(WORDS, k=size // 6))


def _set(pairs: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        target = pairs.add(key=key).value
        if isinstance(value, str):
            target.string_value = value
        elif isinstance(value, int):
            target.int_value = value
        elif isinstance(value, float):
            target.double_value = value
        else:
            for each in value:
                target.array_value.values.add(string_value=each)
