"""Runs of tasks: numbered without gap or clash, no more of them active than allowed, and how they move."""

from functools import partial
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from agents.models import RunStatus, Task, TaskRun
from agents.services import runs
from core.models import AuditEvent, Organization
from tests.factories.agents import TaskFactory, TaskRunFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import writes_nothing
from tests.kit.races import Meeting, errors, race, values
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

CLIENTS = 50


# --- Numbers ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_fifty_clients_who_start_runs_at_once_get_fifty_numbers(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization, config={"max_active_runs": CLIENTS})
    clients = [ApiClient(key=owner.key.text) for _ in range(CLIENTS)]  # type: ignore[attr-defined]
    answers = values(race(*(partial(client.post, f"/api/v1/tasks/{task.pk}/start/") for client in clients)))
    assert [answer.status_code for answer in answers] == [200] * CLIENTS
    assert sorted(answer.json()["run_number"] for answer in answers) == list(range(1, CLIENTS + 1))
    task.refresh_from_db()
    assert (task.total_runs, task.status) == (CLIENTS, "running")


def insert_run(task: Task, meeting: Meeting) -> None:
    with transaction.atomic():
        meeting.announce()
        TaskRun.objects.create(organization_id=task.organization_id, task=task)
        meeting.attend()


@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_two_runs_want_the_same_number() -> None:
    [(function,)] = run("SELECT pg_get_functiondef('agents_number_run'::regproc)")
    lock = "FOR NO KEY UPDATE"
    assert lock in function
    task = TaskFactory(config={"max_active_runs": 2})
    run(function.replace(lock, "").replace("%", "%%"))
    try:
        [clash] = errors(race(*[partial(insert_run, task, Meeting(2))] * 2))
    finally:
        run(function.replace("%", "%%"))
    assert isinstance(clash, IntegrityError)
    assert "agents_taskrun_number_unique" in str(clash)


@pytest.mark.django_db(transaction=True)
def test_the_same_race_with_the_lock_numbers_both() -> None:
    task = TaskFactory(config={"max_active_runs": 2})
    assert errors(race(*[partial(insert_run, task, Meeting(2))] * 2)) == []
    assert sorted(task.runs.values_list("run_number", flat=True)) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_a_number_is_free_again_when_its_transaction_fails() -> None:
    task = TaskFactory(config={"max_active_runs": 2})
    with transaction.atomic():
        TaskRunFactory(task=task, organization=task.organization)
        transaction.set_rollback(True)
    assert TaskRunFactory(task=task, organization=task.organization).run_number == 1


def test_runs_by_raw_sql_and_in_bulk_are_numbered_too(organization: Organization) -> None:
    task = TaskFactory(organization=organization, config={"max_active_runs": 100})
    TaskRun.objects.bulk_create(TaskRun(organization=organization, task=task) for _ in range(3))
    run(
        "INSERT INTO agents_taskrun (organization_id, task_id, status, plan, error_message)"
        " SELECT %s, %s, 'pending', '{}', '' FROM generate_series(1, 3)",
        organization.pk,
        task.pk,
    )
    assert sorted(task.runs.values_list("run_number", flat=True)) == [1, 2, 3, 4, 5, 6]


def finished(count: int) -> Task:
    """Return a task with so many finished runs."""
    task = TaskFactory()
    for _ in range(count):
        runs.fail_run(run=runs.start_task(task=task), error_message="no")
    return task


def test_numbers_have_no_gap() -> None:
    task = finished(3)
    assert refused("DELETE FROM agents_taskrun WHERE run_number = 2") == "agents_taskrun_number_gapless"
    insert = (
        "INSERT INTO agents_taskrun (organization_id, task_id, run_number, status, completed_at, plan, error_message)"
        " VALUES (%s, %s, %s, 'cancelled', now(), '{}', '')"
    )
    assert refused(insert, task.organization_id, task.pk, 5) == "agents_taskrun_number_gapless"
    run("DELETE FROM agents_taskrun WHERE run_number = 3")
    run(insert, task.organization_id, task.pk, 3)


def test_numbers_may_come_in_any_order_within_a_transaction() -> None:
    """As they do when what was dumped is loaded."""
    task = TaskFactory()
    insert = (
        "INSERT INTO agents_taskrun (organization_id, task_id, run_number, status, completed_at, plan, error_message)"
        " SELECT %s, %s, number, 'cancelled', now(), '{}', '' FROM unnest(ARRAY[3, 1, 2]) AS number"
    )
    run(insert, task.organization_id, task.pk)
    assert sorted(task.runs.values_list("run_number", flat=True)) == [1, 2, 3]


def test_a_number_stands_and_is_the_only_one() -> None:
    task = finished(2)
    assert refused("UPDATE agents_taskrun SET run_number = run_number + 1") == "agents_taskrun_run_number_immutable"
    assert refused("UPDATE agents_taskrun SET task_id = %s", TaskFactory().pk) == "agents_taskrun_task_id_immutable"
    insert = (
        "INSERT INTO agents_taskrun (organization_id, task_id, run_number, status, completed_at, plan, error_message)"
        " VALUES (%s, %s, %s, 'cancelled', now(), '{}', '')"
    )
    assert refused(insert, task.organization_id, task.pk, 2) == "agents_taskrun_number_unique"
    assert refused(insert, task.organization_id, task.pk, -1) == "agents_taskrun_number_from_1"


# --- Active runs -----------------------------------------------------------------------------------


def test_one_run_is_active_at_a_time() -> None:
    first = TaskRunFactory()
    insert = (
        "INSERT INTO agents_taskrun (organization_id, task_id, status, started_at, plan, error_message)"
        " VALUES (%s, %s, %s, %s, '{}', '')"
    )
    place = (first.organization_id, first.task_id)
    assert refused(insert, *place, "pending", None) == "agents_taskrun_active"
    assert refused(insert, *place, "running", "2026-01-01T00:00:00Z") == "agents_taskrun_active"
    ignore_all_triggers()
    assert refused(insert, *place, "pending", None) == "agents_taskrun_active"


def test_the_config_lets_more_go_at_once() -> None:
    task = TaskFactory(config={"max_active_runs": 2})
    for _ in range(2):
        TaskRunFactory(task=task, organization=task.organization)
    with pytest.raises(IntegrityError, match="2 of 2 runs of the task"):
        TaskRunFactory(task=task, organization=task.organization)


@pytest.mark.django_db(transaction=True)
def test_of_those_who_start_a_task_at_once_one_does(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    clients = [ApiClient(key=owner.key.text) for _ in range(8)]  # type: ignore[attr-defined]
    answers = values(race(*(partial(client.post, f"/api/v1/tasks/{task.pk}/start/") for client in clients)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert task.runs.count() == 1


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_task_that_has_ended_takes_no_active_run(status: str) -> None:
    task = TaskFactory(status=status, started_at="2026-01-01T00:00:00Z", completed_at="2026-01-02T00:00:00Z")
    insert = (
        "INSERT INTO agents_taskrun (organization_id, task_id, status, plan, error_message)"
        " VALUES (%s, %s, 'pending', '{}', '')"
    )
    assert refused(insert, task.organization_id, task.pk) == "agents_taskrun_task_open"


# --- Rules of one row ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("status = 'resting'", "agents_taskrun_status_transitions"),
        ("status = 'completed', completed_at = now()", "agents_taskrun_status_transitions"),
        ("status = 'running'", "agents_taskrun_started"),
        ("started_at = now()", "agents_taskrun_started"),
        ("status = 'failed'", "agents_taskrun_ended"),
        ("completed_at = now()", "agents_taskrun_ended"),
        (
            "status = 'cancelled', started_at = now(), completed_at = now() - interval '1 second'",
            "agents_taskrun_times",
        ),
    ],
)
def test_a_run_is_in_order(change: str, rule: str) -> None:
    TaskRunFactory()
    assert refused(f"UPDATE agents_taskrun SET {change}") == rule


def test_a_status_is_one_of_the_drawn_ones() -> None:
    task = TaskFactory()
    insert = (
        "INSERT INTO agents_taskrun (organization_id, task_id, status, plan, error_message)"
        " VALUES (%s, %s, 'resting', '{}', '')"
    )
    assert refused(insert, task.organization_id, task.pk) == "agents_taskrun_status"


@pytest.mark.parametrize("old", RunStatus.values)
@pytest.mark.parametrize("new", RunStatus.values)
def test_a_run_moves_only_as_drawn(old: str, new: str) -> None:
    started = None if old == "pending" else "2026-01-01T00:00:00Z"
    ended = "2026-01-02T00:00:00Z" if old in ("completed", "failed", "cancelled") else None
    TaskRunFactory(status=old, started_at=started, completed_at=ended)
    change = (
        "UPDATE agents_taskrun SET status = %s,"
        " started_at = CASE WHEN %s <> 'pending' THEN coalesce(started_at, now()) END,"
        " completed_at = CASE WHEN %s IN ('completed', 'failed', 'cancelled') THEN now() END"
    )
    if old == new or (old, new) in TaskRun.lifecycle.pairs():
        run(change, new, new, new)
    else:
        assert refused(change, new, new, new) == "agents_taskrun_status_transitions"


def test_a_run_belongs_to_a_task_of_its_organization(other_organization: Organization) -> None:
    task = TaskFactory()
    insert = (
        "INSERT INTO agents_taskrun (organization_id, task_id, status, plan, error_message)"
        " VALUES (%s, %s, 'pending', '{}', '')"
    )
    assert refused(insert, other_organization.pk, task.pk) == "agents_taskrun_task"
    assert refused(insert, task.organization_id, uuid4()) == "agents_taskrun_task"


@pytest.mark.django_db(transaction=True)
def test_runs_are_not_truncated() -> None:
    TaskRunFactory()
    for tables in ("agents_taskrun CASCADE", "agents_task CASCADE"):
        assert refused(f"TRUNCATE {tables}") == "agents_taskrun_append_only"


def test_the_duration_is_in_seconds() -> None:
    TaskRunFactory(status="completed", started_at="2026-01-01T00:00:00Z", completed_at="2026-01-01T01:00:00.25Z")
    assert TaskRun.objects.get().duration == 3600.25


# --- Endpoints -------------------------------------------------------------------------------------


@pytest.fixture
def task(organization: Organization) -> Task:
    return TaskFactory(organization=organization)


def post(actor: Actor, path: str, body: object = None, status: int = 200) -> dict:
    answer = actor.by_key.post(f"/api/v1/{path}/", body)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_a_run_is_queued_started_and_completed(owner: Actor, task: Task) -> None:
    queued = post(owner, "task-runs", {"task": str(task.pk), "plan": {"steps": ["a"]}}, 201)
    assert (queued["status"], queued["run_number"], queued["plan"]) == ("pending", 1, {"steps": ["a"]})
    task.refresh_from_db()
    assert task.status == "pending"
    started = post(owner, f"task-runs/{queued['id']}/start")
    task.refresh_from_db()
    assert (started["status"], task.status) == ("running", "running")
    done = post(owner, f"task-runs/{queued['id']}/complete", {"results": {"lines": 3}})
    assert (done["status"], done["results"], done["duration"] > 0) == ("completed", {"lines": 3}, True)
    task.refresh_from_db()
    assert (task.status, task.result, task.successful_runs) == ("completed", {"lines": 3}, 1)
    assert task.completed_at is not None


def test_starting_a_task_starts_the_run_that_waits(owner: Actor, task: Task) -> None:
    queued = post(owner, "task-runs", {"task": str(task.pk), "plan": 1}, 201)
    started = post(owner, f"tasks/{task.pk}/start", {"plan": 2})
    assert (started["id"], started["status"], started["plan"]) == (queued["id"], "running", 2)


def test_a_run_that_failed_is_tried_again_by_another(owner: Actor, task: Task) -> None:
    first = post(owner, f"tasks/{task.pk}/start", {"plan": ["dig"]})
    failed = post(owner, f"task-runs/{first['id']}/fail", {"error_message": "rock", "error_details": {"depth": 2}})
    assert (failed["status"], failed["error_message"], failed["error_details"]) == ("failed", "rock", {"depth": 2})
    task.refresh_from_db()
    assert (task.status, task.error_message, task.failed_runs) == ("failed", "rock", 1)
    answer = owner.by_key.post(f"/api/v1/task-runs/{first['id']}/retry/")
    second = answer.json()
    assert answer.status_code == 201
    assert owner.by_key.get(answer["Location"]).json() == second
    assert (second["run_number"], second["plan"], second["status"]) == (2, ["dig"], "pending")
    task.refresh_from_db()
    assert (task.status, task.error_message, task.started_at) == ("pending", "", None)


def test_a_task_of_which_all_runs_were_cancelled_is_pending_again(owner: Actor, task: Task) -> None:
    started = post(owner, f"tasks/{task.pk}/start")
    assert post(owner, f"task-runs/{started['id']}/cancel")["status"] == "cancelled"
    task.refresh_from_db()
    assert (task.status, task.total_runs, task.successful_runs, task.failed_runs) == ("pending", 1, 0, 0)


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [
        (["complete", "fail"], "failed"),
        (["fail", "complete"], "completed"),
        (["complete", "cancel"], "completed"),
        (["fail", "cancel"], "failed"),
        (["cancel", "cancel"], "pending"),
    ],
)
def test_the_last_run_to_end_gives_the_task_its_outcome(owner: Actor, ends: list[str], outcome: str) -> None:
    task = TaskFactory(organization=owner.organization, config={"max_active_runs": 2})
    started = [post(owner, f"tasks/{task.pk}/start") for _ in ends]
    bodies = {"complete": {"results": 1}, "fail": {"error_message": "no"}, "cancel": None}
    for number, (each, end) in enumerate(zip(started, ends, strict=True)):
        task.refresh_from_db()
        assert task.status == "running", number
        post(owner, f"task-runs/{each['id']}/{end}", bodies[end])
    task.refresh_from_db()
    assert task.status == outcome


def test_an_earlier_outcome_is_not_taken_for_the_present_one(owner: Actor, task: Task) -> None:
    post(owner, f"task-runs/{post(owner, f'tasks/{task.pk}/start')['id']}/complete")
    again = post(owner, f"tasks/{task.pk}/start")
    post(owner, f"task-runs/{again['id']}/cancel")
    task.refresh_from_db()
    assert (task.status, task.result, task.successful_runs) == ("pending", None, 1)


@pytest.mark.parametrize(
    ("status", "moves"),
    [
        ("pending", {"complete"}),
        ("running", {"start"}),
        ("completed", {"start", "complete", "fail", "cancel"}),
        ("cancelled", {"start", "complete", "fail", "cancel"}),
    ],
)
def test_moves_that_are_not_drawn_are_refused(owner: Actor, task: Task, status: str, moves: set[str]) -> None:
    first = runs.queue_run(task=task) if status == "pending" else runs.start_task(task=task)
    if status == "completed":
        runs.complete_run(run=first)
    elif status == "cancelled":
        runs.cancel_run(run=first)
    for move in sorted(moves):
        body = {"error_message": "no"} if move == "fail" else None
        problem = post(owner, f"task-runs/{first.pk}/{move}", body, 409)
        assert problem["type"] == "/api/problems/transition_conflict/"
        assert f"'{status}'" in problem["detail"]
    first.refresh_from_db()
    assert first.status == status


def test_a_run_under_way_is_not_retried_nor_another_queued(owner: Actor, task: Task) -> None:
    started = post(owner, f"tasks/{task.pk}/start")
    assert post(owner, f"task-runs/{started['id']}/retry", None, 409)["type"] == "/api/problems/run_active/"
    problem = post(owner, "task-runs", {"task": str(task.pk)}, 409)
    assert problem["type"] == "/api/problems/active_runs/"
    assert problem["detail"].endswith("these runs are: 1.")
    assert task.runs.count() == 1


def test_a_run_is_made_only_of_a_task_of_ones_own(stranger: Actor, task: Task) -> None:
    with writes_nothing():
        answer = stranger.client.post("/api/v1/task-runs/", {"task": str(task.pk)})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "task"


def test_the_plan_can_be_changed_and_nothing_else(owner: Actor, task: Task) -> None:
    made = runs.queue_run(task=task)
    answer = owner.by_key.patch(f"/api/v1/task-runs/{made.pk}/", {"plan": [1, 2]})
    assert (answer.status_code, answer.json()["plan"]) == (200, [1, 2])
    for body in ({"status": "completed"}, {"run_number": 7}, {"task": str(TaskFactory().pk)}):
        assert owner.by_key.patch(f"/api/v1/task-runs/{made.pk}/", body).status_code == 400


def test_runs_are_filtered(owner: Actor, task: Task) -> None:
    first = runs.start_task(task=task)
    TaskRunFactory(organization=owner.organization)
    for query, count in ((f"task={task.pk}", 1), ("status=running", 1), ("status=pending,running", 2)):
        rows = owner.by_key.get(f"/api/v1/task-runs/?{query}").json()["results"]
        assert len(rows) == count
        assert str(first.pk) in {row["id"] for row in rows}


def test_moves_are_events(owner: Actor, task: Task) -> None:
    started = post(owner, f"tasks/{task.pk}/start")
    post(owner, f"task-runs/{started['id']}/complete")
    events = AuditEvent.objects.filter(resource_type__in=["task", "task_run"]).order_by("timestamp")
    assert list(events.values_list("event_type", flat=True)) == [
        *("task.create", "task.start", "task_run.create", "task_run.start", "task_run.complete", "task.complete")
    ]
    assert set(events.exclude(event_type="task.create").values_list("user_id", flat=True)) == {owner.user.pk}
