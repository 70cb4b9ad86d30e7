"""Runs: the attempts at a task. The task's status follows them.

A task is running while a run of it has been started and isn't finished. When the last active run ends, the task takes
the outcome of the run that ended last and wasn't cancelled; where all were cancelled, it is pending again. Each
function locks the task before it touches a run.
"""

from typing import Any
from uuid import UUID

from django.db import transaction

from agents.models import RunStatus, Task, TaskRun, TaskStatus
from agents.services.claims import NO_LEASE, check_lease, lock_task
from core.errors import ConflictError

AFRESH: dict[str, Any] = {"completed_at": None, "error_message": "", "result": None}
OUTCOMES = {RunStatus.COMPLETED: "complete", RunStatus.FAILED: "fail"}


@transaction.atomic
def queue_run(*, task: Task, plan: Any = None) -> TaskRun:
    """Make a run that is to be started later, and return it. A task that has ended is pending again.

    Raises ConflictError, code ``task_cancelled``, for a task that was cancelled (retry it first), or ``active_runs``
    when as many runs are active as the task's config allows.
    """
    task = lock_task(task.pk)
    _check_not_cancelled(task)
    _check_room(task)
    if task.status not in (TaskStatus.PENDING, TaskStatus.RUNNING):
        task = Task.lifecycle.move(task, "retry", started_at=None, **AFRESH)
    return _make_run(task, plan)


@transaction.atomic
def start_task(*, task: Task, plan: Any = None, lease_token: UUID | None = None) -> TaskRun:
    """Start the task's oldest queued run, or a new one where none is queued, and return it.

    ``plan`` becomes the run's, where it is given. The task may be pending, running, completed or failed. Raises
    ConflictError, code ``task_cancelled``, for one that was cancelled (retry it first), or ``active_runs`` when as many
    runs are active as its config allows, or as check_lease does.
    """
    task = _begin(task.pk, lease_token)
    run = task.runs.filter(status=RunStatus.PENDING).order_by("run_number").first()
    if run is None:
        _check_room(task)
        run = _make_run(task, plan)
        plan = None
    return TaskRun.lifecycle.move(run, "start", **({} if plan is None else {"plan": plan}))


@transaction.atomic
def start_run(*, run: TaskRun, lease_token: UUID | None = None) -> TaskRun:
    """Start a queued run, and return it. Raises TransitionConflictError for another one, or as check_lease does."""
    if run.status == RunStatus.PENDING:
        _begin(run.task_id, lease_token)
    return TaskRun.lifecycle.move(run, "start")


def complete_run(*, run: TaskRun, results: Any = None, lease_token: UUID | None = None) -> TaskRun:
    """Finish a running run with its results, and return it. Raises TransitionConflictError, or as check_lease does."""
    return _end(run, "complete", lease_token, results=results)


def fail_run(
    *, run: TaskRun, error_message: str, error_details: Any = None, lease_token: UUID | None = None
) -> TaskRun:
    """Note that an active run failed, and return it. Raises TransitionConflictError, or as check_lease does."""
    return _end(run, "fail", lease_token, error_message=error_message, error_details=error_details)


@transaction.atomic
def cancel_run(*, run: TaskRun) -> TaskRun:
    """Call an active run off, and return it; no lease stands against it. Raises TransitionConflictError otherwise."""
    task = lock_task(run.task_id)
    run = TaskRun.lifecycle.move(run, "cancel")
    _settle(task)
    return run


def retry_run(*, run: TaskRun) -> TaskRun:
    """Queue a new run of the same task with the same plan, and return it.

    Raises ConflictError, code ``run_active``, while the run itself isn't finished, or as queue_run does.
    """
    if run.is_active:
        raise ConflictError(f"Run {run.run_number} isn't finished: it is '{run.status}'.", code="run_active")
    return queue_run(task=run.task, plan=run.plan)


def _begin(task_id: UUID, lease_token: UUID | None) -> Task:
    """Return the task, locked and running."""
    task = lock_task(task_id)
    _check_not_cancelled(task)
    check_lease(task, lease_token)
    return task if task.status == TaskStatus.RUNNING else Task.lifecycle.move(task, "start", **AFRESH)


def _check_not_cancelled(task: Task) -> None:
    if task.status == TaskStatus.CANCELLED:
        raise ConflictError("The task was cancelled; retry it first.", code="task_cancelled", field="status")


def _check_room(task: Task) -> None:
    active = list(
        TaskRun.objects.active().filter(task=task).order_by("run_number").values_list("run_number", flat=True)
    )
    if len(active) >= task.max_active_runs:
        which = ", ".join(map(str, active))
        raise ConflictError(
            f"Of this task {task.max_active_runs} may be active at once, and these runs are: {which}.",
            code="active_runs",
        )


def _make_run(task: Task, plan: Any) -> TaskRun:
    return TaskRun.objects.create(
        organization_id=task.organization_id, task=task, **({} if plan is None else {"plan": plan})
    )


@transaction.atomic
def _end(run: TaskRun, move: str, lease_token: UUID | None, **changes: Any) -> TaskRun:
    task = lock_task(run.task_id)
    check_lease(task, lease_token)
    run = TaskRun.lifecycle.move(run, move, **changes)
    _settle(task)
    return run


def _settle(task: Task) -> None:
    """Give a running task, which is locked, the outcome of its runs once none is active."""
    if task.status != TaskStatus.RUNNING or TaskRun.objects.active().filter(task=task).exists():
        return
    ended = task.runs.filter(status__in=OUTCOMES, completed_at__gte=task.started_at)
    last = ended.order_by("-completed_at", "-run_number").first()
    if last is None:
        Task.lifecycle.move(task, "release", started_at=None, **NO_LEASE)
        return
    move = OUTCOMES[RunStatus(last.status)]
    Task.lifecycle.move(task, move, result=last.results, error_message=last.error_message, **NO_LEASE)
