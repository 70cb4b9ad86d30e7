"""Claiming work: each pending task to one caller, who holds it by a lease that lapses unless it is renewed.

The holder's calls carry the lease's token. While the lease lives, nobody else starts, completes or fails the task;
cancelling stays open to all, so that people can always stop what goes on. Times are the database's.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, Q, QuerySet, Value
from django.db.models.functions import Now

from agents.models import Agent, RunStatus, Squad, Task, TaskRun, TaskStatus
from agents.models.tasks import CLAIM_ORDER, TaskQuerySet
from core.errors import ConflictError

DEFAULT_LEASE_SECONDS = 300
MAX_LEASE_SECONDS = 86_400
ABANDONED_AT_ONCE = 100
LOOKED_AT = 20  # tasks at once
NO_LEASE: dict[str, Any] = {"lease_token": None, "lease_expires_at": None, "claimed_by": None}
LAPSED = "The lease lapsed."


def lock_task(task_id: UUID) -> Task:
    """Return the task as it stands, locked until the transaction ends: before its runs, always."""
    return Task.objects.select_for_update(no_key=True).get(pk=task_id)


@transaction.atomic
def claim_task(
    *,
    organization_id: UUID,
    agent: Agent | None = None,
    squad: Squad | None = None,
    task_type: str | None = None,
    lease_seconds: int = DEFAULT_LEASE_SECONDS,
) -> Task | None:
    """Lease the most urgent pending task to the caller, and return it; None when there is none to be had.

    Priority comes first, then what is due sooner, then what is older. ``agent`` is who claims: it is handed nobody's
    tasks and its own, a caller without a name only nobody's. ``squad`` and ``task_type`` narrow the choice. Tasks of a
    squad that is paused or archived are not handed out. Two who claim at once never get the same task, nor wait for
    each other.
    """
    return_abandoned(organization_id=organization_id)
    rows = Task.objects.for_organization(organization_id)
    if squad is not None:
        rows = rows.filter(squad=squad)
    if task_type is not None:
        rows = rows.filter(task_type=task_type)
    task = _unheld(rows.claimable(None)).first() if agent is None else _lock_best(rows, agent)
    if task is None:
        return None
    Task.objects.filter(pk=task.pk).update(
        claimed_by=agent, lease_token=uuid4(), lease_expires_at=_after(lease_seconds)
    )
    task.refresh_from_db()
    return task


def _unheld(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """Return the tasks that nobody has under their hands, to be locked as they are read."""
    return tasks.select_for_update(skip_locked=True, no_key=True, of=("self",))


def _lock_best(rows: TaskQuerySet, agent: Agent) -> Task | None:
    """Return the most urgent of nobody's tasks and the agent's, locked; and lock no other, which would be held back."""
    owners = (None, agent)
    passed: list[UUID] = []  # each was somebody else's when its turn came
    while True:
        # One query for each owner, since each of them reads an index in the order in which it hands out.
        found = [task for owner in owners for task in rows.claimable(owner).exclude(pk__in=passed)[:LOOKED_AT]]
        best = [task.pk for task in sorted(found, key=_urgency)[:LOOKED_AT]]
        if not best:
            return None
        mine = rows.unclaimed().filter(Q(assigned_agent=None) | Q(assigned_agent=agent), pk__in=best)
        if task := _unheld(mine.order_by(*CLAIM_ORDER)).first():
            return task
        passed += best


def return_abandoned(*, organization_id: UUID) -> int:
    """Make pending again the running tasks whose lease has lapsed, and return how many there were.

    Their active runs fail. Takes at most 100 at once, and leaves those that somebody else has under their hands.
    """
    rows = Task.objects.for_organization(organization_id).abandoned().order_by("lease_expires_at")
    locked = rows.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
    abandoned = list(locked[:ABANDONED_AT_ONCE])
    if abandoned:
        TaskRun.objects.active().filter(task__in=abandoned).update(
            status=RunStatus.FAILED, completed_at=Now(), error_message=LAPSED
        )
        Task.objects.filter(pk__in=abandoned).update(status=TaskStatus.PENDING, started_at=None, **NO_LEASE)
    return len(abandoned)


def return_all_abandoned() -> int:
    """Return the abandoned tasks of all organizations, in a transaction for each hundred, and how many there were."""
    number = 0
    for organization_id in Task.objects.abandoned().order_by().values_list("organization", flat=True).distinct():
        while returned := _return_some(organization_id):
            number += returned
    return number


@transaction.atomic
def _return_some(organization_id: UUID) -> int:
    return return_abandoned(organization_id=organization_id)


@transaction.atomic
def renew_lease(*, task: Task, lease_token: UUID, lease_seconds: int = DEFAULT_LEASE_SECONDS) -> Task:
    """Let the lease last from now for so many seconds, and return the task.

    Raises ConflictError, code ``lease_lost``, when the lease has lapsed or the token isn't its own.
    """
    live = Task.objects.filter(pk=task.pk, lease_token=lease_token, lease_expires_at__gt=Now())
    if not live.update(lease_expires_at=_after(lease_seconds)):
        raise _lost()
    task.refresh_from_db()
    return task


@transaction.atomic
def release_task(*, task: Task, lease_token: UUID) -> Task:
    """Give the task back, and return it: it is pending, and others can claim it. Its running runs are cancelled.

    Runs that are queued stay, for whoever claims it next.
    Raises ConflictError, code ``lease_lost``, when the token isn't the present lease's.
    """
    task = lock_task(task.pk)
    if task.lease_token != lease_token:
        raise _lost()
    running = TaskRun.objects.filter(task=task, status=RunStatus.RUNNING)
    running.update(status=RunStatus.CANCELLED, completed_at=Now())
    if task.status == TaskStatus.RUNNING:
        return Task.lifecycle.move(task, "release", started_at=None, **NO_LEASE)
    Task.objects.filter(pk=task.pk).update(**NO_LEASE)
    task.refresh_from_db()
    return task


def check_lease(task: Task, lease_token: UUID | None) -> None:
    """Raise ConflictError unless the caller may go on with a task, which is locked.

    Code ``leased`` when somebody holds it and no token is given, ``lease_lost`` when the token isn't the present
    lease's. The token of a lease that has lapsed is good until the task is claimed again: what was done isn't lost.
    """
    if lease_token is not None and lease_token != task.lease_token:
        raise _lost()
    if lease_token is None and Task.objects.filter(pk=task.pk, lease_expires_at__gt=Now()).exists():
        until = f"{task.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC"
        raise ConflictError(
            f"The task is leased until {until}: only who holds its “lease_token” goes on with it.",
            code="leased",
            field="lease_token",
        )


def _after(seconds: int) -> ExpressionWrapper:
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())


def _urgency(task: Task) -> tuple[int, bool, datetime, datetime, UUID]:
    """Return a task's place by CLAIM_ORDER; one that is never due comes last."""
    return (task.urgency, task.due_at is None, task.due_at or task.created_at, task.created_at, task.pk)


def _lost() -> ConflictError:
    return ConflictError(
        "This lease isn't the task's present one, or has lapsed: the task may be somebody else's by now.",
        code="lease_lost",
        field="lease_token",
    )
