"""Measured values."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Aggregate, Avg, Count, F, Func, Max, Min, Q, Sum, Value
from django.db.models.functions import Now

from agents.models.evidence import OfWork
from core.constraints import SameOrganization, given, json_object, one_of
from core.models import OrganizationLog, RecordQuerySet
from core.triggers import Immutable


class MetricType(models.TextChoices):
    """How a metric's values are to be read (as OpenTelemetry and Prometheus name them)."""

    COUNTER = "counter", "Counter"
    GAUGE = "gauge", "Gauge"
    HISTOGRAM = "histogram", "Histogram"
    SUMMARY = "summary", "Summary"


def validate_finite(value: float) -> None:
    """Refuse the floats that are no number, or no finite one."""
    if not math.isfinite(value):
        raise ValidationError("This must be a finite number.", code="not_finite")


# A Monday at midnight: buckets of a minute, an hour, a day or a week begin where people's do, in UTC.
BUCKET_ORIGIN = datetime(2001, 1, 1, tzinfo=UTC)


class Bucket(Func):
    """The beginning of the time bucket of length ``width`` that a time lies in."""

    function = "date_bin"
    output_field = models.DateTimeField()

    def __init__(self, width: timedelta, time: str) -> None:
        super().__init__(Value(width), F(time), Value(BUCKET_ORIGIN))


class Percentiles(Aggregate):
    """The continuous percentiles 50, 95 and 99 of a column, sorted once."""

    template = "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = ArrayField(models.FloatField())


STATISTICS: dict[str, type[Aggregate]] = {"min": Min, "max": Max, "mean": Avg, "sum": Sum, "count": Count}
PERCENTILES = ("p50", "p95", "p99")


class MetricQuerySet(RecordQuerySet):
    """Reads of metrics."""

    def series(
        self, *, start: datetime, end: datetime, bucket: timedelta, statistics: Iterable[str], label: str | None
    ) -> models.QuerySet:
        """Return a row for each time bucket that has values, ``end`` not included, by the value of a label if asked.

        Each is a dictionary of ``time``, ``group`` (the label's value, None without one), and the statistics, of
        which all percentiles come as one list, ``percentiles``.
        """
        asked = set(statistics)
        figures: dict[str, Aggregate] = {name: of("value") for name, of in STATISTICS.items() if name in asked}
        if asked & set(PERCENTILES):
            figures["percentiles"] = Percentiles("value")
        text = models.TextField()
        group = Func(F("labels"), Value(label), function="jsonb_extract_path_text") if label else Value(None)
        group.output_field = text
        return (
            self.filter(timestamp__gte=start, timestamp__lt=end)
            .annotate(group=group, time=Bucket(bucket, "timestamp"))
            .values("group", "time")
            .annotate(**figures)
            .order_by("group", "time")
        )


class MetricSnapshot(OfWork, OrganizationLog):
    """One measured value. It never changes; a run's value belongs to the run's task as well.

    Its table is the largest one, so each index here earns its keep: those of the references begin with them,
    and serve both the list of a task's values and the deletion of a task.
    """

    name = models.CharField(max_length=200)
    metric_type = models.CharField(max_length=20, choices=MetricType, default=MetricType.GAUGE)
    value = models.FloatField(validators=[validate_finite])
    unit = models.CharField(max_length=50, blank=True)
    labels = models.JSONField(default=dict, blank=True, help_text='Words by key: {"region": "eu"}.')
    timestamp = models.DateTimeField(db_default=Now(), help_text="When it was measured; by default, now.")

    objects: ClassVar = MetricQuerySet.as_manager()

    class Meta(OrganizationLog.Meta):
        default_related_name = "metrics"
        ordering = ["-timestamp", "-id"]
        constraints = [
            *OrganizationLog.Meta.constraints,
            SameOrganization("task", name="agents_metricsnapshot_task"),
            SameOrganization("task_run", name="agents_metricsnapshot_task_run"),
            given("name", name="agents_metricsnapshot_name_given"),
            one_of("metric_type", MetricType, name="agents_metricsnapshot_type"),
            models.CheckConstraint(
                name="agents_metricsnapshot_finite",
                condition=Q(value__gt=float("-inf"), value__lt=float("inf")),
                violation_error_message="“value” must be a finite number.",
            ),
            json_object("labels", name="agents_metricsnapshot_labels"),
        ]
        indexes = [
            models.Index(fields=["organization", "timestamp", "id"], name="agents_metric_newest"),
            models.Index(fields=["organization", "name", "timestamp", "id"], name="agents_metric_name_newest"),
            models.Index(fields=["organization", "metric_type", "timestamp", "id"], name="agents_metric_type_newest"),
            models.Index(
                fields=["task", "timestamp", "id"], condition=Q(task__isnull=False), name="agents_metric_task_newest"
            ),
            models.Index(
                fields=["task_run", "timestamp", "id"],
                condition=Q(task_run__isnull=False),
                name="agents_metric_run_newest",
            ),
            GinIndex(fields=["labels"], opclasses=["jsonb_path_ops"], name="agents_metric_labels"),
        ]
        triggers = [
            Immutable(
                "task_id", "task_run_id", "name", "metric_type", "value", "unit", "labels", "timestamp", name="value"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.value:g} {self.unit}".strip()
