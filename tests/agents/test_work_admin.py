"""The admin of tasks, runs and messages: the services behind its buttons."""

from typing import Any

import pytest

from agents.models import AgentMessage, Task, TaskRun
from agents.services import claims, runs
from core.models import AuditEvent, Organization
from tests.admin.conftest import Staff, make_staff, staff  # noqa: F401 (fixtures)
from tests.admin.pages import listed, url
from tests.factories.agents import AgentMessageFactory, TaskFactory
from tests.kit.database import writes_nothing

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(organization: Organization) -> Task:
    return TaskFactory(organization=organization, name="Port the parser", description="From C to Rust")


def press(staff: Staff, record: Any, action: str, **data: Any) -> str:  # noqa: F811
    """Press a record's button, answer what it asks, and return the page that follows."""
    answer = staff.client.post(url("action", type(record), record.pk, action), {"confirmed": "1", **data}, follow=True)
    assert answer.status_code == 200
    record.refresh_from_db()
    return answer.content.decode()


def test_a_task_goes_its_way_by_buttons(staff: Staff, task: Task) -> None:  # noqa: F811
    press(staff, task, "start")
    assert task.status == "running"
    press(staff, task, "fail", error_message="no disk")
    assert (task.status, task.error_message) == ("failed", "no disk")
    press(staff, task, "retry")
    press(staff, task, "start")
    press(staff, task, "complete", result='{"files": 3}')
    assert (task.status, task.result, task.total_runs) == ("completed", {"files": 3}, 2)
    press(staff, task, "start")
    press(staff, task, "cancel", reason="changed our minds")
    assert task.status == "cancelled"
    event = AuditEvent.objects.get(event_type="task.cancel")
    assert (event.user_id, event.details["reason"]) == (staff.user.pk, "changed our minds")


def test_a_run_goes_its_way_by_buttons(staff: Staff, task: Task) -> None:  # noqa: F811
    run = runs.queue_run(task=task)
    press(staff, run, "start")
    press(staff, run, "complete", result="[1]")
    assert (run.status, run.results) == ("completed", [1])
    press(staff, run, "retry")
    second = task.runs.get(run_number=2)
    press(staff, second, "cancel")
    task.refresh_from_db()
    assert (second.status, task.status) == ("cancelled", "pending")


def test_what_is_not_allowed_is_told(staff: Staff, task: Task) -> None:  # noqa: F811
    assert "must be &#x27;running&#x27;" in press(staff, task, "complete", result="")
    claims.claim_task(organization_id=task.organization_id)
    assert "The task is leased until" in press(staff, task, "start")
    assert task.status == "pending"


def test_a_lease_is_ended(staff: Staff, task: Task) -> None:  # noqa: F811
    held = claims.claim_task(organization_id=task.organization_id)
    assert held is not None
    run = runs.start_task(task=task, lease_token=held.lease_token)
    task.refresh_from_db()
    press(staff, task, "end_lease")
    run.refresh_from_db()
    assert (task.status, task.lease_token, run.status) == ("pending", None, "cancelled")


def test_a_token_is_on_no_page(staff: Staff, task: Task) -> None:  # noqa: F811
    held = claims.claim_task(organization_id=task.organization_id)
    assert held is not None
    for page in ("change", "history"):
        assert str(held.lease_token) not in staff.client.get(url(page, Task, task.pk)).content.decode()
    assert str(held.lease_token) not in staff.client.get(url("changelist", Task)).content.decode()


def test_tasks_are_searched(staff: Staff, task: Task) -> None:  # noqa: F811
    TaskFactory(organization=task.organization)
    for words, found in (("rust PARSER", [str(task.pk)]), ("parser cobol", [])):
        assert listed(staff.client.get(url("changelist", Task), {"q": words}).content.decode()) == found


def test_a_task_with_runs_is_not_deleted(staff: Staff, task: Task) -> None:  # noqa: F811
    runs.queue_run(task=task)
    idle = TaskFactory(organization=task.organization)
    assert staff.client.post(url("delete", Task, task.pk), {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [str(task.pk), str(idle.pk)], "post": "yes"}
    staff.client.post(url("changelist", Task), data, follow=True)
    assert Task.objects.count() == 2
    staff.client.post(url("delete", Task, idle.pk), {"post": "yes"}, follow=True)
    assert list(Task.objects.all()) == [task]


def test_runs_and_messages_are_neither_made_nor_deleted(staff: Staff, organization: Organization) -> None:  # noqa: F811
    message = AgentMessageFactory(organization=organization)
    with writes_nothing():
        for model, pk in ((TaskRun, message.task_run_id), (AgentMessage, message.pk)):
            assert staff.client.get(url("add", model)).status_code == 403
            assert staff.client.post(url("delete", model, pk), {"post": "yes"}).status_code == 403
        assert staff.client.post(url("change", AgentMessage, message.pk), {"content": "x"}).status_code == 403
