"""Which run and squad a trace is of, whatever kind of span names them, in whatever order they come."""

from io import StringIO
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command

from agents.models import AgentExecution, ModelCall, Squad, TaskRun, Trace
from agents.telemetry.spans import Span
from core.models import Organization
from tests.factories.agents import ProjectFactory, SquadFactory, TaskFactory, TaskRunFactory
from tests.kit.cast import Actor
from tests.kit.spans import agent, call, stored, tool

pytestmark = pytest.mark.django_db

USAGE = "/api/v1/statistics/usage/"


@pytest.fixture
def run(organization: Organization) -> TaskRun:
    task = TaskFactory(organization=organization, project=ProjectFactory(organization=organization))
    return TaskRunFactory(organization=organization, task=task)


@pytest.fixture
def squad(organization: Organization) -> Squad:
    return SquadFactory(organization=organization)


def work() -> tuple[Any, Any]:
    """Return the run and the squad of the only trace."""
    trace = Trace.objects.get()
    return trace.task_run, trace.squad


def check(*arguments: str) -> str:
    output = StringIO()
    call_command("check_spans", *arguments, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize("kind", [call, tool])
def test_work_that_only_calls_or_tools_name_is_the_traces(
    kind: Any, run: TaskRun, squad: Squad, organization: Organization, viewer: Actor
) -> None:
    stored(organization, [kind(1, task_run_id=run.pk, squad_id=squad.pk), call(2, 1), call(3, 1)])
    assert work() == (run, squad)
    records = {"task_run": run, "task": run.task, "project": run.task.project, "squad": squad}
    for name, record in records.items():
        usage = viewer.by_key.get(USAGE, {name: str(record.pk)}).json()
        assert (usage["model_calls"], usage["tool_executions"]) == ((3, 0) if kind is call else (2, 1)), name


def test_work_that_no_execution_names_stays_when_all_is_counted_anew(
    run: TaskRun, squad: Squad, organization: Organization
) -> None:
    stored(organization, [call(1, task_run_id=run.pk, squad_id=squad.pk), call(2, 1)])
    ModelCall.objects.filter(name="span 2").update(input_tokens=5)
    assert work() == (run, squad)
    assert "are right" in check()
    Trace.objects.update(errors=7)
    assert "1 rows mended" in check("--mend")
    assert work() == (run, squad)
    ModelCall.objects.all().delete()
    assert not Trace.objects.exists()


def test_work_that_an_execution_named_goes_when_it_does_no_longer(run: TaskRun, organization: Organization) -> None:
    stored(organization, [agent(1, task_run_id=run.pk), call(2, 1, task_run_id=run.pk)])
    assert work() == (run, None)
    AgentExecution.objects.update(task_run=None)
    assert work() == (None, None)
    assert "are right" in check()


def test_what_an_execution_named_goes_though_a_call_named_something_else(
    run: TaskRun, squad: Squad, organization: Organization
) -> None:
    stored(organization, [call(1, 2, task_run_id=run.pk), agent(2, squad_id=squad.pk)])
    assert work() == (run, squad)
    AgentExecution.objects.update(squad=None)
    assert work() == (run, None)
    assert "are right" in check()


def test_what_a_call_named_is_there_when_the_execution_names_none_any_longer(
    run: TaskRun, organization: Organization
) -> None:
    stored(organization, [agent(1, task_run_id=TaskRunFactory(organization=organization).pk)])
    stored(organization, [call(2, 1, task_run_id=run.pk)])
    assert work() != (run, None)
    assert "are right" in check()
    AgentExecution.objects.update(task_run=None)
    assert work() == (run, None)
    Trace.objects.update(task_run=None)
    assert "1 rows mended" in check("--mend")
    assert work() == (run, None)


def test_a_run_that_goes_is_no_traces_any_longer(run: TaskRun, organization: Organization) -> None:
    stored(organization, [call(1, task_run_id=run.pk)])
    TaskRun.objects.filter(pk=run.pk).delete()
    assert work() == (None, None)
    ModelCall.objects.update(input_tokens=5)
    assert work() == (None, None)
    assert "are right" in check()


def test_a_resources_work_is_the_traces_in_any_order(run: TaskRun, organization: Organization) -> None:
    spans = [each(number, parent, task_run_id=run.pk) for each, number, parent in ((agent, 1, None), (call, 2, 1))]
    for trace, order in enumerate(permutations([*spans, tool(3, 1, task_run_id=run.pk)]), 1):
        for each in order:
            stored(organization, [in_trace(each, trace)])
    assert {each.task_run for each in Trace.objects.all()} == {run}
    assert "are right" in check()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_of_two_runs_a_trace_is_of_the_first_whatever_comes_first(
    order: tuple[int, ...], run: TaskRun, organization: Organization
) -> None:
    second, third = (TaskRunFactory(organization=organization) for _ in range(2))
    spans = [
        call(1, 9, task_run_id=third.pk),  # earlier than the agents, whose word is above a call's
        agent(2, 9, task_run_id=run.pk, after=1),
        agent(3, 9, task_run_id=second.pk, after=2),
        tool(4, 3, after=3),
    ]
    for number in order:
        stored(organization, [spans[number]])
    assert work() == (run, None)
    assert "are right" in check()
    stored(organization, [agent(9, task_run_id=second.pk, after=3)])
    assert work() == (second, None)
    assert "are right" in check()


def in_trace(span: Span, number: int) -> Span:
    """Return the span with the id of the trace with this number."""
    span.trace_id = number.to_bytes(16)
    return span


def test_each_trace_of_a_request_has_its_own_work(run: TaskRun, squad: Squad, organization: Organization) -> None:
    stored(
        organization,
        [call(1, trace=1, task_run_id=run.pk), call(1, trace=2, squad_id=squad.pk), call(1, trace=3)],
    )
    found = {int(str(each.trace_id), 16): (each.task_run, each.squad) for each in Trace.objects.all()}
    assert found == {1: (run, None), 2: (None, squad), 3: (None, None)}


def test_a_strangers_work_is_dropped(organization: Organization, other_organization: Organization) -> None:
    theirs: TaskRun = TaskRunFactory(organization=other_organization)
    stored(organization, [call(1, task_run_id=theirs.pk, squad_id=uuid4())])
    assert work() == (None, None)
