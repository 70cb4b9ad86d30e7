"""Statistics of some spans only, and by days of other time zones, held against a count in plain Python."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.telemetry.spans import Span
from core.models import Organization
from tests.agents.counting import (
    ADDRESSES,
    EXECUTIONS,
    MODEL_CALLS,
    TOOL_EXECUTIONS,
    WHEN,
    Counted,
    began,
    compare,
    day,
    hour,
    used_with,
)
from tests.factories.agents import ProjectFactory, SquadFactory, TaskFactory, TaskRunFactory
from tests.kit.cast import Actor
from tests.kit.spans import agent, call, stored, tool

pytestmark = pytest.mark.django_db

TIMES: dict[str | None, Callable[[Span], Any]] = {None: lambda each: None, "day": day, "hour": hour}


def ask(viewer: Actor, kind: str, **question: Any) -> Any:
    return viewer.by_key.get(ADDRESSES[kind], WHEN | {name: value for name, value in question.items() if value})


@pytest.mark.parametrize("kind", ADDRESSES)
@pytest.mark.parametrize("group_by", TIMES)
def test_one_agent_over_time(kind: str, group_by: str | None, counted: Counted, viewer: Actor) -> None:
    expected = counted.groups(
        kind, TIMES[group_by], used_with(kind), lambda each: counted.agent_of(each) == "a", by_agent=True
    )
    with CaptureQueriesContext(connection) as queries:
        answer = ask(viewer, kind, group_by=group_by, agent="a")
    compare(answer, expected)
    assert answer.json()["filters"] == {"agent": "a"}
    read = [query["sql"] for query in queries if "FROM agents_" in query["sql"] or "JOIN agents_" in query["sql"]]
    assert ["agents_spanstatistic" in sql for sql in read] == [True], read


def test_one_group_by_itself(counted: Counted, viewer: Actor) -> None:
    whole = {group["value"]: group for group in ask(viewer, "execution", group_by="agent").json()["groups"]}
    for name in ("a", "helper"):
        assert ask(viewer, "execution", group_by="agent", agent=name).json()["groups"] == [whole[name]]


def test_the_models_of_one_agent_and_the_agents_of_one_model(counted: Counted, viewer: Actor) -> None:
    def of_a(each: Span) -> bool:
        return counted.agent_of(each) == "a"

    compare(
        ask(viewer, "model_call", group_by="model", agent="a"),
        counted.groups("model_call", lambda each: each.request_model, only=of_a),
    )
    compare(
        ask(viewer, "model_call", group_by="agent", model="gpt-4o"),
        counted.groups("model_call", counted.agent_of, only=lambda each: each.request_model == "gpt-4o"),
    )
    compare(
        ask(viewer, "model_call", group_by="day", model="gpt-4o", agent="a", provider="openai"),
        counted.groups("model_call", day, only=lambda each: of_a(each) and each.request_model == "gpt-4o"),
    )
    compare(
        ask(viewer, "tool_execution", group_by="tool", agent="a"),
        counted.groups("tool_execution", lambda each: each.tool_name, only=of_a),
    )


def test_what_failed_by_agent(counted: Counted, viewer: Actor) -> None:
    for kind in ADDRESSES:
        compare(
            ask(viewer, kind, group_by="agent", status="failed"),
            counted.groups(kind, counted.agent_of, only=lambda each: each.status == "failed"),
        )
        compare(
            ask(viewer, kind, group_by="day", status="failed"),
            counted.groups(kind, day, only=lambda each: each.status == "failed"),
        )


@pytest.fixture
def work(organization: Organization) -> dict[str, Any]:
    """A project of two tasks, with a trace each, and another project; each trace has calls of two models."""
    projects = [ProjectFactory(organization=organization) for _ in range(2)]
    squad = SquadFactory(organization=organization)
    tasks = [TaskFactory(organization=organization, project=projects[number // 2]) for number in range(3)]
    for number, task in enumerate(tasks):
        run = TaskRunFactory(organization=organization, task=task)
        of = {"trace": number + 1}
        spans = [agent(1, task_run_id=run.pk, squad_id=squad.pk if number else None, **of), call(2, 1, **of)]
        spans += [call(3, 1, request_model="gpt-4o-mini", **of), tool(4, 1, tool_name="search", **of)]
        stored(organization, spans)
    stored(organization, [agent(1, trace=9), call(2, 1, trace=9)])
    return {"projects": projects, "squad": squad, "tasks": tasks}


def counts(answer: Any) -> dict[str, int]:
    assert answer.status_code == 200, answer.json()
    return {group["value"]: group["count"] for group in answer.json()["groups"]}


def test_one_project_by_model_agent_day_and_task(work: dict[str, Any], viewer: Actor) -> None:
    only = {"project": str(work["projects"][0].pk)}
    assert counts(ask(viewer, "model_call", group_by="model", **only)) == {"gpt-4o": 2, "gpt-4o-mini": 2}
    assert counts(ask(viewer, "tool_execution", group_by="tool", **only)) == {"search": 2}
    assert counts(ask(viewer, "model_call", group_by="day", **only)) == {"2026-03-04T00:00:00+00:00": 4}
    assert counts(ask(viewer, "execution", **only)) == {None: 2}
    first, second, third = (str(task.pk) for task in work["tasks"])
    assert counts(ask(viewer, "model_call", group_by="task", **only)) == {first: 2, second: 2}
    assert counts(ask(viewer, "model_call", group_by="task", squad=str(work["squad"].pk))) == {second: 2, third: 2}
    assert counts(ask(viewer, "model_call", group_by="project", model="gpt-4o", task=third)) == {
        str(work["projects"][1].pk): 1
    }
    [group] = ask(viewer, "execution", group_by="agent", task=first).json()["groups"]
    assert (group["value"], group["count"], group["input_tokens"]) == ("planner", 1, 2_000)


def test_what_there_is_none_of_is_no_group(counted: Counted, viewer: Actor) -> None:
    assert ask(viewer, "model_call", group_by="model", agent="nobody").json()["groups"] == []
    assert ask(viewer, "model_call", group_by="day", project=str(uuid4())).json()["groups"] == []
    [group] = ask(viewer, "model_call", task=str(uuid4())).json()["groups"]
    assert (group["count"], group["cost"]) == (0, "0.0000000000")


def test_another_organizations_work_is_none(work: dict[str, Any], stranger: Actor) -> None:
    for name, record in (("project", work["projects"][0]), ("squad", work["squad"]), ("task", work["tasks"][0])):
        assert counts(ask(stranger, "model_call", group_by="model", **{name: str(record.pk)})) == {}


@pytest.mark.parametrize(
    ("address", "question", "field"),
    [
        (EXECUTIONS, {"status": "done"}, "status"),
        (EXECUTIONS, {"tool": "search"}, "tool"),
        (TOOL_EXECUTIONS, {"model": "gpt-4o"}, "model"),
        (MODEL_CALLS, {"project": "7"}, "project"),
        (MODEL_CALLS, {"project": str(uuid4()), "task": str(uuid4())}, "task"),
        (MODEL_CALLS, {"agent": "a\0"}, "agent"),
    ],
)
def test_a_filter_that_is_wrong_is_named(
    address: str, question: dict[str, str], field: str, viewer: Actor, organization: Organization
) -> None:
    answer = viewer.by_key.get(address, question)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


# --- Time zones ----------------------------------------------------------------------------------------


def local_day(zone: str) -> Callable[[Span], str]:
    """Return by what local day a span is told apart."""
    return lambda each: (
        began(each).astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()
    )


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize("only", [{}, {"agent": "a"}], ids=["all", "agent"])
def test_days_begin_at_the_zones_midnight(zone: str, only: dict[str, str], counted: Counted, viewer: Actor) -> None:
    for kind in ADDRESSES:
        expected = counted.groups(
            kind,
            local_day(zone),
            used_with(kind),
            lambda each: not only or counted.agent_of(each) == "a",
            by_agent=bool(only),
        )
        answer = ask(viewer, kind, group_by="day", time_zone=zone, **only)
        compare(answer, expected)
        assert answer.json()["time_zone"] == zone


def test_days_are_as_long_as_they_are(organization: Organization, viewer: Actor) -> None:
    """On 29 March 2026 Berlin's clocks went from 2 to 3: the day had 23 hours."""
    hours = [datetime(2026, 3, 28, 22, 30, tzinfo=UTC) + timedelta(hours=each) for each in range(26)]
    stored(organization, [tool(1, trace=number + 1, at=at) for number, at in enumerate(hours)])
    question = {"start": "2026-03-28T00:00:00Z", "end": "2026-03-31T00:00:00Z", "group_by": "day"}
    answer = viewer.by_key.get(TOOL_EXECUTIONS, {**question, "time_zone": "Europe/Berlin"})
    assert counts(answer) == {
        "2026-03-28T00:00:00+01:00": 1,
        "2026-03-29T00:00:00+01:00": 23,
        "2026-03-30T00:00:00+02:00": 2,
    }


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu"])
def test_a_period_of_days_ends_with_the_zones_midnight(zone: str, organization: Organization, viewer: Actor) -> None:
    now = datetime.now(tz=UTC)
    stored(organization, [tool(1, at=now, after=-0.001, seconds=0.001)])
    for period in ("1d", "7d"):
        answer = viewer.by_key.get(TOOL_EXECUTIONS, {"period": period, "time_zone": zone}).json()
        start, end = (datetime.fromisoformat(answer[name]) for name in ("start", "end"))
        there = now.astimezone(ZoneInfo(zone))
        assert (start.hour, start.minute, end.hour, end.minute) == (0, 0, 0, 0)
        assert end.date() == there.date() + timedelta(days=1)
        assert (end.date() - start.date()).days == int(period[:-1])
        assert [group["count"] for group in answer["groups"]] == [1]


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"time_zone": "America"}, "time_zone"),
        ({"time_zone": "Europe/Berlin", "group_by": "day", "period": "93d"}, "period"),
        ({"start": "0001-01-01T00:00:00Z", "end": "0001-01-02T00:00:00Z", "time_zone": "Asia/Tokyo"}, "start"),
        ({"start": "9999-12-31T01:00:00Z", "end": "9999-12-31T02:00:00Z"}, "start"),
    ],
)
def test_a_time_that_cannot_be_is_named(question: dict[str, str], field: str, viewer: Actor) -> None:
    answer = viewer.by_key.get(EXECUTIONS, question)
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}
