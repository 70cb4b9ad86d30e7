"""Enqueueing in the caller's transaction, schedules, lost workers, and what staff and monitors see of it."""

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from procrastinate import JobContext
from procrastinate.contrib.django.migrations_utils import list_migration_files
from procrastinate.jobs import Job
from procrastinate.periodic import PeriodicDeferrer

from agents.models import Agent, Task
from agents.services.claims import claim_task
from agents.tasks import return_abandoned_tasks
from core import jobs
from core.doctor import examine
from core.errors import ConflictError
from core.jobs import app, control
from core.models import AuditEvent
from core.tasks import forget_expired_sessions, forget_old_jobs, purge_deleted, retry_stalled_jobs
from tests.core.jobs import tasks
from tests.core.jobs.conftest import statuses
from tests.factories.agents.roster import AgentFactory
from tests.factories.agents.work import TaskFactory
from tests.factories.core import UserFactory
from tests.kit.sql import run


class ChangeFailedError(Exception):
    """A change that is rolled back."""


def queue(task: str, status: str = "todo", **columns: Any) -> int:
    """Put a row into the queue, as it stands after whatever happened, and return its id."""
    names = ", ".join(["task_name", "queue_name", "status", *columns])
    marks = ", ".join(["%s", "'probes'", "%s::procrastinate_job_status", *("%s" for _ in columns)])
    sql = f"INSERT INTO procrastinate_jobs ({names}) VALUES ({marks}) RETURNING id"
    [(job,)] = run(sql, task, status, *columns.values())
    return job


# --- Enqueueing ------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_enqueues_nothing() -> None:
    def change(number: int) -> None:
        with transaction.atomic():
            tasks.note.enqueue(number)
            if number == 1:
                raise ChangeFailedError

    with pytest.raises(ChangeFailedError):
        change(1)
    assert run("SELECT 1 FROM procrastinate_jobs") == []
    change(2)
    assert run("SELECT args ->> 'number', queue_name FROM procrastinate_jobs") == [("2", "probes")]


@pytest.mark.django_db
def test_what_is_asked_for_once_waits_once_and_leaves_the_transaction_whole() -> None:
    once = tasks.note.options(once="tidy")
    assert once.enqueue(1) is not None
    assert once.enqueue(2) is None
    assert tasks.note.enqueue(3) is not None
    assert run("SELECT args ->> 'number' FROM procrastinate_jobs ORDER BY id") == [("1",), ("3",)]


@pytest.mark.django_db
def test_arguments_are_checked_as_a_job_is_enqueued() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'number'"):
        tasks.note.enqueue()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="not JSON serializable"):
        tasks.note.enqueue({1, 2})  # type: ignore[arg-type]


def test_names_that_jobs_use_themselves_are_refused() -> None:
    def function(cause: str) -> None: ...

    with pytest.raises(TypeError, match="“cause” is a name that jobs use themselves"):
        jobs.task()(function)


# --- The schedule ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_two_workers_enqueue_a_scheduled_job_once() -> None:
    for _ in range(2):
        worker = PeriodicDeferrer(app.periodic_registry)
        async_to_sync(worker.defer_jobs)(worker.get_previous_tasks(at=1_800_000_001))
    found = dict(run("SELECT task_name, count(*) FROM procrastinate_jobs GROUP BY 1"))
    assert found["core.tasks.retry_stalled_jobs"] == found["agents.tasks.return_abandoned_tasks"] == 1
    assert set(found.values()) == {1}


@pytest.mark.django_db(transaction=True)  # a worker's statements are transactions of their own
def test_a_scheduled_job_does_not_pile_up() -> None:
    worker = PeriodicDeferrer(app.periodic_registry)
    for minute in range(3):
        async_to_sync(worker.defer_jobs)(worker.get_previous_tasks(at=1_800_000_001 + 60 * minute))
    assert statuses("return_abandoned_tasks") == [("todo", 0)]


@pytest.mark.django_db
def test_what_is_done_long_ago_is_forgotten() -> None:
    old, new = queue("probe", "succeeded"), queue("probe", "succeeded")
    failed, waiting = queue("probe", "failed"), queue("probe")
    for job, age in ((old, 25), (new, 23), (failed, 25), (waiting, 10_000)):
        run(
            "INSERT INTO procrastinate_events (job_id, type, at)"
            " VALUES (%s, 'started', now() - %s * interval '1 hour')",
            job,
            age,
        )
    run("DELETE FROM procrastinate_events WHERE type <> 'started'")
    async_to_sync(forget_old_jobs.func)(context(), timestamp=0)
    assert run("SELECT id FROM procrastinate_jobs ORDER BY id") == [(new,), (failed,), (waiting,)]


# --- Lost workers ----------------------------------------------------------------------------------


def context() -> JobContext:
    """Return what a worker tells a task of its job."""
    job = Job(id=1, queue="default", lock=None, queueing_lock=None, task_name="")
    return JobContext(start_timestamp=0, app=app, job=job, abort_reason=lambda: None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("task", "attempts", "outcome"),
    [
        (tasks.note, 0, ("todo", 1)),
        (tasks.note, 5, ("failed", 6)),  # its attempts are used up: perhaps it is what kills workers
        (tasks.only_once, 0, ("failed", 1)),
    ],
)
def test_a_job_whose_worker_is_gone_is_tried_again_as_its_task_allows(
    task: jobs.Task[..., None], attempts: int, outcome: tuple[str, int]
) -> None:
    queue(task.name, "doing", attempts=attempts, args='{"number": 1}')
    async_to_sync(retry_stalled_jobs.func)(context(), timestamp=0)
    assert run("SELECT status::text, attempts FROM procrastinate_jobs") == [outcome]


@pytest.mark.django_db
def test_a_job_of_a_living_worker_is_left_to_it() -> None:
    [(worker,)] = run("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
    queue(tasks.note.name, "doing", worker_id=worker)
    async_to_sync(retry_stalled_jobs.func)(context(), timestamp=0)
    assert statuses("note") == [("doing", 0)]


@pytest.mark.django_db(transaction=True)
def test_a_dead_dispatcher_of_webhooks_keeps_no_other_from_starting() -> None:
    deferrer, begun = PeriodicDeferrer(app.periodic_registry), []
    for minute in range(2):
        async_to_sync(deferrer.defer_jobs)(deferrer.get_previous_tasks(at=1_800_000_001 + 60 * minute))
        begun += run("SELECT task_name FROM procrastinate_fetch_job_v2(ARRAY['webhooks']::varchar[], NULL)")
    assert begun == [("core.tasks.dispatch_webhooks",)] * 2


@pytest.mark.django_db(transaction=True)
def test_what_is_on_schedule_starts_before_what_waits() -> None:
    queue("probe")
    worker = PeriodicDeferrer(app.periodic_registry)
    async_to_sync(worker.defer_jobs)(worker.get_previous_tasks(at=1_800_000_001))
    begun = [run("SELECT task_name FROM procrastinate_fetch_job_v2(NULL, NULL)") for _ in range(4)]
    assert [("knowledge.tasks.find_work",)] in begun
    assert [("probe",)] not in begun


def test_the_upkeep_that_frees_locks_takes_none() -> None:
    assert retry_stalled_jobs.lock is None


# --- What people see -------------------------------------------------------------------------------


@pytest.fixture
def console(db: None) -> Client:
    """The admin, as a superuser sees it."""
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:procrastinate_procrastinatejob_{name}", args=args)


def test_staff_look_at_jobs_by_status_queue_and_task(console: Client) -> None:
    waiting, failed = queue("knowledge.embed"), queue("agents.sweep", "failed", args='{"path": "x"}')
    assert "knowledge.embed" in (everything := console.get(page("changelist")).content.decode())
    assert "agents.sweep" in everything
    for query in ("status__exact=failed", "task_name__exact=agents.sweep"):
        shown = console.get(f"{page('changelist')}?{query}").content.decode()
        assert ("agents.sweep" in shown, "knowledge.embed" in shown) == (True, False)
    assert console.get(f"{page('changelist')}?queue_name__exact=other").content.decode().count("knowledge.embed") == 0
    shown = console.get(page("change", failed)).content.decode()
    assert "path" in shown
    assert "deferred" in console.get(page("change", waiting)).content.decode()
    assert console.get(page("add")).status_code == 403
    assert console.post(page("delete", waiting), {"post": "yes"}).status_code == 403


def test_staff_retry_what_failed_and_cancel_what_waits(console: Client) -> None:
    failed, waiting, running = queue("a", "failed"), queue("b"), queue("c", "doing")
    console.post(page("action", failed, "retry"))
    console.post(page("action", waiting, "cancel"))
    for refused in ((running, "retry"), (running, "cancel"), (failed, "retry")):
        assert "only one that" in console.post(page("action", *refused), follow=True).content.decode()
    assert statuses("%") == []
    assert run("SELECT status::text FROM procrastinate_jobs ORDER BY id") == [("todo",), ("cancelled",), ("doing",)]
    done = AuditEvent.objects.filter(resource_type="job").order_by("timestamp")
    assert [(event.event_type, event.details["job"]) for event in done] == [
        ("job.retry", failed),
        ("job.cancel", waiting),
    ]
    assert "job.retry" in console.get(page("history", failed)).content.decode()


def test_who_is_no_superuser_sees_no_job(db: None) -> None:
    queue("knowledge.embed")
    client = Client()
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="procrastinate"))
    client.force_login(user)
    assert "knowledge.embed" not in client.get(page("changelist")).content.decode()


@pytest.mark.django_db
def test_a_job_is_not_retried_beside_one_that_excludes_it() -> None:
    failed = queue("a", "failed", queueing_lock="a")
    queue("a", queueing_lock="a")
    with pytest.raises(ConflictError, match="Such a job waits already"):
        control.retry(failed)


def test_readiness_tells_of_workers_and_jobs_and_is_ready_without(console: Client) -> None:
    def worker() -> dict[str, Any]:
        answer = console.get("/health/ready")
        assert answer.status_code == 200, answer.json()
        return {name: value for name, value in answer.json()["components"]["worker"].items() if name != "latency_ms"}

    queue("a"), queue("b", "failed"), queue("c", "doing"), queue("d", "succeeded")
    counts = {"waiting": 1, "running": 1, "stalled": 1, "failed": 1}
    assert worker() == {"status": "absent", "workers": 0, "jobs": counts}
    [(number,)] = run("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
    run("UPDATE procrastinate_jobs SET worker_id = %s WHERE status = 'doing'", number)
    assert worker() == {"status": "up", "workers": 1, "jobs": counts | {"stalled": 0}}
    run("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '31 seconds'")
    assert worker() == {"status": "absent", "workers": 0, "jobs": counts}


@pytest.mark.django_db
def test_the_doctor_tells_of_workers_and_jobs() -> None:
    def findings() -> dict[str, list[str]]:
        found = [(name, finding.message) for name, finding in examine() if name in ("workers", "jobs")]
        return {name: [message for other, message in found if other == name] for name, _ in found}

    queue("a"), queue("b", "failed"), queue("c", "doing")
    assert findings() == {
        "workers": ["No worker was heard of; 1 jobs wait, and nothing runs on schedule."],
        "jobs": ["1 jobs failed.", "1 jobs lost their worker."],
    }
    run("DELETE FROM procrastinate_jobs")
    run("INSERT INTO procrastinate_workers DEFAULT VALUES")
    assert findings() == {"workers": ["1 at work"], "jobs": ["0 wait, 0 are scheduled, 0 run"]}


def test_more_jobs_at_once_than_connections_are_refused() -> None:
    with pytest.raises(CommandError, match="DB_POOL_SIZE and DB_MAX_OVERFLOW allow"):
        call_command("worker", "--concurrency", "1000")


def test_our_migrations_apply_every_statement_of_the_library() -> None:
    ours = import_module("core.queue.migrations.0001_initial").STATEMENTS
    assert set(ours) == set(list_migration_files())


# --- Retention -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_expired_sessions_are_forgotten() -> None:
    for key, days in (("old", -1), ("new", 1)):
        Session.objects.create(session_key=key, session_data="", expire_date=timezone.now() + timedelta(days=days))
    forget_expired_sessions()
    assert [session.session_key for session in Session.objects.all()] == ["new"]


@pytest.mark.django_db
@pytest.mark.parametrize(("days", "left"), [(0, 2), (30, 1)])
def test_what_was_deleted_long_ago_is_purged_where_that_is_wanted(days: int, left: int, settings: Any) -> None:
    settings.PURGE_AFTER_DAYS = days
    for age in (29, 31):
        AgentFactory(deleted_at=timezone.now() - timedelta(days=age))
    purge_deleted()
    assert Agent.objects.count() == left


@pytest.mark.django_db
def test_lapsed_leases_are_returned_in_every_organization() -> None:
    claimed = [TaskFactory(), TaskFactory()]
    for task in claimed:
        assert claim_task(organization_id=task.organization_id) == task
    lapsed = "lease_expires_at = now() - interval '1 second'"
    run(f"UPDATE agents_task SET {lapsed}, status = 'running', started_at = now()")
    return_abandoned_tasks()
    assert {task.status for task in Task.objects.all()} == {"pending"}
