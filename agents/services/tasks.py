"""Tasks as a whole: completed, failed, cancelled, tried again, deleted. They are started by their runs."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from agents.models import RunStatus, Task, TaskRun, TaskStatus
from agents.services import runs
from agents.services.claims import NO_LEASE, check_lease, lock_task
from core import audit
from core.errors import ConflictError


@transaction.atomic
def complete_task(*, task: Task, result: Any = None, lease_token: UUID | None = None) -> Task:
    """Finish the task's active run with this result, and thereby the task, which is returned.

    Raises ConflictError, code ``several_runs``, when more than one run is active, TransitionConflictError when the
    task or the run isn't running, or as check_lease does.
    """
    task, run = _only_run(task, lease_token)
    if run is None or task.status != TaskStatus.RUNNING:
        return Task.lifecycle.move(task, "complete", result=result, **NO_LEASE)
    runs.complete_run(run=run, results=result, lease_token=lease_token)
    task.refresh_from_db()
    return task


@transaction.atomic
def fail_task(*, task: Task, error_message: str, error_details: Any = None, lease_token: UUID | None = None) -> Task:
    """Note that the task's active run failed, and thereby the task, which is returned. Raises as complete_task does."""
    task, run = _only_run(task, lease_token)
    if run is None or task.status != TaskStatus.RUNNING:
        return Task.lifecycle.move(task, "fail", error_message=error_message, **NO_LEASE)
    runs.fail_run(run=run, error_message=error_message, error_details=error_details, lease_token=lease_token)
    task.refresh_from_db()
    return task


@transaction.atomic
def cancel_task(*, task: Task, reason: str = "") -> Task:
    """Call the task and its active runs off, and return it; no lease stands against it. The audit log keeps the reason.

    Raises TransitionConflictError unless the task is pending or running.
    """
    if reason:
        audit.because(reason)
    task = lock_task(task.pk)
    TaskRun.objects.active().filter(task=task).update(status=RunStatus.CANCELLED, completed_at=Now())
    return Task.lifecycle.move(task, "cancel", **NO_LEASE)


@transaction.atomic
def retry_task(*, task: Task) -> Task:
    """Make a task that has ended pending again, and return it. Its runs stay as they are, for the record.

    Raises TransitionConflictError unless the task was completed, failed or cancelled.
    """
    return Task.lifecycle.move(lock_task(task.pk), "retry", started_at=None, **runs.AFRESH)


@transaction.atomic
def delete_task(*, task: Task) -> None:
    """Delete a task that was never worked on. Raises ConflictError, code ``has_runs``, otherwise: runs are history."""
    task = lock_task(task.pk)
    if task.runs.exists():
        raise ConflictError("The task has runs, which are kept; cancel it instead.", code="has_runs")
    task.delete()


def _only_run(task: Task, lease_token: UUID | None) -> tuple[Task, TaskRun | None]:
    """Return the task, locked, and its active run, if there is one."""
    task = lock_task(task.pk)
    check_lease(task, lease_token)
    active = list(TaskRun.objects.active().filter(task=task).order_by("run_number"))
    if len(active) > 1:
        which = ", ".join(str(run.run_number) for run in active)
        raise ConflictError(f"Runs {which} are active: finish them one by one.", code="several_runs")
    return task, active[0] if active else None
