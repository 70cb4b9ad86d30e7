"""Spans as telemetry stores them, in few words."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.telemetry.spans import Span
from agents.telemetry.storage import store
from core.models import Organization

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def nanoseconds(moment: datetime) -> int:
    """Return a time as OpenTelemetry writes it."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND * 1_000


def span_id(number: int) -> bytes:
    """Return the id of the span with this number."""
    return number.to_bytes(8)


def trace_id(number: int) -> bytes:
    """Return the id of the trace with this number."""
    return number.to_bytes(16)


def span(
    kind: str,
    number: int,
    parent: int | None = None,
    *,
    trace: int = 1,
    at: datetime = NOON,
    after: float = 0,
    seconds: float = 1,
    **fields: Any,
) -> Span:
    """Return a span that began so many seconds ``after`` the time ``at``."""
    begin = at + timedelta(seconds=after)
    defaults = {
        "execution": {"agent_type": "agent"},
        "model_call": {"operation": "chat"},
        "tool_execution": {"tool_name": "search"},
    }[kind]
    return Span(
        kind=kind,
        trace_id=trace_id(trace),
        span_id=span_id(number),
        parent_span_id=None if parent is None else span_id(parent),
        started_ns=nanoseconds(begin),
        ended_ns=nanoseconds(begin + timedelta(seconds=seconds)),
        **{"name": f"span {number}", **defaults, **fields},
    )


def call(number: int, parent: int | None = None, **fields: Any) -> Span:
    """Return a call of a model whose price is known."""
    known = {"provider": "openai", "request_model": "gpt-4o", "input_tokens": 1_000, "output_tokens": 100}
    return span("model_call", number, parent, **known | fields)


def agent(number: int, parent: int | None = None, **fields: Any) -> Span:
    """Return an agent's execution."""
    return span("execution", number, parent, **{"agent_name": "planner", **fields})


def step(number: int, parent: int | None = None, **fields: Any) -> Span:
    """Return an execution that is a step of an agent's."""
    return span("execution", number, parent, **{"agent_type": "chain", **fields})


def tool(number: int, parent: int | None = None, **fields: Any) -> Span:
    """Return a use of a tool."""
    return span("tool_execution", number, parent, **fields)


def stored(organization: Organization, spans: Sequence[Span]) -> Sequence[Span]:
    """Store the spans, each of which is new, and return them."""
    assert store(organization.pk, spans) == len(spans)
    return spans
