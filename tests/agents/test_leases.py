"""Leases: how long a claim holds, who may act by it, and what becomes of work whose lease has lapsed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents.models import Agent, Task
from agents.services import runs
from core.models import AuditEvent
from tests.agents.claiming import claim, lapse, post
from tests.factories.agents import TaskFactory
from tests.kit.cast import Actor
from tests.kit.sql import refused

pytestmark = pytest.mark.django_db


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


def test_a_queued_run_outlasts_who_gives_its_task_back(owner: Actor) -> None:
    task = TaskFactory(organization=owner.organization)
    queued = post(owner, "task-runs", 201, task=str(task.pk), plan=["look"])["id"]
    post(owner, f"tasks/{task.pk}/release", lease_token=claim(owner)["lease_token"])
    assert list(task.runs.values_list("pk", "status")) == [(UUID(queued), "pending")]


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
