"""Executions over HTTP: reporting one and many, lists, changes, and moves."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.api.serializers import quick
from agents.models import AgentExecution
from core.models import AuditEvent, Organization
from tests.agents.reporting import EXECUTIONS, NOON, SPAN, TRACE, seconds_from_now
from tests.factories.agents import AgentExecutionFactory, AgentFactory, SquadFactory, TaskRunFactory
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db


def report(actor: Actor, *bodies: Any, **body: Any) -> Any:
    """Report an execution, or several at once, and return the answer's body."""
    answer = actor.by_key.post(EXECUTIONS, list(bodies) if bodies else body)
    assert answer.status_code == 201, answer.json()
    return answer.json()


# --- Reporting one -----------------------------------------------------------------------------------


def test_an_execution_is_reported_whole(teammate: Actor) -> None:
    organization = teammate.organization
    agent = AgentFactory(organization=organization, name="Ada")
    run = TaskRunFactory(organization=organization)
    squad = SquadFactory(organization=organization)
    body = {
        "name": "invoke_agent Ada",
        "execution_id": "run-17",
        "agent": str(agent.pk),
        "agent_type": "workflow",
        "task_run": str(run.pk),
        "squad": str(squad.pk),
        "user_name": "customer 9",
        "session_id": "s-1",
        "correlation_id": "c-1",
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": None,
        "status": "failed",
        "started_at": NOON,
        "completed_at": "2026-03-04T12:00:02.500Z",
        "input": {"z": 1, "a": ["é", "漢字"]},
        "output": "7",
        "result": {"files": 3},
        "error_type": "ToolError",
        "error_message": "no disk",
        "model_provider": "anthropic",
        "model_name": "claude-sonnet-4-5",
        "input_tokens": 1200,
        "output_tokens": 300,
        "cached_tokens": 1000,
        "cache_write_tokens": 0,
        "reasoning_tokens": 100,
        "cost": "0.0123456789",
        "attributes": {"region": "eu"},
    }
    given = report(teammate, **body)
    times = {"started_at", "completed_at"}
    assert {name: given[name] for name in body if name not in times} == {
        name: body[name] for name in body if name not in times
    }
    assert datetime.fromisoformat(given["started_at"]) == datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert (given["duration"], given["agent_name"], given["user"]) == (2.5, "Ada", str(teammate.user.pk))
    assert list(given["input"]) == ["z", "a"], "A document keeps the order of its keys."
    stored = AgentExecution.objects.get()
    assert (stored.output, stored.trace_id, stored.input) == ("7", TRACE, body["input"])
    assert not AuditEvent.objects.filter(resource_type="agent_execution").exists()


def test_little_need_be_said(teammate: Actor) -> None:
    given = report(teammate, agent_name="Ada")
    assert (given["name"], given["status"], given["agent_type"]) == ("Ada", "pending", "agent")
    assert given["started_at"] is given["completed_at"] is given["duration"] is None
    assert len(given["execution_id"]) == 36
    assert report(teammate)["name"] == "agent"


@pytest.mark.parametrize(
    ("body", "status", "start", "end"),
    [
        ({"status": "pending"}, "pending", None, None),
        ({"status": "running"}, "running", "now", None),
        ({"status": "completed"}, "completed", "now", "now"),
        ({"status": "timeout", "started_at": NOON, "duration": 60}, "timeout", "12:00:00", "12:01:00"),
        ({"completed_at": "2026-03-04T12:01:00Z", "duration": 30}, "completed", "12:00:30", "12:01:00"),
        ({"completed_at": "2026-03-04T12:01:00Z"}, "completed", "12:01:00", "12:01:00"),
        (
            {"started_at": NOON, "completed_at": "2026-03-04T14:00:01+02:00", "duration": 1.0004},
            "completed",
            "12:00:00",
            "12:00:01",
        ),
        ({"started_at": "2999-01-01T00:00:00Z", "status": "failed"}, "failed", "00:00:00", "00:00:00"),
    ],
)
def test_times_follow_from_those_given(
    body: dict[str, Any], status: str, start: str | None, end: str | None, teammate: Actor
) -> None:
    for given in (report(teammate, **body), report(teammate, body)[0]):
        assert given["status"] == status
        for name, expected in (("started_at", start), ("completed_at", end)):
            if expected == "now":
                assert seconds_from_now(given[name]) < 10
            else:
                assert (given[name] and given[name][11:19]) == expected


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"status": "done"}, "status"),
        ({"status": "running", "completed_at": NOON}, "completed_at"),
        ({"status": "pending", "duration": 1}, "duration"),
        ({"started_at": NOON, "completed_at": "2026-03-04T11:59:59Z"}, "completed_at"),
        ({"started_at": NOON, "completed_at": "2026-03-04T12:00:01Z", "duration": 1.1}, "duration"),
        ({"duration": -1}, "duration"),
        ({"duration": "NaN"}, "duration"),
        ({"completed_at": "0001-01-01T00:00:00Z", "duration": 1e9}, "duration"),
        ({"trace_id": TRACE}, None),
        ({"span_id": SPAN}, None),
        ({"trace_id": TRACE[1:], "span_id": SPAN}, "trace_id"),
        ({"trace_id": TRACE, "span_id": "x" * 16}, "span_id"),
        ({"agent_type": "robot"}, "agent_type"),
        ({"input_tokens": -1}, "input_tokens"),
        ({"input_tokens": 10**12 + 1}, "input_tokens"),
        ({"cost": -1}, "cost"),
        ({"cost": "NaN"}, "cost"),
        ({"cost": 1e11}, "cost"),
        ({"attributes": []}, "attributes"),
        ({"input": {"a": ["\0"]}}, "input"),
        ({"result": "\0"}, "result"),
        ({"error_message": "\0"}, "error_message"),
        ({"execution_id": ""}, "execution_id"),
        ({"name": " "}, "name"),
        ({"session_id": "x" * 201}, "session_id"),
        ({"task_run": "01a13461-ff40-7cc4-811f-fc025fbcde56"}, "task_run"),
        ({"colour": "red"}, "colour"),
        ({"started_at": "0001-01-01T00:00:00+14:00", "duration": 1}, "started_at"),
        ({"completed_at": "9999-12-31T23:59:59-14:00"}, "completed_at"),
    ],
)
def test_an_execution_is_refused(
    wrong: dict[str, Any], field: str | None, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    with writes_nothing():
        one = teammate.by_key.post(EXECUTIONS, {"agent_name": "Ada"} | wrong)
        many = teammate.by_key.post(EXECUTIONS, [{"agent_name": "Ada"}, {"agent_name": "Ada"} | wrong])
    assert (one.status_code, one.json()["errors"][0]["field"]) == (400, field), one.json()
    assert many.status_code == 400
    assert many.json()["errors"][0]["field"] == (f"1.{field}" if field else "1"), many.json()


def test_a_text_that_looks_like_a_null_character_is_none(teammate: Actor) -> None:
    body = {"input": "\\u0000", "output": ["C:\\u0000"]}
    for given in (report(teammate, **body), report(teammate, body)[0]):
        assert {name: given[name] for name in body} == body


def test_references_of_another_organization_are_nowhere(
    teammate: Actor, other_organization: Organization, writes_nothing: Callable[[], Any]
) -> None:
    theirs = {
        "agent": AgentFactory(organization=other_organization),
        "parent_execution": AgentExecutionFactory(organization=other_organization),
        "task_run": TaskRunFactory(organization=other_organization),
        "squad": SquadFactory(organization=other_organization),
    }
    with writes_nothing():
        for name, record in theirs.items():
            for body in ({name: str(record.pk)}, [{name: str(record.pk)}]):
                answer = teammate.by_key.post(EXECUTIONS, body)
                error = answer.json()["errors"][0]
                assert (answer.status_code, error["code"]) == (400, "does_not_exist")
                assert error["field"] == (name if isinstance(body, dict) else f"0.{name}")


def test_a_name_is_taken_from_agent_or_parent(teammate: Actor) -> None:
    agent = AgentFactory(organization=teammate.organization, name="Ada")
    parent = AgentExecutionFactory(organization=teammate.organization, agent_name="Grace")
    bodies = [
        {"agent": str(agent.pk), "parent_execution": str(parent.pk)},
        {"parent_execution": str(parent.pk)},
        {"agent": str(agent.pk), "agent_name": "Nickname"},
    ]
    expected = ["Ada", "Grace", "Nickname"]
    assert [report(teammate, **body)["agent_name"] for body in bodies] == expected
    assert [each["agent_name"] for each in report(teammate, *bodies)] == expected


# --- Reporting many ----------------------------------------------------------------------------------


def full(number: int, **fields: Any) -> dict[str, Any]:
    """Return the body of a completed execution."""
    start = datetime(2026, 3, 4, 12, tzinfo=UTC) + timedelta(seconds=number)
    return {
        "execution_id": f"run-{number}",
        "agent_name": f"Agent {number % 7}",
        "status": "completed",
        "input": {"prompt": "Plan the day." * 10},
        "result": {"ok": True},
        "input_tokens": number,
        "output_tokens": 100,
        "cost": "0.012345",
        "correlation_id": f"c-{number}",
        "started_at": start.isoformat(),
        "duration": 1.5,
    } | fields


def test_a_thousand_are_reported_by_one_request_in_few_queries(teammate: Actor) -> None:
    bodies = [full(number) for number in range(1000)]
    teammate.by_key.get(EXECUTIONS)  # notes the use of the key
    with CaptureQueriesContext(connection) as queries:
        given = report(teammate, *bodies)
    assert [each["execution_id"] for each in given] == [body["execution_id"] for body in bodies]
    assert AgentExecution.objects.count() == 1000
    statements = [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(statements) <= 3, statements  # the key, the rows, the answer
    assert teammate.by_key.post(EXECUTIONS, [full(1)] * 1001).status_code == 400
    assert teammate.by_key.post(EXECUTIONS, []).status_code == 400


def test_one_wrong_of_many_is_told_by_position_and_all_are_refused(
    teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    report(teammate, full(7))
    with writes_nothing():
        answer = teammate.by_key.post(EXECUTIONS, [full(8), full(7), full(9)])
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["field"], error["code"]) == (400, "1.execution_id", "unique")


def test_ids_alone_are_answered_where_nothing_else_is_asked_for(teammate: Actor) -> None:
    answer = teammate.by_key.post(f"{EXECUTIONS}?fields=id", [full(1), full(2)])
    assert answer.status_code == 201
    stored = AgentExecution.objects.order_by("started_at").values_list("pk", flat=True)
    assert answer.json() == [{"id": str(pk)} for pk in stored]


EXAMPLES: list[dict[str, Any]] = [
    full(1),
    {},
    {"status": "running", "started_at": NOON},
    {"status": "cancelled", "started_at": "2026-03-04T12:00:00.123456789+05:30", "duration": 0},
    {"started_at": NOON, "completed_at": "2026-03-04T12:00:00.000001Z"},
    {"started_at": "2026-03-04", "completed_at": "2026-03-04T12:00"},
    {"trace_id": TRACE.upper(), "span_id": SPAN, "parent_span_id": "f" * 16, "started_at": NOON, "duration": 3},
    {"name": "  step one ", "agent_type": "step", "error_message": "Traceback:\n  …\n", "session_id": " s\t"},
    {"input": [1, 2.5, -0.0, None, True, "", "é\u2028😀", {"b": 1, "a": {}}], "output": "123", "result": "x"},
    {"input": False, "output": 0, "result": [], "attributes": {"z": {"y": [1e300]}, "a": None}},
    {"input": None, "result": None, "cost": None, "agent": None, "duration": None, "input_tokens": None},
    {"cost": 0.1, "input_tokens": 10**12, "output_tokens": 0, "reasoning_tokens": 3.0},
    {"cost": "9999999999.9999999999", "cached_tokens": "17"},
    {"cost": 0, "cache_write_tokens": 5, "model_provider": "openai", "model_name": "gpt-5-mini"},
    {"cost": 1e-7, "correlation_id": 17, "id": "ignored", "user": "ignored"},
    {"agent_name": "漢字 \\ \" ' %s {0}", "user_name": "é", "attributes": {"nul": "\\u0000"}},
]

UNUSUAL = [5, 11, 12, 14]  # those that the quick way leaves to the serializer


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_one_and_many_store_equal_rows(number: int, teammate: Actor) -> None:
    """The serializer takes the one, the quick way the array, where it isn't too unusual."""
    body = EXAMPLES[number]
    taken = quick.rows_of(json.loads(json.dumps([body])), teammate.organization.pk)
    assert (taken is None) == (number in UNUSUAL)
    rows = []
    for given in (body, [body]):
        answer = teammate.by_key.post(EXECUTIONS, given)
        assert answer.status_code == 201, answer.json()
        [row] = AgentExecution.objects.values()
        rows.append({name: row[name] for name in row if name not in ("id", "created_at", "updated_at")})
        if "execution_id" not in body:
            rows[-1].pop("execution_id")
        AgentExecution.objects.all().delete()
    assert rows[0] == rows[1]
