"""Executions over HTTP: lists, changes, and moves."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.agents.reporting import EXECUTIONS, NOON, SPAN, TRACE, seconds_from_now
from tests.factories.agents import (
    AgentExecutionFactory,
    AgentFactory,
    ModelCallFactory,
    SquadFactory,
    TaskRunFactory,
    ToolExecutionFactory,
)
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db


# --- Reading -----------------------------------------------------------------------------------------


def test_a_list_leaves_out_what_is_large_unless_asked_for(viewer: Actor) -> None:
    execution = AgentExecutionFactory(organization=viewer.organization)
    [listed] = viewer.by_key.get(EXECUTIONS).json()["results"]
    detail = viewer.by_key.get(f"{EXECUTIONS}{execution.pk}/").json()
    assert set(detail) - set(listed) == {"input", "output", "result", "attributes"}
    assert listed.items() <= detail.items()
    [asked] = viewer.by_key.get(EXECUTIONS, {"fields": "id,input"}).json()["results"]
    assert asked == {"id": str(execution.pk), "input": {"task": "Plan the day."}}


def test_a_list_is_filtered(viewer: Actor) -> None:
    organization = viewer.organization
    run, squad = TaskRunFactory(organization=organization), SquadFactory(organization=organization)
    agent = AgentFactory(organization=organization)
    one = AgentExecutionFactory(
        organization=organization,
        trace_id=TRACE,
        span_id=SPAN,
        session_id="s-1",
        correlation_id="c-1",
        user=viewer.user,
        user_name="Grace",
    )
    two = AgentExecutionFactory(
        organization=organization, parent_execution=one, agent_type="step", agent_name="Ada", agent=agent
    )
    three = AgentExecutionFactory(
        organization=organization,
        status="failed",
        task_run=run,
        squad=squad,
        started_at=datetime(2026, 3, 4, tzinfo=UTC),
        execution_id="third",
    )

    def found(**query: Any) -> list[Any]:
        answer = viewer.by_key.get(EXECUTIONS, query)
        assert answer.status_code == 200, answer.json()
        names = {str(one.pk): 1, str(two.pk): 2, str(three.pk): 3}
        return [names[row["id"]] for row in answer.json()["results"]]

    assert found() == [3, 2, 1]
    assert found(ordering="created_at") == [1, 2, 3]
    assert (
        found(status="failed") == found(task_run=run.pk) == found(squad=squad.pk) == found(execution_id="third") == [3]
    )
    assert found(status="failed,completed") == [3, 2, 1]
    assert found(agent=agent.pk) == found(agent_name="Ada") == found(agent_type="step") == [2]
    assert found(parent_execution=one.pk) == [2]
    assert found(trace_id=TRACE.upper()) == found(span=f"{TRACE}-{SPAN}") == found(user=viewer.user.pk) == [1]
    assert found(session_id="s-1") == found(correlation_id="c-1") == found(user_name="Grace,Ada") == [1]
    assert found(started_at_before="2026-03-05T00:00:00Z") == [3]
    assert found(created_at_after="2026-03-05T00:00:00Z") == [3, 2, 1]
    for wrong in ({"trace_id": "x"}, {"span": TRACE}, {"span": f"{TRACE}-{SPAN}\n"}, {"ordering": "cost"}):
        assert viewer.by_key.get(EXECUTIONS, wrong).status_code == 400


# --- Changing and moving -----------------------------------------------------------------------------


def test_what_was_reported_can_be_completed_later(teammate: Actor) -> None:
    execution = AgentExecutionFactory(organization=teammate.organization, status="running")
    change = {"output": ["Done."], "input_tokens": 10, "cost": "0.5000000000", "attributes": {"a": 1}}
    answer = teammate.by_key.patch(f"{EXECUTIONS}{execution.pk}/", change)
    assert answer.status_code == 200, answer.json()
    assert answer.json().items() >= change.items()
    assert answer.json()["status"] == "running"


@pytest.mark.parametrize("change", [{"status": "completed"}, {"duration": None}, {"duration": 2}])
def test_what_has_ended_keeps_its_end(change: dict[str, Any], teammate: Actor) -> None:
    ended = datetime(2026, 3, 4, 12, tzinfo=UTC)
    call = ModelCallFactory(
        organization=teammate.organization,
        status="completed",
        started_at=ended - timedelta(seconds=2),
        completed_at=ended,
    )
    answer = teammate.by_key.patch(f"/api/v1/model-calls/{call.pk}/", change)
    assert answer.status_code == 200, answer.json()
    call.refresh_from_db()
    assert (call.completed_at, call.status) == (ended, "completed")


@pytest.mark.parametrize(
    ("path", "factory"), [("model-calls", ModelCallFactory), ("tool-executions", ToolExecutionFactory)]
)
def test_a_call_goes_on_and_ends_once(path: str, factory: Any, teammate: Actor) -> None:
    for way in (["running", "completed"], ["completed"], ["running", "timeout"], ["cancelled"], ["failed"]):
        call = factory(organization=teammate.organization, status="pending", started_at=None, completed_at=None)
        address = f"/api/v1/{path}/{call.pk}/"
        for status in way:
            answer = teammate.by_key.patch(address, {"status": status})
            assert (answer.status_code, answer.json()["status"]) == (200, status), answer.json()
        for status in {"pending", "running", "completed", "failed", "cancelled", "timeout"} - {way[-1]}:
            answer = teammate.by_key.patch(address, {"status": status})
            assert answer.json()["type"] == "/api/problems/transition_conflict/", status
        call.refresh_from_db()
        assert call.status == way[-1]


@pytest.mark.parametrize("move", ["fail", "cancel", "time-out"])
def test_what_ends_without_having_started_counts(move: str, teammate: Actor) -> None:
    body = {"agent_name": "A", "trace_id": TRACE, "span_id": "00f067aa0ba902b7"}
    made = teammate.by_key.post(EXECUTIONS, body).json()
    ended = teammate.by_key.post(
        f"{EXECUTIONS}{made['id']}/{move}/", {"error_message": "No."} if move == "fail" else None
    ).json()
    assert (ended["started_at"], ended["duration"]) == (ended["completed_at"], 0)
    [group] = teammate.by_key.get("/api/v1/statistics/executions/").json()["groups"]
    assert (group["count"], group["failures"]) == (1, move != "cancel")
    assert len(teammate.by_key.get("/api/v1/traces/").json()["results"]) == 1


@pytest.mark.parametrize("change", [{"output": {"a": 1}}, {"input": [1]}, {"attributes": {}}, {}])
def test_any_one_field_can_be_changed_or_none(change: dict[str, Any], teammate: Actor) -> None:
    execution = AgentExecutionFactory(organization=teammate.organization)
    answer = teammate.by_key.patch(f"{EXECUTIONS}{execution.pk}/", change)
    assert answer.status_code == 200, answer.json()
    assert answer.json().items() >= change.items()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "completed"}, "status"),
        ({"trace_id": TRACE}, "trace_id"),
        ({"execution_id": "other"}, "execution_id"),
        ({"parent_execution": None}, "parent_execution"),
        ({"completed_at": NOON}, "completed_at"),
        ({"usage_below": True}, "usage_below"),
        ({"output": "\0"}, "output"),
        ({"cost": -1}, "cost"),
    ],
)
def test_what_an_execution_is_cannot_be_changed(
    change: dict[str, Any], field: str, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    execution = AgentExecutionFactory(organization=teammate.organization, status="running")
    with writes_nothing():
        answer = teammate.by_key.patch(f"{EXECUTIONS}{execution.pk}/", change)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize(
    ("start", "move", "body", "status"),
    [
        ("pending", "start", None, "running"),
        ("running", "complete", {"output": "Done.", "result": {"ok": True}}, "completed"),
        ("running", "complete", {}, "completed"),
        ("pending", "fail", {"error_message": "no disk", "error_type": "OSError"}, "failed"),
        ("running", "fail", {"error_message": "no disk"}, "failed"),
        ("running", "cancel", None, "cancelled"),
        ("pending", "time-out", None, "timeout"),
    ],
)
def test_an_execution_moves_by_its_actions(
    start: str, move: str, body: dict[str, Any] | None, status: str, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    execution = AgentExecutionFactory(organization=teammate.organization, status=start)
    address = f"{EXECUTIONS}{execution.pk}/{move}/"
    answer = teammate.by_key.post(address, body)
    assert answer.status_code == 200, answer.json()
    moved = answer.json()
    assert moved.items() >= ({"status": status} | (body or {})).items()
    assert seconds_from_now(moved["started_at" if status == "running" else "completed_at"]) < 100
    with writes_nothing():
        again = teammate.by_key.post(address, body)
    assert (again.status_code, again.json()["type"]) == (409, "/api/problems/transition_conflict/")


def test_a_clock_that_runs_ahead_ends_nothing_before_its_start(teammate: Actor) -> None:
    ahead = timezone.now() + timedelta(minutes=5)
    execution = AgentExecutionFactory(organization=teammate.organization, status="running", started_at=ahead)
    answer = teammate.by_key.post(f"{EXECUTIONS}{execution.pk}/complete/", {})
    assert (answer.status_code, answer.json()["duration"]) == (200, 0)


@pytest.mark.parametrize("body", [{}, {"error_message": ""}, {"error_message": "x", "output": 1}])
def test_a_failure_says_why(body: dict[str, Any], teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    execution = AgentExecutionFactory(organization=teammate.organization, status="running")
    with writes_nothing():
        assert teammate.by_key.post(f"{EXECUTIONS}{execution.pk}/fail/", body).status_code == 400


def test_none_is_deleted(owner: Actor) -> None:
    execution = AgentExecutionFactory(organization=owner.organization)
    assert owner.by_key.delete(f"{EXECUTIONS}{execution.pk}/").status_code == 405
