"""The counters of a task always equal what counting its runs says, whoever writes whatever, at once or in vain."""

import json
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from agents.models import Task, TaskRun
from agents.services import counters, runs, tasks
from core.models import Organization
from tests.factories.agents import TaskFactory, TaskRunFactory
from tests.kit.database import triggers_off
from tests.kit.races import Meeting, errors, race
from tests.kit.sql import ignore_all_triggers, run

pytestmark = pytest.mark.django_db

ENDED = {"started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:01:00Z"}


def stored(task: Task) -> tuple[int, int, int]:
    """Return the counters: all runs, successful ones, failed ones."""
    return Task.objects.values_list("total_runs", "successful_runs", "failed_runs").get(pk=task.pk)


def assert_all_true() -> None:
    """Fail where a task's counters, or the rate that follows from them, aren't what counting says."""
    wrong = run(
        "SELECT task.id FROM agents_task AS task LEFT JOIN LATERAL ("
        "  SELECT count(*) AS total, count(*) FILTER (WHERE status = 'completed') AS good,"
        "         count(*) FILTER (WHERE status = 'failed') AS bad FROM agents_taskrun WHERE task_id = task.id"
        ") AS counted ON true"
        " WHERE (total_runs, successful_runs, failed_runs) <> (total, good, bad)"
        "    OR success_rate IS DISTINCT FROM round(good::numeric / nullif(good + bad, 0), 4)"
    )
    assert wrong == []


@pytest.fixture
def task(organization: Organization) -> Task:
    """A task with two completed runs, a failed one, a cancelled one, a running and a queued one."""
    task = TaskFactory(organization=organization, config={"max_active_runs": 10})
    for status in ("completed", "completed", "failed", "cancelled"):
        TaskRunFactory(organization=organization, task=task, status=status, **ENDED)
    TaskRunFactory(organization=organization, task=task, status="running", started_at=ENDED["started_at"])
    TaskRunFactory(organization=organization, task=task)
    return task


def test_the_counters_follow_the_runs(task: Task) -> None:
    assert stored(task) == (6, 2, 1)
    task.refresh_from_db()
    assert str(task.success_rate) == "0.6667"
    assert_all_true()


# --- Attempts to break them ------------------------------------------------------------------------


def end_all(task: Task) -> None:
    run("UPDATE agents_taskrun SET status = 'cancelled', completed_at = now() WHERE status IN ('pending', 'running')")


def delete_the_last(task: Task) -> None:
    run("DELETE FROM agents_taskrun WHERE task_id = %s AND run_number > 2", task.pk)


def delete_all_runs(task: Task) -> None:
    TaskRun.objects.filter(task=task).delete()


def delete_the_task(task: Task) -> None:
    task.delete()


def save_a_stale_record(task: Task) -> None:
    stale = Task.objects.get(pk=task.pk)
    runs.complete_run(run=task.runs.get(status="running"))
    stale.total_runs = stale.successful_runs = 0
    stale.name = "changed"
    stale.save()
    assert Task.objects.get(pk=task.pk).name == "changed"


def write_the_counters(task: Task) -> None:
    run("UPDATE agents_task SET total_runs = 0, successful_runs = 0, failed_runs = 0")
    run("UPDATE agents_task SET total_runs = 99, successful_runs = 98, failed_runs = 1")
    Task.objects.update(failed_runs=5, total_runs=7)


def write_the_counters_and_ask_to_ignore_triggers(task: Task) -> None:
    ignore_all_triggers()
    write_the_counters(task)


def finish_and_write_in_one_statement(task: Task) -> None:
    run(
        "WITH ended AS (UPDATE agents_taskrun SET status = 'completed', completed_at = now() WHERE status = 'running')"
        " UPDATE agents_task SET total_runs = 0, successful_runs = 0, failed_runs = 0"
    )


def upsert(task: Task) -> None:
    row = task.runs.get(status="running")
    run(
        "INSERT INTO agents_taskrun (id, organization_id, task_id, run_number, status, plan, error_message, started_at)"
        " VALUES (%s, %s, %s, 7, 'running', '{}', '', now())"
        " ON CONFLICT (id) DO UPDATE SET status = 'failed', completed_at = now()",
        row.pk,
        row.organization_id,
        row.task_id,
    )


def merge(task: Task) -> None:
    run(
        "MERGE INTO agents_taskrun AS r USING (SELECT %s::uuid AS task) AS given ON r.task_id = given.task"
        " WHEN MATCHED AND r.run_number = 6 THEN DELETE"
        " WHEN MATCHED AND r.status = 'running' THEN UPDATE SET status = 'completed', completed_at = now()",
        task.pk,
    )


def copy(task: Task) -> None:
    columns = "organization_id, task_id, status, started_at, completed_at, plan, error_message"
    place = f"{task.organization_id}\t{task.pk}"
    with transaction.atomic(), connection.cursor() as cursor:
        with cursor.copy(f"COPY agents_taskrun ({columns}) FROM STDIN") as rows:
            for status in ("completed", "failed", "cancelled"):
                rows.write(f"{place}\t{status}\t2026-01-01\t2026-01-02\t{{}}\t\n")
        with cursor.copy(
            "COPY agents_task (organization_id, name, description, task_type, status, priority, config,"
            " payload, max_rounds, memory_size, total_runs, successful_runs, failed_runs, error_message)"
            " FROM STDIN"
        ) as rows:
            rows.write(f"{task.organization_id}\tnew\t\tx\tpending\tlow\t{{}}\t{{}}\t1\t1\t9\t5\t4\t\n")
    assert Task.objects.get(name="new").total_runs == 0


def roll_back(task: Task) -> None:
    with transaction.atomic():
        runs.complete_run(run=task.runs.get(status="running"))
        TaskRunFactory(organization=task.organization, task=task)
        transaction.set_rollback(True)


def roll_back_to_a_savepoint(task: Task) -> None:
    with transaction.atomic():
        runs.fail_run(run=task.runs.get(status="running"), error_message="no")
        roll_back_inner(task)


def roll_back_inner(task: Task) -> None:
    with transaction.atomic():
        runs.cancel_run(run=task.runs.get(status="pending"))
        delete_the_last(task)
        transaction.set_rollback(True)


def work_by_services(task: Task) -> None:
    tasks.cancel_task(task=task)
    tasks.retry_task(task=task)
    for end in (runs.complete_run, partial(runs.fail_run, error_message="no"), runs.cancel_run):
        end(run=runs.start_task(task=task))


@pytest.mark.parametrize(
    "attempt",
    [
        end_all,
        delete_the_last,
        delete_all_runs,
        delete_the_task,
        save_a_stale_record,
        write_the_counters,
        write_the_counters_and_ask_to_ignore_triggers,
        finish_and_write_in_one_statement,
        upsert,
        merge,
        copy,
        roll_back,
        roll_back_to_a_savepoint,
        work_by_services,
    ],
)
def test_no_writer_breaks_the_counters(task: Task, attempt: Callable[[Task], None]) -> None:
    bystander = TaskRunFactory(organization=task.organization).task
    attempt(task)
    assert_all_true()
    assert stored(bystander) == (1, 0, 0)


def test_what_loaddata_says_of_the_counters_is_not_believed(task: Task, tmp_path: Path) -> None:
    dump = tmp_path / "work.json"
    call_command("dumpdata", "agents.task", "agents.taskrun", output=str(dump), verbosity=0)
    rows: list[dict[str, Any]] = json.loads(dump.read_text())
    for row in rows:
        if row["model"] == "agents.task":
            row["fields"] |= {"total_runs": 0, "successful_runs": 0, "failed_runs": 0}
    falsified = tmp_path / "falsified.json"
    falsified.write_text(json.dumps(rows))
    for given in (dump, falsified):
        call_command("loaddata", given, verbosity=0)  # over what stands
        assert stored(task) == (6, 2, 1)
        TaskRun.objects.all().delete()
        Task.objects.all().delete()
        call_command("loaddata", given, verbosity=0)  # into nothing
        assert stored(task) == (6, 2, 1)
    assert_all_true()


def test_runs_may_be_loaded_before_their_task(task: Task, tmp_path: Path) -> None:
    dump = tmp_path / "work.json"
    call_command("dumpdata", "agents.task", "agents.taskrun", output=str(dump), verbosity=0)
    dump.write_text(json.dumps(json.loads(dump.read_text())[::-1]))
    TaskRun.objects.all().delete()
    Task.objects.all().delete()
    call_command("loaddata", dump, verbosity=0)
    assert stored(task) == (6, 2, 1)


# --- At once ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_runs_that_end_at_once_are_all_counted() -> None:
    task = TaskFactory(config={"max_active_runs": 30})
    started = [runs.start_task(task=task) for _ in range(30)]
    ends: list[Callable[..., Any]] = [runs.complete_run, partial(runs.fail_run, error_message="no"), runs.cancel_run]
    outcomes = race(*(partial(ends[number % 3], run=each) for number, each in enumerate(started)))
    assert errors(outcomes) == []
    assert stored(task) == (30, 10, 10)
    assert_all_true()
    task.refresh_from_db()
    assert task.status in ("completed", "failed")


def count_by_hand(run_id: Any, meeting: Meeting) -> None:
    """End a run and set the counter to what was read before: how a program would without the trigger."""
    with transaction.atomic():
        meeting.announce()
        ended = TaskRun.objects.select_related("task").get(pk=run_id)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
        TaskRun.objects.filter(pk=run_id).update(status="completed", completed_at=ENDED["completed_at"])
        meeting.attend()
        Task.objects.filter(pk=ended.task_id).update(successful_runs=ended.task.successful_runs + 1)


@pytest.mark.django_db(transaction=True)
def test_control_without_the_triggers_a_count_is_lost() -> None:
    task = TaskFactory(config={"max_active_runs": 2})
    started = [
        TaskRunFactory(organization=task.organization, task=task, status="running", started_at=ENDED["started_at"])
        for _ in range(2)
    ]
    meeting = Meeting(2)
    assert errors(race(*(partial(count_by_hand, each.pk, meeting) for each in started))) == []
    assert task.runs.filter(status="completed").count() == 2
    assert stored(task) == (2, 1, 0)


# --- Checking and mending --------------------------------------------------------------------------


def check(*arguments: str) -> str:
    output = StringIO()
    call_command("check_counters", *arguments, stdout=output)
    return output.getvalue()


def sabotage() -> None:
    """Falsify all counters past the triggers, as nobody but the database's owner can."""
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute("UPDATE agents_task SET total_runs = total_runs + 3, successful_runs = 0")


def test_the_check_finds_nothing_where_nothing_is_wrong(task: Task) -> None:
    assert check() == "All counters are right.\n"


def test_the_check_names_what_is_wrong_and_changes_nothing(task: Task) -> None:
    sabotage()
    output = StringIO()
    with pytest.raises(CommandError, match="1 tasks have wrong counters"):
        call_command("check_counters", stdout=output)
    assert output.getvalue() == (
        f"{task.pk} {task.name}: total_runs is 9, counted 6, successful_runs is 0, counted 2\n"
    )
    assert stored(task) == (9, 0, 1)


def test_what_is_wrong_is_mended(task: Task, organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = TaskFactory(organization=organization)
    for _ in range(3):
        TaskRunFactory(organization=organization)
    sabotage()
    monkeypatch.setattr(counters, "BATCH", 2)
    assert check("--mend").endswith("5 tasks mended.\n")
    assert stored(task) == (6, 2, 1)
    assert stored(idle) == (0, 0, 0)
    assert_all_true()
    assert check("--mend") == "All counters are right.\n"


def test_mending_works_where_the_triggers_are_gone(task: Task) -> None:
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute("UPDATE agents_task SET total_runs = 17")
        assert counters.mend([task.pk]) == 1
    assert stored(task) == (6, 2, 1)
