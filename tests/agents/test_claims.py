"""Claiming work: each task to one caller, the most urgent first, by a lease that lapses."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from agents.models import Agent, Project, Squad, Task
from agents.services import claims, runs
from core.models import Organization
from tests.agents.claiming import CLAIM, claim, lapse, post
from tests.factories.agents import ProjectFactory, TaskFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import triggers_off, writes_nothing
from tests.kit.races import Meeting, errors, race, values
from tests.kit.sql import run

pytestmark = pytest.mark.django_db

NOW = datetime.now(tz=UTC)


def names(actor: Actor, **body: Any) -> Iterator[str]:
    """Yield the names of the tasks that the actor is handed until there is none."""
    while task := claim(actor, **body):
        yield task["name"]


# --- To exactly one caller -------------------------------------------------------------------------


def claim_all(organization: Organization) -> list[Any]:
    """Claim until nothing is left, and return the ids of what was handed out."""
    ids = []
    while task := claims.claim_task(organization_id=organization.pk):
        ids.append(task.pk)
        connection.close()  # back to the pool, which has fewer than there are clients
    return ids


@pytest.mark.django_db(transaction=True)
def test_twenty_clients_claim_a_thousand_tasks_each_once(organization: Organization) -> None:
    tasks = Task.objects.bulk_create(Task(organization=organization, name=f"Task {n}") for n in range(1000))
    outcomes = race(*[partial(claim_all, organization)] * 20)
    assert errors(outcomes) == []
    handed = values(outcomes)
    assert Counter(pk for ids in handed for pk in ids) == Counter(task.pk for task in tasks)


def claim_at_once(organization: Organization, meeting: Meeting, agent: Agent | None = None) -> Any:
    """Claim a task, and wait between reading and writing until the others have read too, or wait for a lock."""

    def wait(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'UPDATE "agents_task"' in sql:
            meeting.attend()
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        stack.enter_context(transaction.atomic())
        meeting.announce()
        stack.enter_context(connection.execute_wrapper(wait))
        task = claims.claim_task(organization_id=organization.pk, agent=agent)
        return task and task.pk


@pytest.mark.django_db(transaction=True)
def test_those_who_claim_at_once_for_an_agent_get_all_tasks(organization: Organization, agent: Agent) -> None:
    for owner in (None, agent):
        TaskFactory.create_batch(2, organization=organization, assigned_agent=owner)
    meeting = Meeting(4)
    handed = values(race(*[partial(claim_at_once, organization, meeting, agent)] * 4))
    assert sorted(handed, key=str) == sorted(Task.objects.values_list("pk", flat=True), key=str)


@pytest.mark.django_db(transaction=True)
def test_those_who_claim_at_once_get_different_tasks(organization: Organization) -> None:
    TaskFactory.create_batch(5, organization=organization)
    meeting = Meeting(5)
    handed = values(race(*[partial(claim_at_once, organization, meeting)] * 5))
    assert len(handed) == len(set(handed)) == 5


@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_all_get_the_same_task(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **options: rows)
    TaskFactory.create_batch(5, organization=organization)
    meeting = Meeting(5)
    handed = values(race(*[partial(claim_at_once, organization, meeting)] * 5))
    assert len(handed) == 5
    assert len(set(handed)) == 1


@pytest.mark.django_db(transaction=True)
def test_of_those_who_claim_an_abandoned_task_at_once_one_gets_it(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    held = claim(owner)
    run_id = post(owner, f"tasks/{task.pk}/start", lease_token=held["lease_token"])["id"]
    lapse()
    clients = [ApiClient(key=owner.key.text) for _ in range(8)]  # type: ignore[attr-defined]
    answers = values(race(*(partial(client.post, CLAIM) for client in clients)))
    assert sorted(answer.status_code for answer in answers) == [200] + [204] * 7
    assert post(owner, f"task-runs/{run_id}/retry", 201)["run_number"] == 2


# --- The most urgent -------------------------------------------------------------------------------


def test_priority_comes_first_then_what_is_due_then_what_is_older(owner: Actor) -> None:
    make = partial(TaskFactory, organization=owner.organization)
    make(name="low", priority="low", due_at=NOW - timedelta(days=1))
    make(name="older")
    make(name="newer")
    make(name="due later", due_at=NOW + timedelta(days=2))
    make(name="due sooner", due_at=NOW + timedelta(days=1))
    make(name="high", priority="high")
    make(name="urgent", priority="urgent")
    assert list(names(owner)) == ["urgent", "high", "due sooner", "due later", "older", "newer", "low"]


def test_only_pending_tasks_of_the_organization_are_handed_out(owner: Actor, stranger: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    runs.start_task(task=task)
    for status in ("completed", "failed", "cancelled"):
        TaskFactory(organization=owner.organization, status=status, started_at=NOW, completed_at=NOW)
    TaskFactory(organization=stranger.organization)
    assert claim(owner) is None


def test_a_task_of_another_agent_is_not_handed_out(owner: Actor, agent: Agent) -> None:
    other = Agent.objects.create(organization=owner.organization, name="Bob")
    make = partial(TaskFactory, organization=owner.organization)
    make(name="anybody's")
    make(name="Ada's", assigned_agent=agent, priority="low")
    make(name="Ada's urgent", assigned_agent=agent, priority="urgent")
    make(name="Bob's", assigned_agent=other, priority="urgent")
    assert list(names(owner, agent=str(agent.pk))) == ["Ada's urgent", "anybody's", "Ada's"]
    assert list(names(owner)) == []
    assert claim(owner, agent=str(other.pk))["name"] == "Bob's"


def test_of_two_equally_urgent_tasks_the_older_one_is_handed_out_whosever_it_is(owner: Actor, agent: Agent) -> None:
    make = partial(TaskFactory, organization=owner.organization)
    make(name="1", assigned_agent=agent)
    make(name="2")
    make(name="3", assigned_agent=agent, due_at=NOW)
    make(name="4", due_at=NOW)
    assert list(names(owner, agent=str(agent.pk))) == ["3", "4", "1", "2"]


def test_a_claim_may_ask_for_a_squad_or_a_type(owner: Actor, squad: Squad) -> None:
    make = partial(TaskFactory, organization=owner.organization)
    make(name="any", priority="urgent")
    make(name="squad", squad=squad)
    make(name="review", task_type="review")
    make(name="both", squad=squad, task_type="review", priority="low")
    assert list(names(owner, squad=str(squad.pk), task_type="review")) == ["both"]
    assert list(names(owner, task_type="review")) == ["review"]
    assert list(names(owner, squad=str(squad.pk))) == ["squad"]


@pytest.mark.parametrize("status", ["paused", "archived"])
def test_a_squad_that_takes_no_work_is_handed_none(owner: Actor, squad: Squad, status: str) -> None:
    TaskFactory(organization=owner.organization, squad=squad)
    Squad.objects.update(status=status)
    assert claim(owner) is None
    assert claim(owner, squad=str(squad.pk)) is None


def test_who_claims_is_of_the_organization(stranger: Actor, agent: Agent, squad: Squad) -> None:
    TaskFactory(organization=stranger.organization)
    for body in ({"agent": str(agent.pk)}, {"squad": str(squad.pk)}):
        with writes_nothing():
            assert stranger.client.post(CLAIM, body).status_code == 400


@pytest.mark.parametrize(
    "body", [{"lease_seconds": 0}, {"lease_seconds": 86_401}, {"lease_seconds": "x"}, {"agent": 1}, {"colour": "red"}]
)
def test_a_claim_that_makes_no_sense_is_refused(owner: Actor, body: dict[str, Any]) -> None:
    TaskFactory(organization=owner.organization)
    assert post(owner, "tasks/claim", 400, **body)["errors"][0]["field"] == next(iter(body))
    assert claim(owner) is not None


# --- Plans -----------------------------------------------------------------------------------------


@pytest.fixture
def many(organization: Organization, agent: Agent) -> Organization:
    """5,000 pending tasks, a tenth of them an agent's, and as many that ended."""
    with triggers_off():
        for status, ended in (("pending", "NULL"), ("completed", "now()")):
            run(
                "INSERT INTO agents_task (organization_id, name, description, task_type, status, priority, config,"
                " payload, max_rounds, memory_size, total_runs, successful_runs, failed_runs, error_message,"
                " assigned_agent_id, started_at, completed_at)"
                f" SELECT %s, 'Task ' || n, '', 'general', '{status}',"
                " (ARRAY['low', 'medium', 'high', 'urgent'])[n %% 4 + 1], '{}', '{}', 1, 1, 0, 0, 0, '',"
                f" CASE WHEN n %% 10 = 0 THEN %s::uuid END, {ended}, {ended} FROM generate_series(1, 5000) AS n",
                organization.pk,
                agent.pk,
            )
    run("ANALYZE agents_task; ANALYZE agents_squad")
    return organization


def test_a_deleted_projects_tasks_are_not_handed_out(owner: Actor) -> None:
    project = ProjectFactory(organization=owner.organization)
    task = TaskFactory(organization=owner.organization, project=project)
    owner.by_key.delete(f"/api/v1/projects/{project.pk}/")
    assert owner.by_key.post(CLAIM).status_code == 204
    Project.objects.filter(pk=project.pk).update(deleted_at=None)
    assert owner.by_key.post(CLAIM).json()["id"] == str(task.pk)


def test_claiming_reads_an_index_in_the_order_in_which_it_hands_out(
    many: Organization, squad: Squad, agent: Agent
) -> None:
    rows = Task.objects.for_organization(many)
    for choice, index in (
        (rows.claimable(None), "agents_task_claim "),
        (rows.claimable(agent), "agents_task_claim "),
        (rows.claimable(None).filter(squad=squad), "agents_task_claim_squad "),
        (rows.claimable(agent).filter(task_type="none"), "agents_task_claim_type "),
    ):
        plan = choice.select_for_update(skip_locked=True, no_key=True, of=("self",))[:1].explain(analyze=True)
        assert index in plan
        assert "Sort" not in plan
        assert "Seq Scan on agents_task" not in plan
        assert "Rows Removed by Filter" not in plan


def test_what_was_abandoned_is_found_by_an_index(many: Organization) -> None:
    plan = Task.objects.for_organization(many).abandoned().order_by("lease_expires_at")[:100].explain()
    assert "agents_task_lease " in plan
    assert "Seq Scan" not in plan


def test_a_claim_takes_few_queries(owner: Actor, django_assert_max_num_queries: Any) -> None:
    TaskFactory(organization=owner.organization)
    client = owner.by_key
    client.get("/api/v1/tasks/")
    with django_assert_max_num_queries(9):  # key, savepoints of the test's transaction, claim, answer
        assert client.post(CLAIM).status_code == 200
