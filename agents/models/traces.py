"""What follows from spans: each trace's summary, and the statistics. The database keeps both, with the spans."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from agents.models.fields import HexField
from agents.models.roster import Squad
from agents.models.runs import Seconds, TaskRun
from agents.models.spans import SpanStatus
from core.constraints import SameOrganization, one_of
from core.ids import DatabaseUUID7, uuid7
from core.models import RecordQuerySet


class Totals(models.Model):
    """Sums in which each model call counts once."""

    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=30, decimal_places=10, default=0, help_text="US dollars.")
    unpriced = models.BigIntegerField(
        default=0, help_text="Calls and executions with usage that counts but of unknown cost."
    )

    class Meta:
        abstract = True


class Trace(Totals):
    """A trace as a whole. Its name, agent and status are its root's, or, until that has come, its earliest span's."""

    organization_path = "organization"

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=DatabaseUUID7(), editable=False)
    organization = models.ForeignKey("core.Organization", on_delete=models.PROTECT, related_name="+", db_index=False)
    trace_id = HexField(size=16)
    root_name = models.CharField(max_length=300)
    root_agent_name = models.CharField(max_length=200, blank=True)
    root_status = models.CharField(max_length=20, choices=SpanStatus)
    root_started_at = models.DateTimeField()
    has_root = models.BooleanField()
    session_id = models.CharField(max_length=200, blank=True)
    task_run = models.ForeignKey(
        TaskRun,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="traces",
        db_constraint=False,
        db_index=False,
    )
    squad = models.ForeignKey(
        Squad,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="traces",
        db_constraint=False,
        db_index=False,
    )
    # What a call or a tool named, whose rows have no place for it: counting anew takes it from here.
    told_task_run = models.ForeignKey(
        TaskRun,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    told_squad = models.ForeignKey(
        Squad,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField()
    duration = models.GeneratedField(
        expression=Seconds(F("completed_at") - F("started_at")),
        output_field=models.FloatField(null=True),
        db_persist=True,
        help_text="Seconds from start to end.",
    )
    spans = models.BigIntegerField(default=0)
    model_calls = models.BigIntegerField(default=0)
    tool_executions = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0, help_text="Spans that failed or timed out.")

    objects = RecordQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "trace_id"], name="agents_trace_unique"),
            one_of("root_status", SpanStatus, name="agents_trace_status"),
            SameOrganization("task_run", name="agents_trace_task_run"),
            SameOrganization("squad", name="agents_trace_squad_same"),
            SameOrganization("told_task_run", name="agents_trace_told_task_run"),
            SameOrganization("told_squad", name="agents_trace_told_squad_same"),
        ]
        indexes = [
            models.Index(fields=["organization", "started_at", "id"], name="agents_trace_newest"),
            models.Index(
                fields=["organization", "root_agent_name", "started_at", "id"], name="agents_trace_agent_newest"
            ),
            models.Index(fields=["organization", "root_status", "started_at", "id"], name="agents_trace_status_newest"),
            models.Index(
                fields=["organization", "started_at", "id"],
                condition=Q(errors__gt=0),
                name="agents_trace_failed_newest",
            ),
            models.Index(fields=["organization", "cost", "id"], name="agents_trace_dearest"),
            models.Index(fields=["organization", "duration", "id"], name="agents_trace_longest"),
            models.Index(
                fields=["task_run", "started_at", "id"], condition=Q(task_run__isnull=False), name="agents_trace_run"
            ),
            models.Index(
                fields=["squad", "started_at", "id"], condition=Q(squad__isnull=False), name="agents_trace_squad"
            ),
            models.Index(
                fields=["told_task_run"], condition=Q(told_task_run__isnull=False), name="agents_trace_told_run"
            ),
            models.Index(fields=["told_squad"], condition=Q(told_squad__isnull=False), name="agents_trace_told_squad"),
            models.Index(
                fields=["organization", "session_id", "started_at", "id"],
                condition=~Q(session_id=""),
                name="agents_trace_session",
            ),
        ]

    def __str__(self) -> str:
        return self.root_name


class SpanKind(models.TextChoices):
    """Of what a statistic is."""

    EXECUTION = "execution", "Executions"
    MODEL_CALL = "model_call", "Model calls"
    TOOL_EXECUTION = "tool_execution", "Tool executions"


class Width(models.TextChoices):
    """How long the time is that a statistic is of."""

    HOUR = "hour", "Hour"
    DAY = "day", "Day"


class SpanStatistic(Totals):
    """How many spans began in an hour or a day, what became of them and what they consumed.

    ``dimension`` says by what they are told apart (agent, model, provider, tool, status), and ``value`` by which
    of these. ``durations`` counts them by duration, in buckets that each end 8 % above the one before (as DDSketch has
    it, Masson et al. 2019), so that percentiles of many rows are within 4 %.
    """

    organization_path = "organization"

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=DatabaseUUID7(), editable=False)
    organization = models.ForeignKey("core.Organization", on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=20, choices=SpanKind)
    dimension = models.CharField(max_length=20)
    value = models.CharField(max_length=300)
    width = models.CharField(max_length=10, choices=Width)
    start = models.DateTimeField()
    count = models.BigIntegerField(default=0)
    failures = models.BigIntegerField(default=0)
    open = models.BigIntegerField(default=0, help_text="Those that haven't ended.")
    durations = ArrayField(models.IntegerField())

    objects = RecordQuerySet.as_manager()

    class Meta:
        ordering = ["-start", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "dimension", "width", "start", "value"],
                name="agents_spanstatistic_unique",
            ),
            one_of("kind", SpanKind, name="agents_spanstatistic_kind"),
            one_of("width", Width, name="agents_spanstatistic_width"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.dimension} {self.value}, {self.width} of {self.start:%Y-%m-%d %H:%M}"
