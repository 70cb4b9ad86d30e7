"""What the database keeps about spans, attacked with raw SQL: their rules, links, and what follows from them."""

from datetime import timedelta
from typing import Any

import pytest

from core.ids import uuid7
from core.models import Organization
from tests.agents.spans_kit import NOON, TABLES, TRACE, each_kind, insert, span, statement
from tests.factories.agents import AgentExecutionFactory, AgentFactory, SquadFactory, TaskRunFactory
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db


def refused_insert(kind: str, organization: Organization, **row: Any) -> str:
    """Insert a row, and return the rule that refuses it."""
    sql, params = statement(kind, {"organization_id": organization.pk} | row)
    return refused(sql, *params)


# --- Rules -------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": ""}, "name_given"),
        ({"status": "done", "completed_at": None}, "status"),
        ({"attributes": "[]"}, "attributes"),
        ({"trace_id": TRACE}, "span"),
        ({"span_id": TRACE[:8]}, "span"),
        ({"parent_span_id": TRACE[:8]}, "span"),
        ({"started_at": None}, "started"),
        ({"status": "running", "started_at": None, "completed_at": None}, "started"),
        ({"completed_at": None}, "when_ended"),
        ({"status": "failed", "completed_at": None}, "when_ended"),
        ({"status": "running"}, "when_ended"),
        ({"status": "pending"}, "when_ended"),
        ({"completed_at": NOON - timedelta(microseconds=1)}, "times"),
    ],
)
def test_a_span_is_refused(kind: str, change: dict[str, Any], rule: str, organization: Organization) -> None:
    assert refused_insert(kind, organization, **change) == f"agents_{kind}_{rule}"


@pytest.mark.parametrize(
    ("kind", "change", "rule"),
    [
        ("execution", {"execution_id": ""}, "agents_execution_id_given"),
        ("execution", {"agent_type": "robot"}, "agents_execution_type"),
        ("execution", {"cost": -1}, "agents_execution_cost"),
        ("execution", {"input_tokens": -1}, "agents_agentexecution_input_tokens_check"),
        ("modelcall", {"operation": ""}, "agents_modelcall_operation_given"),
        ("modelcall", {"pricing": "guessed"}, "agents_modelcall_pricing"),
        ("modelcall", {"pricing": "computed"}, "agents_modelcall_priced"),
        ("modelcall", {"cost": 1}, "agents_modelcall_priced"),
        ("modelcall", {"cost": -1, "pricing": "computed"}, "agents_modelcall_cost"),
        ("modelcall", {"reported_cost": -1}, "agents_modelcall_reported_cost"),
        ("modelcall", {"reported_cost": "NaN"}, "agents_modelcall_reported_cost"),
        ("modelcall", {"cost": "NaN", "pricing": "computed"}, "agents_modelcall_cost"),
        ("execution", {"cost": "NaN"}, "agents_execution_cost"),
        ("modelcall", {"time_to_first_token": -5}, "agents_modelcall_first_token"),
        ("modelcall", {"time_to_first_token": "NaN"}, "agents_modelcall_first_token"),
        ("modelcall", {"output_tokens": -1}, "agents_modelcall_output_tokens_check"),
        ("tool", {"tool_name": ""}, "agents_tool_tool_given"),
        ("tool", {"permission": "maybe"}, "agents_tool_permission"),
    ],
)
def test_a_kind_of_span_is_refused(kind: str, change: dict[str, Any], rule: str, organization: Organization) -> None:
    assert refused_insert(kind, organization, **change) == rule


@each_kind
def test_a_span_stands_once_in_an_organization(
    kind: str, organization: Organization, other_organization: Organization
) -> None:
    insert(kind, organization, span(1))
    insert(kind, other_organization, span(1))
    assert refused_insert(kind, organization, **span(1)) == f"agents_{kind}_span_unique"
    insert(kind, organization, {}, {})


def test_an_execution_id_stands_once_in_an_organization(
    organization: Organization, other_organization: Organization
) -> None:
    insert("execution", organization, {"execution_id": "one"})
    insert("execution", other_organization, {"execution_id": "one"})
    assert refused_insert("execution", organization, execution_id="one") == "agents_execution_id_unique"


def test_no_execution_is_its_own_parent(organization: Organization) -> None:
    pk = uuid7()
    rule = refused_insert("execution", organization, id=pk, parent_execution_id=pk)
    assert rule == "agents_execution_not_its_own_parent"


@pytest.mark.parametrize(
    ("kind", "column", "factory"),
    [
        ("execution", "parent_execution", AgentExecutionFactory),
        ("execution", "agent", AgentFactory),
        ("execution", "task_run", TaskRunFactory),
        ("execution", "squad", SquadFactory),
        ("modelcall", "execution", AgentExecutionFactory),
        ("tool", "execution", AgentExecutionFactory),
    ],
)
def test_a_span_refers_to_its_own_organization_only(
    kind: str, column: str, factory: Any, organization: Organization, other_organization: Organization
) -> None:
    for foreign in (factory(organization=other_organization).pk, uuid7()):
        assert refused_insert(kind, organization, **{f"{column}_id": foreign}) == f"agents_{kind}_{column}"


@each_kind
def test_what_a_span_is_never_changes(kind: str, organization: Organization, other_organization: Organization) -> None:
    table = TABLES[kind][0]
    insert(kind, organization, span(1))
    changes = {"trace_id": b"\1" * 16, "span_id": b"\1" * 8, "organization_id": other_organization.pk}
    for _ in range(2):
        for column, value in changes.items():
            assert refused(f"UPDATE {table} SET {column} = %s", value) == f"{table}_{column}_immutable"
        ignore_all_triggers()


@each_kind
def test_no_table_of_spans_is_truncated(kind: str) -> None:
    for _ in range(2):
        with pytest.raises(Exception, match="append-only"):
            run(f"TRUNCATE {TABLES[kind][0]} CASCADE")
        ignore_all_triggers()


@pytest.mark.parametrize(
    ("start", "end"),
    [("completed", "running"), ("failed", "completed"), ("running", "pending"), ("pending", "completed")],
)
def test_an_execution_moves_only_as_drawn(start: str, end: str) -> None:
    AgentExecutionFactory(status=start)
    for _ in range(2):
        rule = refused(
            "UPDATE agents_agentexecution SET status = %s, started_at = %s, completed_at = %s",
            *(end, NOON, NOON if end == "completed" else None),
        )
        assert rule == "agents_agentexecution_status_transitions"
        ignore_all_triggers()
