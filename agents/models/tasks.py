"""Tasks: what is to be done."""

from typing import ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Cast, Now, NullIf, Round
from django.db.models.lookups import GreaterThan

from agents.models.projects import Project
from agents.models.roster import Agent, Squad, SquadStatus
from core.constraints import SameOrganization, between, given, json_object, one_of
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord, RecordQuerySet
from core.triggers import SharedTrigger, pgtrigger


class TaskStatus(models.TextChoices):
    """How a task stands."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class Priority(models.TextChoices):
    """How urgent a task is."""

    LOW = "low", "Low"
    MEDIUM = "medium", "Medium"
    HIGH = "high", "High"
    URGENT = "urgent", "Urgent"


URGENCY = Case(
    When(priority=Priority.URGENT, then=Value(0)),
    When(priority=Priority.HIGH, then=Value(1)),
    When(priority=Priority.MEDIUM, then=Value(2)),
    default=Value(3),
    output_field=models.SmallIntegerField(),
)
OPEN = [TaskStatus.PENDING, TaskStatus.RUNNING]
ENDED = [TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED]


class MaxActiveRuns(models.Func):
    """How many runs a task's config lets go at once; 0 for a config that doesn't say it rightly."""

    function = "agents_max_active_runs"
    arity = 1
    output_field = models.IntegerField()


class KeepTask(SharedTrigger):
    """Keeps the counters what counting the runs says, whatever is written to them, and active runs in open tasks."""

    name = "counters"
    operation = pgtrigger.Insert | pgtrigger.Update
    function = "agents_keep_task"


CLAIM_ORDER = ("urgency", "due_at", "created_at", "id")


def _claim_index(*fields: str, name: str) -> models.Index:
    return models.Index(
        fields=["organization", *fields, "assigned_agent", *CLAIM_ORDER],
        condition=Q(status=TaskStatus.PENDING),
        name=name,
    )


class TaskQuerySet(RecordQuerySet):
    """Reads of tasks."""

    def unclaimed(self) -> Self:
        """Return the pending tasks that can be claimed.

        Those that somebody holds can't, nor those of a squad that takes no work, nor those of a deleted project.
        """
        return self.filter(
            Q(lease_expires_at=None) | Q(lease_expires_at__lte=Now()),
            Q(squad=None) | Q(squad__status=SquadStatus.ACTIVE),
            Q(project=None) | Q(project__deleted_at=None),
            status=TaskStatus.PENDING,
        )

    def claimable(self, assigned_agent: Agent | None) -> Self:
        """Return the tasks of one agent, or nobody's, that can be claimed, the most urgent first."""
        rows = self.unclaimed().filter(assigned_agent=assigned_agent)
        # The agent is the same throughout. It stands here since PostgreSQL doesn't see that of IS NULL, and would sort.
        return rows.order_by("assigned_agent_id", *CLAIM_ORDER)

    def abandoned(self) -> Self:
        """Return the running tasks whose lease has lapsed."""
        return self.filter(status=TaskStatus.RUNNING, lease_token__isnull=False, lease_expires_at__lte=Now())


class Task(OrganizationRecord):
    """Something to do, which takes one or more runs.

    The three counters are the database's: triggers move them with the runs, so that they equal what counting
    the runs would say. ``success_rate`` is the share of the finished runs that were completed, 0 to 1, and null before
    any is finished. ``started_at`` and ``completed_at`` tell of the latest time that the task was worked on; the
    runs tell of all.
    """

    lifecycle = Lifecycle(
        Transition("start", {"pending", "completed", "failed"}, "running", stamp="started_at"),
        Transition("complete", {"running"}, "completed", stamp="completed_at"),
        Transition("fail", {"running"}, "failed", stamp="completed_at"),
        Transition("cancel", {"pending", "running"}, "cancelled", stamp="completed_at"),
        Transition("retry", {"failed", "cancelled", "completed"}, "pending"),
        Transition("release", {"running"}, "pending"),
    )
    audit_ignore = ("total_runs", "successful_runs", "failed_runs", "success_rate", "lease_expires_at")
    audit_redact = ("lease_token",)

    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, null=True, blank=True, related_name="tasks", db_constraint=False
    )
    squad = models.ForeignKey(
        Squad, on_delete=models.PROTECT, null=True, blank=True, related_name="tasks", db_constraint=False
    )
    assigned_agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, blank=True, related_name="tasks", db_constraint=False
    )
    name = models.CharField(max_length=300)
    description = models.TextField(blank=True)
    task_type = models.CharField(max_length=100, default="general")
    status = models.CharField(max_length=20, choices=TaskStatus, default=TaskStatus.PENDING, editable=False)
    priority = models.CharField(max_length=20, choices=Priority, default=Priority.MEDIUM)
    urgency = models.GeneratedField(
        expression=URGENCY,
        output_field=models.SmallIntegerField(),
        db_persist=True,
        help_text="The priority as a number, most urgent first.",
    )
    config = models.JSONField(default=dict, blank=True, help_text="max_active_runs: how many runs may go at once (1).")
    payload = models.JSONField(default=dict, blank=True)
    result = models.JSONField(null=True, blank=True, editable=False)
    max_rounds = models.PositiveIntegerField(default=10)
    memory_size = models.PositiveIntegerField(default=100)
    total_runs = models.PositiveIntegerField(default=0, editable=False)
    successful_runs = models.PositiveIntegerField(default=0, editable=False)
    failed_runs = models.PositiveIntegerField(default=0, editable=False)
    success_rate = models.GeneratedField(
        expression=Round(
            Cast(F("successful_runs"), models.DecimalField(max_digits=12, decimal_places=4))
            / NullIf(F("successful_runs") + F("failed_runs"), Value(0)),
            precision=4,
        ),
        output_field=models.DecimalField(max_digits=5, decimal_places=4, null=True),
        db_persist=True,
        help_text="Completed runs over finished runs, 0 to 1.",
    )
    error_message = models.TextField(blank=True, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    completed_at = models.DateTimeField(null=True, blank=True, editable=False)
    due_at = models.DateTimeField(null=True, blank=True)
    external_id = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="Its name in the system that it came from."
    )
    claimed_by = models.ForeignKey(
        Agent,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        editable=False,
        help_text="The agent that holds the lease, where it named itself.",
    )
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar = TaskQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("project", name="agents_task_project"),
            SameOrganization("squad", name="agents_task_squad"),
            SameOrganization("assigned_agent", name="agents_task_assigned_agent"),
            SameOrganization("claimed_by", name="agents_task_claimed_by"),
            given("name", name="agents_task_name_given"),
            given("task_type", name="agents_task_type_given"),
            one_of("status", TaskStatus, name="agents_task_status"),
            one_of("priority", Priority, name="agents_task_priority"),
            between("max_rounds", 1, 1000, name="agents_task_max_rounds"),
            between("memory_size", 0, 100_000, name="agents_task_memory_size"),
            json_object("config", name="agents_task_config_object"),
            models.CheckConstraint(
                name="agents_task_max_active_runs",
                condition=GreaterThan(MaxActiveRuns(F("config")), 0),
                violation_error_message="“max_active_runs” in “config” must be a whole number from 1 to 1000.",
            ),
            models.CheckConstraint(
                name="agents_task_counters",
                condition=Q(total_runs__gte=F("successful_runs") + F("failed_runs")),
                violation_error_message="“total_runs” can't be less than the finished runs.",
            ),
            models.CheckConstraint(
                name="agents_task_started",
                condition=(~Q(status=TaskStatus.PENDING) | Q(started_at=None))
                & (
                    ~Q(status__in=[TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.FAILED])
                    | Q(started_at__isnull=False)
                ),
                violation_error_message="“started_at” says when a task that runs, or ran, was started.",
            ),
            models.CheckConstraint(
                name="agents_task_ended",
                condition=Q(status__in=ENDED, completed_at__isnull=False)
                | (~Q(status__in=ENDED) & Q(completed_at=None)),
                violation_error_message="“completed_at” says when a task ended, and only then.",
            ),
            models.CheckConstraint(
                name="agents_task_times",
                condition=Q(completed_at__gte=F("started_at")) | Q(completed_at=None) | Q(started_at=None),
                violation_error_message="“completed_at” can't come before “started_at”.",
            ),
            models.CheckConstraint(
                name="agents_task_lease",
                condition=Q(lease_token=None, lease_expires_at=None, claimed_by=None)
                | Q(lease_token__isnull=False, lease_expires_at__isnull=False, status__in=OPEN),
                violation_error_message="A lease has a token and an end, and no longer than the task is open.",
            ),
            models.UniqueConstraint(
                fields=["lease_token"],
                condition=Q(lease_token__isnull=False),
                name="agents_task_lease_token_unique",
                violation_error_message="“lease_token” is another lease's.",
            ),
            models.UniqueConstraint(
                fields=["organization", "external_id"],
                condition=~Q(external_id=""),
                name="agents_task_external_id",
                violation_error_message="“external_id” belongs to another task already.",
            ),
        ]
        indexes = [
            # The times at the end are looked at on the way: without them, a list of what is due or was changed long ago
            # would fetch every newer task first.
            models.Index(
                fields=["organization", "created_at", "id", "due_at", "updated_at"], name="agents_task_newest"
            ),
            models.Index(fields=["organization", "status", "created_at", "id"], name="agents_task_status_newest"),
            models.Index(fields=["organization", "project", "created_at", "id"], name="agents_task_project_newest"),
            models.Index(fields=["organization", "squad", "created_at", "id"], name="agents_task_squad_newest"),
            models.Index(
                fields=["organization", "assigned_agent", "created_at", "id"], name="agents_task_agent_newest"
            ),
            models.Index(fields=["organization", "task_type", "created_at", "id"], name="agents_task_type_newest"),
            models.Index(fields=["organization", "priority", "created_at", "id"], name="agents_task_priority_newest"),
            models.Index(fields=["organization", "due_at", "id"], name="agents_task_due"),
            models.Index(fields=["organization", "updated_at", "id"], name="agents_task_changed"),
            # What claiming reads, in the order in which it hands out: nobody's tasks or one agent's, of all, of a squad
            # or of a type. Without them an idle queue would be read through at each claim.
            _claim_index(name="agents_task_claim"),
            _claim_index("squad", name="agents_task_claim_squad"),
            _claim_index("task_type", name="agents_task_claim_type"),
            models.Index(
                fields=["organization", "lease_expires_at"],
                condition=Q(lease_token__isnull=False),
                name="agents_task_lease",
            ),
            GinIndex(
                fields=["name", "description"],
                opclasses=["gin_trgm_ops", "gin_trgm_ops"],
                name="agents_task_search",
            ),
        ]
        triggers = [KeepTask()]

    def __str__(self) -> str:
        return self.name

    @property
    def max_active_runs(self) -> int:
        """Return how many runs may be active at once."""
        return int(self.config.get("max_active_runs", 1))
