"""Spans as raw SQL writes them."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.models import AgentExecution, ModelCall, ToolExecution
from core.ids import uuid7
from core.models import Organization
from tests.kit.sql import run

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")

SPAN: dict[str, Any] = {
    "name": "work",
    "status": "completed",
    "agent_name": "",
    "session_id": "",
    "correlation_id": "",
    "started_at": NOON,
    "completed_at": NOON + timedelta(seconds=1),
    "error_type": "",
    "error_message": "",
    "attributes": "{}",
}

TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "execution": (
        "agents_agentexecution",
        {"agent_type": "agent", "user_name": "", "model_provider": "", "model_name": "", "usage_below": False},
    ),
    "modelcall": (
        "agents_modelcall",
        {
            "operation": "chat",
            "provider": "openai",
            "request_model": "gpt-5-mini",
            "response_model": "",
            "finish_reason": "",
            "pricing": "no_usage",
            "usage_below": False,
        },
    ),
    "tool": ("agents_toolexecution", {"tool_name": "search", "tool_type": "", "call_id": "", "permission": "allowed"}),
}

MODELS = {"execution": AgentExecution, "modelcall": ModelCall, "tool": ToolExecution}
LINKS = {"execution": "parent_execution_id", "modelcall": "execution_id", "tool": "execution_id"}
each_kind = pytest.mark.parametrize("kind", TABLES)


def statement(kind: str, *rows: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return the statement that inserts rows, and its parameters."""
    table, defaults = TABLES[kind]
    whole = [{"id": uuid7()} | SPAN | defaults | row for row in rows]
    columns = sorted({name for row in whole for name in row})
    places = ", ".join(f"({', '.join(['%s'] * len(columns))})" for _ in whole)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES {places}",
        [row.get(name) for row in whole for name in columns],
    )


def insert(kind: str, organization: Organization, *rows: dict[str, Any]) -> list[Any]:
    """Insert rows by one statement, and return their ids."""
    ids = [row.get("id") or uuid7() for row in rows]
    sql, params = statement(
        kind, *({"organization_id": organization.pk} | row | {"id": pk} for pk, row in zip(ids, rows, strict=True))
    )
    run(sql, *params)
    return ids


def span(number: int, parent: int | None = None, trace: bytes = TRACE, **fields: Any) -> dict[str, Any]:
    """Return the columns of a span of the trace."""
    return {
        "trace_id": trace,
        "span_id": number.to_bytes(8, "big"),
        "parent_span_id": None if parent is None else parent.to_bytes(8, "big"),
    } | fields


def assert_each_is_linked() -> None:
    """Fail unless each span is in the execution that its parents lead to, as far as these stand."""
    rows = [(kind, row) for kind, model in MODELS.items() for row in model.objects.all()]
    standing: dict[Any, list[tuple[str, Any]]] = defaultdict(list)
    for kind, row in rows:
        standing[row.trace_id, row.span_id].append((kind, row))
    for kind, row in rows:
        around, passed = row.parent_span_id, {row.span_id}
        expected = None
        while around is not None and around not in passed and (found := standing.get((row.trace_id, around))):
            [(what, parent)] = found
            if what == "execution":
                expected = parent.pk
                break
            passed.add(around)
            around = parent.parent_span_id
        assert getattr(row, LINKS[kind]) == expected, row.name
