"""What the database keeps about tasks, attacked with raw SQL."""

from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from agents.models import Agent, Project, Squad, Task, TaskStatus
from agents.services import runs
from core.models import Organization
from tests.factories.agents import TaskFactory
from tests.kit.database import triggers_off
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

THEN, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


@pytest.fixture
def task(organization: Organization) -> Task:
    return TaskFactory(organization=organization)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("name = ''", "agents_task_name_given"),
        ("task_type = ''", "agents_task_type_given"),
        ("priority = 'extreme'", "agents_task_priority"),
        ("max_rounds = 0", "agents_task_max_rounds"),
        ("max_rounds = 1001", "agents_task_max_rounds"),
        ("memory_size = -1", "agents_task_memory_size"),
        ("memory_size = 100001", "agents_task_memory_size"),
        ("status = 'running'", "agents_task_started"),
        ("started_at = now()", "agents_task_started"),
        ("status = 'cancelled'", "agents_task_ended"),
        ("completed_at = now()", "agents_task_ended"),
        (
            "status = 'cancelled', started_at = now(), completed_at = now() - interval '1 second'",
            "agents_task_times",
        ),
        ("lease_token = gen_random_uuid()", "agents_task_lease"),
        ("lease_expires_at = now()", "agents_task_lease"),
        ("status = 'resting'", "agents_task_status_transitions"),
        ("config = '[]'", "agents_task_config_object"),
        ("organization_id = gen_random_uuid()", "agents_task_organization_id_immutable"),
    ],
)
def test_a_task_is_in_order(task: Task, change: str, rule: str) -> None:
    assert refused(f"UPDATE agents_task SET {change}") == rule
    ignore_all_triggers()
    assert refused(f"UPDATE agents_task SET {change}") == rule


@pytest.mark.parametrize("most", ["0", "-1", "1001", "1.5", '"2"', "null", "true", "[1]", "1e1000"])
def test_the_config_says_a_whole_number_of_active_runs(task: Task, most: str) -> None:
    rule = refused("UPDATE agents_task SET config = %s", f'{{"max_active_runs": {most}}}')
    assert rule == "agents_task_max_active_runs"


@pytest.mark.parametrize(
    ("config", "most"), [("{}", 1), ('{"max_active_runs": 1}', 1), ('{"max_active_runs": 1000}', 1000)]
)
def test_the_database_and_the_model_read_the_config_alike(task: Task, config: str, most: int) -> None:
    run("UPDATE agents_task SET config = %s", config)
    assert run("SELECT agents_max_active_runs(config) FROM agents_task") == [(most,)]
    task.refresh_from_db()
    assert task.max_active_runs == most


@pytest.mark.parametrize("column", ["project", "squad", "assigned_agent"])
def test_what_a_task_refers_to_is_of_its_organization(
    task: Task, other_organization: Organization, column: str
) -> None:
    model = {"project": Project, "squad": Squad, "assigned_agent": Agent}[column]
    theirs = model.objects.create(organization=other_organization, name="Theirs")  # type: ignore[attr-defined]
    for reference in (theirs.pk, uuid4()):
        assert refused(f"UPDATE agents_task SET {column}_id = %s", reference) == f"agents_task_{column}"


def test_a_status_is_one_of_the_drawn_ones(organization: Organization) -> None:
    with pytest.raises(IntegrityError, match="agents_task_status"), transaction.atomic():
        TaskFactory(organization=organization, status="resting")


def test_what_is_counted_can_not_be_less_than_its_parts(task: Task) -> None:
    with pytest.raises(IntegrityError, match='"agents_task_counters"'), triggers_off():
        run("UPDATE agents_task SET successful_runs = 1")


def test_the_success_rate_is_the_databases(task: Task) -> None:
    with pytest.raises(Exception, match="can only be updated to DEFAULT"), transaction.atomic():
        run("UPDATE agents_task SET success_rate = 1")


@pytest.mark.parametrize("old", TaskStatus.values)
@pytest.mark.parametrize("new", TaskStatus.values)
def test_a_task_moves_only_as_drawn(organization: Organization, old: str, new: str) -> None:
    TaskFactory(
        organization=organization,
        status=old,
        started_at=None if old == "pending" else THEN,
        completed_at=None if old in ("pending", "running") else LATER,
    )
    change = (
        "UPDATE agents_task SET status = %s,"
        " started_at = CASE WHEN %s <> 'pending' THEN coalesce(started_at, now()) END,"
        " completed_at = CASE WHEN %s IN ('completed', 'failed', 'cancelled') THEN now() END"
    )
    if old == new or (old, new) in Task.lifecycle.pairs():
        run(change, new, new, new)
    else:
        assert refused(change, new, new, new) == "agents_task_status_transitions"


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_a_task_with_an_active_run_does_not_end(task: Task, end: str) -> None:
    runs.start_task(task=task)
    change = "UPDATE agents_task SET status = %s, completed_at = now()"
    assert refused(change, end) == "agents_task_no_active_runs"
    ignore_all_triggers()
    assert refused(change, end) == "agents_task_no_active_runs"


def test_a_task_with_runs_is_not_deleted_by_itself(task: Task) -> None:
    runs.queue_run(task=task)
    assert refused("DELETE FROM agents_task") == "agents_taskrun_task"
