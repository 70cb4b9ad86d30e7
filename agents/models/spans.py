"""Spans: what executions, and the model calls and tool executions inside them, have in common."""

from typing import Any, ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from agents.models.fields import HexField
from agents.models.runs import Seconds
from core.constraints import SameOrganization, given, json_object, one_of
from core.models import OrganizationLog, RecordQuerySet
from core.triggers import AfterStatement, NoTruncate, SharedTrigger, pgtrigger


class SpanStatus(models.TextChoices):
    """How an execution or a call stands."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    TIMEOUT = "timeout", "Timed out"


ENDED_SPAN = [SpanStatus.COMPLETED, SpanStatus.FAILED, SpanStatus.CANCELLED, SpanStatus.TIMEOUT]


class KeepSpans(AfterStatement):
    """Keeps what follows from spans: links, trace summaries, statistics (see agents.sql)."""

    prefix = "spans"

    def __init__(self, function: str, operation: Any) -> None:
        self.function = function if operation is pgtrigger.Insert else f"{function}_changed"
        super().__init__(operation)


class CountReported(SharedTrigger):
    """Counts what the transaction has reported so far before any of it changes or goes (see agents.sql.counting)."""

    level = pgtrigger.Statement
    function = "agents_count_uncounted"

    def __init__(self) -> None:
        super().__init__(name="count_reported", operation=pgtrigger.Update | pgtrigger.Delete)


def kept(function: str) -> list[SharedTrigger]:
    """Return the triggers of a kind of span, whose trigger function is ``function``."""
    operations = (pgtrigger.Insert, pgtrigger.Update, pgtrigger.Delete)
    return [NoTruncate(), CountReported(), *(KeepSpans(function, operation) for operation in operations)]


class Span(OrganizationLog):
    """Something that took time: what executions and the calls inside them have in common.

    A row that came as a span of OpenTelemetry has trace and span id, which are unique in the organization. Its parent
    may come later, or never: the database links the two when both are there.
    """

    name = models.CharField(max_length=300)
    status = models.CharField(max_length=20, choices=SpanStatus, default=SpanStatus.PENDING)
    trace_id = HexField(size=16, null=True, blank=True)
    span_id = HexField(size=8, null=True, blank=True)
    parent_span_id = HexField(size=8, null=True, blank=True)
    agent_name = models.CharField(max_length=200, blank=True)
    session_id = models.CharField(max_length=200, blank=True)
    correlation_id = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    duration = models.GeneratedField(
        expression=Seconds(F("completed_at") - F("started_at")),
        output_field=models.FloatField(null=True),
        db_persist=True,
        help_text="Seconds from start to end.",
    )
    error_type = models.CharField(max_length=200, blank=True)
    error_message = models.TextField(blank=True)
    attributes = models.JSONField(default=dict, blank=True, help_text="What has no field of its own.")

    objects: ClassVar = RecordQuerySet.as_manager()

    class Meta(OrganizationLog.Meta):
        abstract = True

    def __str__(self) -> str:
        return self.name


def span_constraints(model: str, link: str) -> list[models.BaseConstraint]:
    """Return what holds of every span; ``link`` is the field that leads to the execution it is in."""
    return [
        given("name", name=f"agents_{model}_name_given"),
        one_of("status", SpanStatus, name=f"agents_{model}_status"),
        json_object("attributes", name=f"agents_{model}_attributes"),
        SameOrganization(link, name=f"agents_{model}_{link}"),
        models.UniqueConstraint(
            fields=["organization", "trace_id", "span_id"],
            name=f"agents_{model}_span_unique",
            violation_error_message="“span_id” is another span's of this trace.",
        ),
        models.CheckConstraint(
            name=f"agents_{model}_span",
            condition=Q(trace_id=None, span_id=None, parent_span_id=None)
            | Q(trace_id__isnull=False, span_id__isnull=False),
            violation_error_message="“trace_id” and “span_id” come together.",
        ),
        models.CheckConstraint(
            name=f"agents_{model}_started",
            condition=Q(status=SpanStatus.PENDING) | Q(started_at__isnull=False),
            violation_error_message="“started_at” says when what isn't pending was started.",
        ),
        models.CheckConstraint(
            name=f"agents_{model}_when_ended",
            condition=Q(status__in=ENDED_SPAN, completed_at__isnull=False)
            | (~Q(status__in=ENDED_SPAN) & Q(completed_at=None)),
            violation_error_message="“completed_at” says when it ended, and only then.",
        ),
        models.CheckConstraint(
            name=f"agents_{model}_times",
            condition=Q(completed_at__gte=F("started_at")) | Q(completed_at=None) | Q(started_at=None),
            violation_error_message="“completed_at” can't come before “started_at”.",
        ),
    ]


def span_indexes(model: str, link: str) -> list[models.Index]:
    """Return the indexes of every kind of span."""
    given_link = Q(**{f"{link}__isnull": False})
    return [
        models.Index(fields=["organization", "created_at", "id"], name=f"agents_{model}_newest"),
        # Nearly all are completed: a list of those finds them in the index above.
        models.Index(
            fields=["organization", "status", "created_at", "id"],
            condition=~Q(status=SpanStatus.COMPLETED),
            name=f"agents_{model}_status_new",
        ),
        models.Index(fields=[link, "created_at", "id"], condition=given_link, name=f"agents_{model}_inside"),
        # Those whose parent hasn't come yet: who comes looks here.
        models.Index(
            fields=["organization", "trace_id", "parent_span_id"],
            condition=Q(parent_span_id__isnull=False, **{f"{link}__isnull": True}),
            name=f"agents_{model}_waiting",
        ),
        # Rows come about in the order in which they started, so this serves ranges of time and costs next to nothing.
        # Ranges of 128 pages: PostgreSQL keeps 256 requests to summarize, and logs each one beyond with its statement.
        BrinIndex(fields=["started_at"], autosummarize=True, pages_per_range=128, name=f"agents_{model}_started"),
    ]


class Usage(models.Model):
    """What a model consumed. Null is unknown, which isn't 0.

    ``usage_below`` tells that something inside reports what it consumed. Agents and chains often repeat the totals of
    what they contain, and a framework's instrumentation the call that its client's reports too: so what the row itself
    says is then shown, but not added up.
    """

    input_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    output_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    cached_tokens = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Of the input, what was read from the provider's cache."
    )
    cache_write_tokens = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Of the input, what was written to the provider's cache."
    )
    reasoning_tokens = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Of the output, what the model thought."
    )
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True, help_text="US dollars.")
    usage_below = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Whether something inside reports usage: what stands here repeats it, and isn't added up.",
    )

    class Meta:
        abstract = True
