"""The usage of work over HTTP, and what statistics and usage refuse."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.models import Agent, AgentExecution, ModelCall, Trace
from core.models import Organization
from tests.agents.counting import ADDRESSES, CALL, EXECUTIONS, MODEL_CALLS, TOOL_EXECUTIONS, WHEN
from tests.factories.agents import ProjectFactory, SquadFactory, TaskFactory, TaskRunFactory
from tests.kit.cast import Actor
from tests.kit.spans import NOON, agent, call, step, stored, tool

pytestmark = pytest.mark.django_db

USAGE = "/api/v1/statistics/usage/"


# --- Work ----------------------------------------------------------------------------------------------


@pytest.fixture
def work(organization: Organization) -> dict[str, Any]:
    """Two tasks, of one project and two squads, with a run and a trace each; and executions without a trace."""
    project = ProjectFactory(organization=organization)
    squads = [SquadFactory(organization=organization) for _ in range(2)]
    tasks = [TaskFactory(organization=organization, project=project, squad=squad) for squad in squads]
    runs = [TaskRunFactory(organization=organization, task=task) for task in tasks]
    for number, run in enumerate(runs):
        stored(
            organization,
            [
                agent(1, trace=number + 1, task_run_id=run.pk, seconds=3),
                call(2, 1, trace=number + 1, seconds=1),
                call(3, 1, trace=number + 1, seconds=2, status="failed"),
                tool(4, 1, trace=number + 1),
            ],
        )
    times = {"status": "completed", "started_at": NOON, "completed_at": NOON + timedelta(seconds=5)}
    plain = {"organization": organization, **times}
    outer = AgentExecution.objects.create(name="outer", task_run=runs[0], **plain)
    inner = AgentExecution.objects.create(name="inner", parent_execution=outer, **plain)
    priced = {"input_tokens": 10, "pricing": "computed", "cost": Decimal("0.5")}
    ModelCall.objects.create(name="chat", execution=inner, provider="x", request_model="y", **priced, **plain)
    in_trace = AgentExecution.objects.get(trace_id=Trace.objects.get(task_run=runs[1]).trace_id)
    ModelCall.objects.create(name="chat", execution=in_trace, provider="x", request_model="y", **priced, **plain)
    stored(organization, [agent(1, trace=99), call(2, 1, trace=99)])  # nobody's work
    return {"project": project, "squads": squads, "tasks": tasks, "runs": runs, "outer": outer}


def test_work_is_counted_with_what_has_no_trace(work: dict[str, Any], viewer: Actor) -> None:
    answer = viewer.by_key.get(MODEL_CALLS, {**WHEN, "group_by": "task"}).json()
    groups = {group["value"]: group for group in answer["groups"]}
    assert set(groups) == {str(task.pk) for task in work["tasks"]}
    for task in work["tasks"]:
        group = groups[str(task.pk)]
        assert (group["name"], group["count"], group["failures"]) == (task.name, 3, 1)
        assert Decimal(group["cost"]) == 2 * CALL + Decimal("0.5")
        assert group["duration"] == {"p50": 2.0, "p95": 5.0, "p99": 5.0}
    [project] = viewer.by_key.get(MODEL_CALLS, {**WHEN, "group_by": "project"}).json()["groups"]
    assert (project["count"], project["input_tokens"]) == (6, 4_020)
    squads = viewer.by_key.get(EXECUTIONS, {**WHEN, "group_by": "squad"}).json()["groups"]
    assert {group["value"]: (group["count"], Decimal(group["cost"])) for group in squads} == {
        str(work["squads"][0].pk): (3, 2 * CALL + Decimal("0.5")),
        str(work["squads"][1].pk): (1, 2 * CALL + Decimal("0.5")),
    }


def test_work_out_of_the_time_asked_for_is_not_counted(work: dict[str, Any], viewer: Actor) -> None:
    later = {"start": "2026-03-04T13:00:00Z", "end": "2026-03-04T14:00:00Z", "group_by": "task"}
    assert viewer.by_key.get(MODEL_CALLS, later).json()["groups"] == []


def test_the_usage_of_one_record(work: dict[str, Any], viewer: Actor, organization: Organization) -> None:
    def usage(**record: Any) -> tuple[int, int, int, Decimal]:
        answer = viewer.by_key.get(USAGE, {name: str(each.pk) for name, each in record.items()})
        assert answer.status_code == 200, answer.json()
        found = answer.json()
        return found["executions"], found["model_calls"], found["tool_executions"], Decimal(found["cost"])

    half, two = Decimal("0.5"), 2 * CALL
    assert usage(execution=work["outer"]) == (2, 1, 0, half)
    assert usage(task_run=work["runs"][0]) == (3, 3, 1, two + half)
    assert usage(task_run=work["runs"][1]) == (1, 3, 1, two + half)
    assert usage(task=work["tasks"][0]) == (3, 3, 1, two + half)
    assert usage(squad=work["squads"][1]) == (1, 3, 1, two + half)
    assert usage(project=work["project"]) == (4, 6, 2, 2 * two + 2 * half)
    assert usage(trace=Trace.objects.get(task_run=work["runs"][1])) == (1, 3, 1, two + half)
    root = AgentExecution.objects.get(trace_id=Trace.objects.get(task_run=work["runs"][1]).trace_id)
    assert usage(execution=root) == (1, 3, 1, two + half)
    planner = Agent.objects.get(organization=organization, name="planner")
    assert usage(agent=planner) == (3, 5, 2, 5 * CALL)
    assert usage(task=TaskFactory(organization=organization)) == (0, 0, 0, 0)


def test_totals_that_repeat_are_not_added(organization: Organization, viewer: Actor) -> None:
    stored(organization, [agent(1, input_tokens=1_000), step(2, 1, input_tokens=1_000), call(3, 2), agent(4, 1)])
    trace = Trace.objects.get()
    root = AgentExecution.objects.get(span_id=(1).to_bytes(8))
    for name, record in (("trace", trace), ("execution", root)):
        assert viewer.by_key.get(USAGE, {name: str(record.pk)}).json()["input_tokens"] == 1_000
    assert trace.input_tokens == 1_000


def test_executions_inside_each_other_end(organization: Organization, viewer: Actor) -> None:
    plain = {"organization": organization, "status": "running", "started_at": NOON, "input_tokens": 5}
    one = AgentExecution.objects.create(name="one", **plain)
    two = AgentExecution.objects.create(name="two", parent_execution=one, **plain)
    AgentExecution.objects.filter(pk=one.pk).update(parent_execution=two)
    assert viewer.by_key.get(USAGE, {"execution": str(one.pk)}).json()["executions"] == 2


def test_usage_of_what_is_theirs_is_not_found(stranger: Actor, work: dict[str, Any]) -> None:
    records = {
        "execution": work["outer"],
        "trace": Trace.objects.first(),
        "task_run": work["runs"][0],
        "task": work["tasks"][0],
        "squad": work["squads"][0],
        "project": work["project"],
        "agent": Agent.objects.get(name="planner"),
    }
    for name, record in records.items():
        assert stranger.by_key.get(USAGE, {name: str(record.pk)}).status_code == 404
    for address in ADDRESSES.values():
        for group_by in ("squad", "project", "task", "agent"):
            assert stranger.by_key.get(address, {**WHEN, "group_by": group_by}).json()["groups"] == []


# --- What is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "question", "field", "words"),
    [
        (
            EXECUTIONS,
            {"group_by": "tool"},
            "group_by",
            "agent, model, provider, status, squad, project, task, day, hour",
        ),
        (TOOL_EXECUTIONS, {"group_by": "model"}, "group_by", "agent, tool, status"),
        (EXECUTIONS, {"period": "1w"}, "period", "24h"),
        (EXECUTIONS, {"period": "0h"}, "period", "24h"),
        (EXECUTIONS, {"period": "24h", "start": "2026-03-04T12:00:00Z"}, "period", "start"),
        (EXECUTIONS, {"start": "2026-03-04T12:30:00Z"}, "start", "whole hour"),
        (EXECUTIONS, {"start": "2026-03-04T12:00:00+05:30"}, "start", "whole hour"),
        (EXECUTIONS, {"end": "2026-03-04T12:00:00Z"}, "start", "along with"),
        (EXECUTIONS, {"start": "2026-03-04T12:00:00Z", "end": "2026-03-04T12:00:00Z"}, "start", "before"),
        (EXECUTIONS, {"start": "1990-03-04T12:00:00Z", "end": "2026-03-04T12:00:00Z"}, "start", "1100 days"),
        (EXECUTIONS, {"period": "365d", "group_by": "hour"}, "period", "92 days"),
        (EXECUTIONS, {"by": "agent"}, "by", "no such parameter"),
        (USAGE, {}, "usage", "exactly one"),
        (USAGE, {"task": "5"}, "task", "no id"),
        (USAGE, {"tusk": "5"}, "tusk", "no such parameter"),
    ],
)
def test_a_question_that_has_no_answer_is_refused(
    address: str, question: dict[str, str], field: str, words: str, viewer: Actor
) -> None:
    answer = viewer.by_key.get(address, question)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["detail"]
