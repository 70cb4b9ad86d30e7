"""Runs: the attempts at tasks."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q

from agents.models.tasks import Task
from core.constraints import SameOrganization, between, one_of
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord, RecordQuerySet
from core.triggers import Immutable, NoTruncate, SharedTrigger, pgtrigger


class RunStatus(models.TextChoices):
    """How a run stands."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


ACTIVE_RUN = [RunStatus.PENDING, RunStatus.RUNNING]
ENDED_RUN = [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED]


class NumberRun(SharedTrigger):
    """Gives a new run the task's next number, and refuses an active run where the task takes no more of them."""

    name = "number"
    operation = pgtrigger.Insert
    function = "agents_number_run"


class CountRun(SharedTrigger):
    """Moves the task's counters with its runs."""

    name = "count"
    when = pgtrigger.After
    operation = pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete
    function = "agents_count_run"


class GaplessRuns(SharedTrigger):
    """Refuses, at the end of a transaction, numbers of runs with a gap between them."""

    name = "gapless"
    when = pgtrigger.After
    operation = pgtrigger.Insert | pgtrigger.Delete
    timing = pgtrigger.Deferred
    function = "agents_gapless_runs"


class Seconds(models.Func):
    """How long an interval is, in seconds."""

    template = "EXTRACT(EPOCH FROM %(expressions)s)"
    arity = 1
    output_field = models.FloatField()


class TaskRunQuerySet(RecordQuerySet):
    """Reads of runs."""

    def active(self) -> Self:
        """Return the runs that are under way, or about to be."""
        return self.filter(status__in=ACTIVE_RUN)


class TaskRun(OrganizationRecord):
    """One attempt at a task. Runs count 1, 2, 3, … in the task, by the database, which also tells the times."""

    lifecycle = Lifecycle(
        Transition("start", {"pending"}, "running", stamp="started_at"),
        Transition("complete", {"running"}, "completed", stamp="completed_at"),
        Transition("fail", {"pending", "running"}, "failed", stamp="completed_at"),
        Transition("cancel", {"pending", "running"}, "cancelled", stamp="completed_at"),
    )

    task = models.ForeignKey(
        Task,
        on_delete=models.CASCADE,
        related_name="runs",
        db_constraint=False,
        db_index=False,  # the unique number in the task leads there
    )
    run_number = models.PositiveIntegerField(db_default=0, editable=False, help_text="1, 2, 3, … in the task.")
    status = models.CharField(max_length=20, choices=RunStatus, default=RunStatus.PENDING, editable=False)
    plan = models.JSONField(default=dict, blank=True)
    results = models.JSONField(null=True, blank=True, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    completed_at = models.DateTimeField(null=True, blank=True, editable=False)
    duration = models.GeneratedField(
        expression=Seconds(F("completed_at") - F("started_at")),
        output_field=models.FloatField(null=True),
        db_persist=True,
        help_text="Seconds from start to end.",
    )
    error_message = models.TextField(blank=True, editable=False)
    error_details = models.JSONField(null=True, blank=True, editable=False)

    objects: ClassVar = TaskRunQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("task", name="agents_taskrun_task"),
            models.UniqueConstraint(
                fields=["task", "run_number"],
                name="agents_taskrun_number_unique",
                violation_error_message="“run_number” is another run's of this task.",
            ),
            between("run_number", 1, name="agents_taskrun_number_from_1"),
            one_of("status", RunStatus, name="agents_taskrun_status"),
            models.CheckConstraint(
                name="agents_taskrun_started",
                condition=(~Q(status=RunStatus.PENDING) | Q(started_at=None))
                & (~Q(status__in=[RunStatus.RUNNING, RunStatus.COMPLETED]) | Q(started_at__isnull=False)),
                violation_error_message="“started_at” says when a run that goes, or was completed, was started.",
            ),
            models.CheckConstraint(
                name="agents_taskrun_ended",
                condition=Q(status__in=ENDED_RUN, completed_at__isnull=False)
                | (~Q(status__in=ENDED_RUN) & Q(completed_at=None)),
                violation_error_message="“completed_at” says when a run ended, and only then.",
            ),
            models.CheckConstraint(
                name="agents_taskrun_times",
                condition=Q(completed_at__gte=F("started_at")) | Q(completed_at=None) | Q(started_at=None),
                violation_error_message="“completed_at” can't come before “started_at”.",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "created_at", "id", "updated_at"], name="agents_taskrun_newest"),
            models.Index(fields=["organization", "status", "created_at", "id"], name="agents_taskrun_status_newest"),
            models.Index(fields=["organization", "task", "created_at", "id"], name="agents_taskrun_task_newest"),
            models.Index(fields=["task"], condition=Q(status__in=ACTIVE_RUN), name="agents_taskrun_active"),
            models.Index(fields=["organization", "updated_at", "id"], name="agents_taskrun_changed"),
        ]
        triggers = [
            NumberRun(),
            CountRun(),
            GaplessRuns(),
            NoTruncate(),
            Immutable("task_id", "run_number", name="place"),
        ]

    def __str__(self) -> str:
        return f"{self.task} #{self.run_number}"

    @property
    def is_active(self) -> bool:
        """Tell whether the run is under way, or about to be."""
        return self.status in ACTIVE_RUN
