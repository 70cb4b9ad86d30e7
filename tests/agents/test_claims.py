"""Claiming work: each task to one caller, the most urgent first, by a lease that lapses."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from agents.models import Agent, Squad, Task
from agents.services import claims, runs
from core.models import AuditEvent, Organization
from tests.factories.agents import TaskFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import triggers_off, writes_nothing
from tests.kit.races import Meeting, errors, race, values
from tests.kit.sql import refused, run

pytestmark = pytest.mark.django_db

CLAIM = "/api/v1/tasks/claim/"
NOW = datetime.now(tz=UTC)


def claim(actor: Actor, **body: Any) -> Any:
    """Return the task that the actor is handed, or None."""
    answer = actor.by_key.post(CLAIM, body)
    assert answer.status_code in (200, 204), answer.content
    assert answer.status_code == 200 or not answer.content
    return answer.json() if answer.content else None


def names(actor: Actor, **body: Any) -> Iterator[str]:
    """Yield the names of the tasks that the actor is handed until there is none."""
    while task := claim(actor, **body):
        yield task["name"]


def lapse() -> None:
    """Let all leases end a moment ago, without waiting for it."""
    run("UPDATE agents_task SET lease_expires_at = now() - interval '1 second' WHERE lease_token IS NOT NULL")


def post(actor: Actor, path: str, status: int = 200, **body: Any) -> Any:
    answer = actor.by_key.post(f"/api/v1/{path}/", body)
    assert answer.status_code == status, answer.content
    return answer.json()


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


def claim_at_once(organization: Organization, meeting: Meeting) -> Any:
    """Claim a task, and wait between reading and writing until the others have read too, or wait for a lock."""

    def wait(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'UPDATE "agents_task"' in sql:
            meeting.attend()
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        stack.enter_context(transaction.atomic())
        meeting.announce()
        stack.enter_context(connection.execute_wrapper(wait))
        task = claims.claim_task(organization_id=organization.pk)
        return task and task.pk


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


@pytest.fixture
def agent(organization: Organization) -> Agent:
    return Agent.objects.create(organization=organization, name="Ada")


@pytest.fixture
def squad(organization: Organization) -> Squad:
    return Squad.objects.create(organization=organization, name="Core")


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


# --- The lease -------------------------------------------------------------------------------------


def test_a_claim_says_how_long_it_lasts_and_by_whom_it_is_held(owner: Actor, agent: Agent) -> None:
    TaskFactory(organization=owner.organization)
    held = claim(owner, agent=str(agent.pk), lease_seconds=600)
    ends = datetime.fromisoformat(held["lease_expires_at"])
    assert timedelta(seconds=590) < ends - datetime.now(tz=UTC) < timedelta(seconds=610)
    assert (held["claimed_by"], held["status"]) == (str(agent.pk), "pending")


def test_only_the_holder_is_told_the_token(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    token = claim(owner)["lease_token"]
    post(owner, f"tasks/{task.pk}/start", lease_token=token)
    answers = [
        owner.by_key.get("/api/v1/tasks/"),
        owner.by_key.get(f"/api/v1/tasks/{task.pk}/"),
        owner.by_key.patch(f"/api/v1/tasks/{task.pk}/", {"name": "changed"}),
        owner.by_key.get("/api/v1/audit-events/"),
        owner.by_key.get("/api/v1/tasks/?fields=lease_token"),
        owner.by_key.get(f"/api/v1/tasks/?lease_token={uuid4()}"),
        owner.by_key.get("/api/v1/tasks/?ordering=lease_token"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 400, 400, 400]
    assert all(token not in answer.content.decode() for answer in answers)
    assert not AuditEvent.objects.filter(new_value__lease_token=token).exists()
    assert AuditEvent.objects.filter(new_value__lease_token="[redacted]").exists()


@pytest.mark.parametrize(
    ("action", "body"),
    [("start", {}), ("complete", {}), ("fail", {"error_message": "no"})],
)
def test_who_holds_no_lease_goes_no_further(owner: Actor, action: str, body: dict[str, Any]) -> None:
    task = TaskFactory(organization=owner.organization)
    token = claim(owner)["lease_token"]
    if action != "start":
        post(owner, f"tasks/{task.pk}/start", lease_token=token)
    assert post(owner, f"tasks/{task.pk}/{action}", 409, **body)["type"] == "/api/problems/leased/"
    wrong = post(owner, f"tasks/{task.pk}/{action}", 409, lease_token=str(uuid4()), **body)
    assert wrong["type"] == "/api/problems/lease_lost/"
    post(owner, f"tasks/{task.pk}/{action}", lease_token=token, **body)


@pytest.mark.parametrize(("action", "body"), [("start", {}), ("complete", {}), ("fail", {"error_message": "no"})])
def test_nor_by_way_of_the_run(owner: Actor, action: str, body: dict[str, Any]) -> None:
    task = TaskFactory(organization=owner.organization)
    queued = runs.queue_run(task=task)
    token = claim(owner)["lease_token"]
    if action != "start":
        post(owner, f"task-runs/{queued.pk}/start", lease_token=token)
    assert post(owner, f"task-runs/{queued.pk}/{action}", 409, **body)["type"] == "/api/problems/leased/"
    post(owner, f"task-runs/{queued.pk}/{action}", lease_token=token, **body)


@pytest.mark.parametrize("action", ["complete", "fail", "cancel"])
def test_the_lease_ends_with_the_task(owner: Actor, action: str) -> None:
    task = TaskFactory(organization=owner.organization)
    token = claim(owner)["lease_token"]
    post(owner, f"tasks/{task.pk}/start", lease_token=token)
    body = {"complete": {"lease_token": token}, "fail": {"lease_token": token, "error_message": "no"}, "cancel": {}}
    done = post(owner, f"tasks/{task.pk}/{action}", **body[action])
    assert done["lease_expires_at"] is None
    assert post(owner, f"tasks/{task.pk}/renew", 409, lease_token=token)["type"] == "/api/problems/lease_lost/"


def test_a_lease_is_renewed_by_its_holder_while_it_lives(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    held = claim(owner, lease_seconds=10)
    token = held["lease_token"]
    renewed = post(owner, f"tasks/{task.pk}/renew", lease_token=token, lease_seconds=3600)
    assert renewed["lease_expires_at"] > held["lease_expires_at"]
    assert renewed["lease_token"] == token
    post(owner, f"tasks/{task.pk}/renew", 409, lease_token=str(uuid4()))
    lapse()
    assert post(owner, f"tasks/{task.pk}/renew", 409, lease_token=token)["type"] == "/api/problems/lease_lost/"


def test_a_task_whose_lease_has_lapsed_is_claimed_again(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    first = claim(owner)
    assert claim(owner) is None
    lapse()
    second = claim(owner)
    assert second["id"] == str(task.pk)
    assert second["lease_token"] != first["lease_token"]
    late = post(owner, f"tasks/{task.pk}/start", 409, lease_token=first["lease_token"])
    assert late["type"] == "/api/problems/lease_lost/"


def test_a_running_task_whose_lease_has_lapsed_is_returned_and_its_run_fails(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    token = claim(owner)["lease_token"]
    started = post(owner, f"tasks/{task.pk}/start", lease_token=token)
    lapse()
    again = claim(owner)
    assert (again["id"], again["status"], again["failed_runs"]) == (str(task.pk), "pending", 1)
    failed = owner.by_key.get(f"/api/v1/task-runs/{started['id']}/").json()
    assert (failed["status"], failed["error_message"]) == ("failed", "The lease lapsed.")
    late = post(owner, f"task-runs/{started['id']}/complete", 409, lease_token=token)
    assert late["type"] == "/api/problems/lease_lost/"
    assert AuditEvent.objects.filter(event_type="task.release", resource_id=task.pk).exists()


def test_what_was_done_counts_though_the_lease_has_lapsed_unless_the_task_was_claimed_again(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    token = claim(owner)["lease_token"]
    post(owner, f"tasks/{task.pk}/start", lease_token=token)
    lapse()
    assert post(owner, f"tasks/{task.pk}/complete", lease_token=token, result=1)["status"] == "completed"


def test_a_task_without_a_lease_is_never_returned(owner: Actor) -> None:
    runs.start_task(task=TaskFactory(organization=owner.organization))
    assert claim(owner) is None
    assert Task.objects.get().status == "running"


@pytest.mark.parametrize("started", [False, True])
def test_a_task_is_given_back(owner: Actor, started: bool) -> None:
    task = TaskFactory(organization=owner.organization)
    token = claim(owner)["lease_token"]
    if started:
        post(owner, f"tasks/{task.pk}/start", lease_token=token)
    assert post(owner, f"tasks/{task.pk}/release", 409, lease_token=str(uuid4()))["status"] == 409
    given = post(owner, f"tasks/{task.pk}/release", lease_token=token)
    assert (given["status"], given["lease_expires_at"], given["total_runs"]) == ("pending", None, int(started))
    assert list(task.runs.values_list("status", flat=True)) == ["cancelled"] * started
    assert claim(owner)["id"] == str(task.pk)


def test_leases_of_others_are_not_found(owner: Actor, stranger: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    token = claim(owner)["lease_token"]
    for action in ("renew", "release", "start", "complete"):
        assert stranger.client.post(f"/api/v1/tasks/{task.pk}/{action}/", {"lease_token": token}).status_code == 404


# --- Rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("lease_token = NULL", "agents_task_lease"),
        ("lease_expires_at = NULL", "agents_task_lease"),
        ("lease_token = NULL, lease_expires_at = NULL", "agents_task_lease"),
        ("status = 'cancelled', completed_at = now()", "agents_task_lease"),
    ],
)
def test_a_lease_is_whole_and_of_an_open_task(owner: Actor, agent: Agent, change: str, rule: str) -> None:
    TaskFactory(organization=owner.organization)
    claim(owner, agent=str(agent.pk))
    assert refused(f"UPDATE agents_task SET {change}") == rule


def test_a_token_is_of_one_task(owner: Actor) -> None:
    TaskFactory.create_batch(2, organization=owner.organization)
    first = claim(owner)
    claim(owner)
    rule = refused("UPDATE agents_task SET lease_token = %s", first["lease_token"])
    assert rule == "agents_task_lease_token_unique"


def test_who_holds_a_task_is_of_its_organization(owner: Actor, stranger: Actor) -> None:
    TaskFactory(organization=owner.organization)
    claim(owner)
    other = Agent.objects.create(organization=stranger.organization, name="Eve")
    assert refused("UPDATE agents_task SET claimed_by_id = %s", other.pk) == "agents_task_claimed_by"


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
