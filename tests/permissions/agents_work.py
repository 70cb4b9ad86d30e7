"""Who gets what of agents: tasks, runs and messages."""

from typing import Any

from agents.models import Task, TaskRun
from agents.services import claims, runs, tasks
from core.models import Organization
from tests.factories.agents import AgentMessageFactory, TaskFactory

# The stranger makes tasks in their own organization; a run or a message needs a task or a squad, which are ours.
TABLE = """
                                            anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/tasks/                             401   200   200      200    200      403      200 200    403
POST   /api/v1/tasks/                             401   201   201      201    403      403      201 201    403
PATCH  /api/v1/tasks/                             401   200   200      200    403      403      404 200    403
DELETE /api/v1/tasks/                             401   204   204      204    403      403      404 204    403
GET    /api/v1/tasks/<uuid:pk>/                   401   200   200      200    200      403      404 200    403
PATCH  /api/v1/tasks/<uuid:pk>/                   401   200   200      200    403      403      404 200    403
DELETE /api/v1/tasks/<uuid:pk>/                   401   204   204      204    403      403      404 204    403
POST   /api/v1/tasks/claim/                       401   204   204      204    403      403      204 204    403
POST   /api/v1/tasks/<uuid:pk>/start/             401   200   200      200    403      403      404 200    403
POST   /api/v1/tasks/<uuid:pk>/complete/          401   200   200      200    403      403      404 200    403
POST   /api/v1/tasks/<uuid:pk>/fail/              401   200   200      200    403      403      404 200    403
POST   /api/v1/tasks/<uuid:pk>/cancel/            401   200   200      200    403      403      404 200    403
POST   /api/v1/tasks/<uuid:pk>/retry/             401   200   200      200    403      403      404 200    403
POST   /api/v1/tasks/<uuid:pk>/renew/             401   200   200      200    403      403      404 200    403
POST   /api/v1/tasks/<uuid:pk>/release/           401   200   200      200    403      403      404 200    403
GET    /api/v1/task-runs/                         401   200   200      200    200      403      200 200    403
POST   /api/v1/task-runs/                         401   201   201      201    403      403      400 201    403
PATCH  /api/v1/task-runs/                         401   200   200      200    403      403      404 200    403
GET    /api/v1/task-runs/<uuid:pk>/               401   200   200      200    200      403      404 200    403
PATCH  /api/v1/task-runs/<uuid:pk>/               401   200   200      200    403      403      404 200    403
POST   /api/v1/task-runs/<uuid:pk>/start/         401   200   200      200    403      403      404 200    403
POST   /api/v1/task-runs/<uuid:pk>/complete/      401   200   200      200    403      403      404 200    403
POST   /api/v1/task-runs/<uuid:pk>/fail/          401   200   200      200    403      403      404 200    403
POST   /api/v1/task-runs/<uuid:pk>/cancel/        401   200   200      200    403      403      404 200    403
POST   /api/v1/task-runs/<uuid:pk>/retry/         401   201   201      201    403      403      404 201    403
GET    /api/v1/agent-messages/                    401   200   200      200    200      403      200 200    403
POST   /api/v1/agent-messages/                    401   201   201      201    403      403      400 201    403
GET    /api/v1/agent-messages/<uuid:pk>/          401   200   200      200    200      403      404 200    403
"""

TOKEN = "0190163d-8694-739b-aea5-966c26f8ad91"


def leased(organization: Organization) -> Task:
    """Make a task whose lease has a token that bodies can name."""
    task = TaskFactory(organization=organization, task_type="leased")
    claims.claim_task(organization_id=organization.pk, task_type="leased")
    Task.objects.filter(pk=task.pk).update(lease_token=TOKEN)
    return task


def running_run(organization: Organization) -> TaskRun:
    """Start a run of a new task."""
    return runs.start_task(task=TaskFactory(organization=organization))


def running(organization: Organization) -> Task:
    """Start a new task."""
    return running_run(organization).task


def message(organization: Organization) -> dict[str, Any]:
    """The body of a message of ours."""
    said = AgentMessageFactory(organization=organization)
    return {"task_run": str(said.task_run_id), "sender": str(said.sender_id), "content": "Hello."}


BODIES: dict[str, Any] = {
    "POST /api/v1/tasks/": {"name": "Review"},
    "PATCH /api/v1/tasks/<uuid:pk>/": {"name": "Review"},
    "POST /api/v1/tasks/claim/": {"task_type": "none of the kind"},
    "POST /api/v1/tasks/<uuid:pk>/fail/": {"error_message": "no"},
    "POST /api/v1/tasks/<uuid:pk>/renew/": {"lease_token": TOKEN},
    "POST /api/v1/tasks/<uuid:pk>/release/": {"lease_token": TOKEN},
    "POST /api/v1/task-runs/": lambda organization: {"task": str(TaskFactory(organization=organization).pk)},
    "PATCH /api/v1/task-runs/<uuid:pk>/": {"plan": {"steps": 1}},
    "POST /api/v1/task-runs/<uuid:pk>/fail/": {"error_message": "no"},
    "POST /api/v1/agent-messages/": message,
}
TARGETS: dict[str, Any] = {
    "POST /api/v1/tasks/<uuid:pk>/complete/": running,
    "POST /api/v1/tasks/<uuid:pk>/fail/": running,
    "POST /api/v1/tasks/<uuid:pk>/retry/": lambda organization: tasks.cancel_task(
        task=TaskFactory(organization=organization)
    ),
    "POST /api/v1/tasks/<uuid:pk>/renew/": leased,
    "POST /api/v1/tasks/<uuid:pk>/release/": leased,
    "POST /api/v1/task-runs/<uuid:pk>/complete/": running_run,
    "POST /api/v1/task-runs/<uuid:pk>/retry/": lambda organization: runs.cancel_run(run=running_run(organization)),
}
