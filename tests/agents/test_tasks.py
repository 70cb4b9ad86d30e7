"""Tasks: made, changed, found and moved."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.apps import PROBLEMS
from agents.models import Agent, Project, Squad, Task
from agents.services import runs
from core.models import AuditEvent, Organization
from tests.factories.agents import TaskFactory
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY
from tests.kit.database import triggers_off, writes_nothing
from tests.kit.sql import run

pytestmark = pytest.mark.django_db

TASKS = "/api/v1/tasks/"
THEN, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


@pytest.fixture
def task(organization: Organization) -> Task:
    return TaskFactory(organization=organization)


def post(actor: Actor, path: str, status: int = 200, **body: Any) -> Any:
    answer = actor.by_key.post(f"/api/v1/{path}/", body)
    assert answer.status_code == status, answer.content
    return answer.json()


# --- Making and changing ---------------------------------------------------------------------------


def test_a_task_is_made_with_what_is_to_be_done(owner: Actor) -> None:
    organization = owner.organization
    squad = Squad.objects.create(organization=organization, name="Core")
    body = {
        "name": "Port the parser",
        "description": "To Rust.",
        "task_type": "code",
        "priority": "urgent",
        "config": {"max_active_runs": 3},
        "payload": {"repository": "x"},
        "max_rounds": 5,
        "memory_size": 50,
        "due_at": "2027-01-01T00:00:00+00:00",
        "project": str(Project.objects.create(organization=organization, name="Parser").pk),
        "squad": str(squad.pk),
        "assigned_agent": str(Agent.objects.create(organization=organization, name="Ada").pk),
    }
    made = post(owner, "tasks", 201, **body)
    assert made | body == made
    assert (made["status"], made["total_runs"], made["success_rate"], made["result"]) == ("pending", 0, None, None)
    assert owner.by_key.get(f"{TASKS}{made['id']}/").json() == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("priority", "extreme"),
        ("max_rounds", 0),
        ("max_rounds", 1001),
        ("memory_size", 100_001),
        ("config", []),
        ("config", {"max_active_runs": 0}),
        ("config", {"max_active_runs": "2"}),
        ("status", "running"),
        ("total_runs", 5),
        ("lease_token", "0199c0de-0000-7000-8000-000000000000"),
        ("colour", "red"),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_and_names_the_field(owner: Actor, field: str, value: Any) -> None:
    owner.by_key.get(TASKS)
    answer = owner.client.post(TASKS, {"name": "x"} | {field: value})
    if field in ("status", "total_runs"):  # read-only: what is sent is as if it weren't
        assert (answer.status_code, answer.json()["status"], answer.json()["total_runs"]) == (201, "pending", 0)
    else:
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field
        assert not Task.objects.exists()


@pytest.mark.parametrize("field", ["project", "squad", "assigned_agent"])
def test_a_task_refers_to_what_is_of_its_organization(
    owner: Actor, other_organization: Organization, field: str
) -> None:
    model = {"project": Project, "squad": Squad, "assigned_agent": Agent}[field]
    theirs = model.objects.create(organization=other_organization, name="Theirs")  # type: ignore[attr-defined]
    with writes_nothing():
        answer = owner.client.post(TASKS, {"name": "x", field: str(theirs.pk)})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_a_task_is_changed(owner: Actor, task: Task) -> None:
    answer = owner.by_key.patch(f"{TASKS}{task.pk}/", {"name": "New", "priority": "low"})
    assert (answer.status_code, answer.json()["name"], answer.json()["priority"]) == (200, "New", "low")


def test_a_task_without_runs_is_deleted_and_one_with_runs_stays(owner: Actor, task: Task) -> None:
    worked_on = TaskFactory(organization=owner.organization)
    runs.queue_run(task=worked_on)
    assert owner.by_key.delete(f"{TASKS}{task.pk}/").status_code == 204
    refusal = owner.by_key.delete(f"{TASKS}{worked_on.pk}/")
    assert (refusal.status_code, refusal.json()["type"]) == (409, "/api/problems/has_runs/")
    assert list(Task.objects.all()) == [worked_on]


# --- The way of a task -----------------------------------------------------------------------------


def test_a_task_is_started_and_completed(owner: Actor, task: Task) -> None:
    started = post(owner, f"tasks/{task.pk}/start", plan=["think"])
    assert (started["task"], started["status"], started["plan"]) == (str(task.pk), "running", ["think"])
    done = post(owner, f"tasks/{task.pk}/complete", result={"answer": 42})
    assert (done["status"], done["result"], done["success_rate"]) == ("completed", {"answer": 42}, "1.0000")
    assert done["started_at"] < done["completed_at"]
    assert owner.by_key.get(f"/api/v1/task-runs/{started['id']}/").json()["results"] == {"answer": 42}


def test_a_task_fails_and_is_started_again_at_once(owner: Actor, task: Task) -> None:
    post(owner, f"tasks/{task.pk}/start")
    failed = post(owner, f"tasks/{task.pk}/fail", error_message="out of memory", error_details={"rss": 9})
    assert (failed["status"], failed["error_message"], failed["failed_runs"]) == ("failed", "out of memory", 1)
    assert task.runs.get().error_details == {"rss": 9}
    again = post(owner, f"tasks/{task.pk}/start")
    assert again["run_number"] == 2
    task.refresh_from_db()
    assert (task.status, task.error_message, task.completed_at) == ("running", "", None)


def test_a_completed_task_is_started_again(owner: Actor, task: Task) -> None:
    post(owner, f"tasks/{task.pk}/start")
    post(owner, f"tasks/{task.pk}/complete", result=1)
    assert post(owner, f"tasks/{task.pk}/start")["run_number"] == 2
    task.refresh_from_db()
    assert (task.status, task.result) == ("running", None)


@pytest.mark.parametrize("started", [False, True])
def test_a_task_is_cancelled_with_its_runs_and_tried_again(owner: Actor, task: Task, started: bool) -> None:
    made = runs.start_task(task=task) if started else runs.queue_run(task=task)
    cancelled = post(owner, f"tasks/{task.pk}/cancel", reason="not needed")
    assert cancelled["status"] == "cancelled"
    made.refresh_from_db()
    assert made.status == "cancelled"
    event = AuditEvent.objects.get(event_type="task.cancel")
    assert event.details["reason"] == "not needed"
    assert post(owner, f"tasks/{task.pk}/start", 409)["type"] == "/api/problems/task_cancelled/"
    assert post(owner, "task-runs", 409, task=str(task.pk))["type"] == "/api/problems/task_cancelled/"
    pending = post(owner, f"tasks/{task.pk}/retry")
    assert (pending["status"], pending["completed_at"], pending["total_runs"]) == ("pending", None, 1)
    assert post(owner, f"tasks/{task.pk}/start")["run_number"] == 2


def test_several_active_runs_are_finished_one_by_one(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization, config={"max_active_runs": 2})
    first, _ = (post(owner, f"tasks/{task.pk}/start") for _ in range(2))
    for end, body in (("complete", {}), ("fail", {"error_message": "no"})):
        problem = post(owner, f"tasks/{task.pk}/{end}", 409, **body)
        assert problem["type"] == "/api/problems/several_runs/"
        assert problem["detail"] == "Runs 1, 2 are active: finish them one by one."
    post(owner, f"task-runs/{first['id']}/complete")
    assert post(owner, f"tasks/{task.pk}/complete", result=2)["result"] == 2


@pytest.mark.parametrize(
    ("status", "moves"),
    [
        ("pending", {"complete", "fail", "retry"}),
        ("running", {"retry"}),
        ("completed", {"complete", "fail", "cancel"}),
        ("failed", {"complete", "fail", "cancel"}),
        ("cancelled", {"complete", "fail", "cancel"}),
    ],
)
def test_moves_that_are_not_drawn_are_refused(owner: Actor, status: str, moves: set[str]) -> None:
    ended = LATER if status not in ("pending", "running") else None
    task = TaskFactory(
        organization=owner.organization,
        status=status,
        started_at=None if status == "pending" else THEN,
        completed_at=ended,
    )
    for move in sorted(moves):
        body = {"error_message": "no"} if move == "fail" else {}
        problem = post(owner, f"tasks/{task.pk}/{move}", 409, **body)
        assert problem["type"] == "/api/problems/transition_conflict/"
        assert f"it is '{status}'" in problem["detail"]
    task.refresh_from_db()
    assert task.status == status


def test_a_failure_says_why(owner: Actor, task: Task) -> None:
    post(owner, f"tasks/{task.pk}/start")
    for body in ({}, {"error_message": ""}, {"error_message": None}):
        assert post(owner, f"tasks/{task.pk}/fail", 400, **body)["errors"][0]["field"] == "error_message"


def test_every_problem_of_work_is_described(owner: Actor, anonymous: Any) -> None:
    for code in PROBLEMS:
        assert anonymous.get(f"/api/problems/{code}/").status_code == 200


# --- Finding ---------------------------------------------------------------------------------------


def found(actor: Actor, query: str) -> set[str]:
    answer = actor.by_key.get(f"{TASKS}?{query}")
    assert answer.status_code == 200, answer.content
    return {row["name"] for row in answer.json()["results"]}


def test_tasks_are_filtered_and_searched(owner: Actor, stranger: Actor) -> None:
    organization = owner.organization
    squad = Squad.objects.create(organization=organization, name="Core")
    project = Project.objects.create(organization=organization, name="Parser")
    agent = Agent.objects.create(organization=organization, name="Ada")
    TaskFactory(organization=organization, name="alpha", task_type="code", squad=squad, priority="low")
    TaskFactory(organization=organization, name="beta", project=project, due_at=datetime(2027, 1, 1, tzinfo=UTC))
    TaskFactory(organization=organization, name="gamma", description="an Alphabet", assigned_agent=agent)
    runs.start_task(task=Task.objects.get(name="gamma"))
    TaskFactory(organization=stranger.organization, name="alpha of others")
    for query, expected in {
        "status=running": {"gamma"},
        "status=pending,running": {"alpha", "beta", "gamma"},
        "priority=low,high": {"alpha"},
        "task_type=code": {"alpha"},
        f"squad={squad.pk}": {"alpha"},
        f"project={project.pk}": {"beta"},
        f"assigned_agent={agent.pk}": {"gamma"},
        "due_at_after=2026-12-31T00:00:00Z&due_at_before=2027-01-02T00:00:00Z": {"beta"},
        "created_at_before=2020-01-01T00:00:00Z": set(),
        "search=ALPHA": {"alpha", "gamma"},
        "search=alphabet": {"gamma"},
        "search=100%25": set(),
    }.items():
        assert found(owner, query) == expected, query


def test_a_list_takes_few_queries(owner: Actor, django_assert_max_num_queries: Any) -> None:
    TaskFactory.create_batch(5, organization=owner.organization)
    client = owner.by_key
    client.get(TASKS)
    for query in ("", "?status=pending&search=task&ordering=due_at&limit=3", "?count=exact"):
        with django_assert_max_num_queries(4):
            assert client.get(TASKS + query).status_code == 200


@pytest.fixture
def many(organization: Organization) -> Organization:
    """6,000 tasks, of which few are of a kind; squad, project and agent are as good as any id."""
    with triggers_off():
        run(
            "INSERT INTO agents_task (organization_id, name, description, task_type, status, priority, config, payload,"
            " max_rounds, memory_size, total_runs, successful_runs, failed_runs, error_message, squad_id, project_id,"
            " assigned_agent_id, started_at, completed_at, due_at, created_at)"
            " SELECT %s, 'Task ' || md5(n::text), repeat(md5((n * 7)::text) || ' ', 8), 'type ' || n %% 500,"
            " CASE WHEN n %% 300 = 0 THEN 'failed' ELSE 'completed' END,"
            " CASE WHEN n %% 300 = 0 THEN 'urgent' ELSE 'low' END, '{}', '{}', 1, 1, 0, 0, 0, '',"
            " md5((n %% 500)::text)::uuid, md5((n %% 500)::text)::uuid, md5((n %% 500)::text)::uuid,"
            " now(), now(), now() + n * interval '1 minute', now() - n * interval '1 minute'"
            " FROM generate_series(1, 6000) AS n",
            organization.pk,
        )
    run("SELECT gin_clean_pending_list('agents_task_search')")  # as autovacuum does
    run("ANALYZE agents_task")
    return organization


def test_no_list_reads_the_whole_table(owner: Actor, many: Organization) -> None:
    some = run("SELECT md5('7')::uuid")[0][0]
    client = owner.by_key
    for query in (
        "",
        "?status=failed",
        "?priority=urgent",
        "?task_type=type 7",
        f"?squad={some}",
        f"?project={some}",
        f"?assigned_agent={some}",
        "?ordering=due_at",
        "?ordering=-due_at",
        "?due_at_before=2020-01-01T00:00:00Z",
        "?created_at_before=2020-01-01T00:00:00Z",
        "?search=abcdef",
        "?search=zzz",
    ):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(TASKS + query, headers=ORDINARY_WAY).status_code == 200
        sql = next(each["sql"] for each in captured if 'FROM "agents_task"' in each["sql"])
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Seq Scan" not in plan, f"{query}\n{plan}"
