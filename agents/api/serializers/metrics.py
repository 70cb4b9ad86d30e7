"""Serializers of metrics."""

import re
from datetime import timedelta
from typing import Any, ClassVar

import orjson
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.models import MetricSnapshot, MetricType
from agents.services.metrics import ALL_STATISTICS
from core.api.serializers import RecordSerializer

BUCKET = "^[1-9][0-9]{0,5}[smhdw]$"
NULL = rb"\u0000"  # as JSON writes the character that PostgreSQL takes in no text


class MetricSnapshotSerializer(RecordSerializer):
    """A measured value."""

    class Meta:
        model = MetricSnapshot
        fields = (
            "id",
            "created_at",
            "task",
            "task_run",
            "name",
            "metric_type",
            "value",
            "unit",
            "labels",
            "timestamp",
        )
        extra_kwargs: ClassVar = {"timestamp": {"required": False}}


@extend_schema_field({"type": "string", "pattern": BUCKET, "default": "1h"})
class BucketField(serializers.Field):
    """A length of time, such as ``1m``, ``6h``, ``1d`` or ``1w``."""

    units: ClassVar = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

    def to_internal_value(self, data: Any) -> timedelta:
        """Return the length; ValidationError says what one looks like."""
        text = str(data)
        if not re.fullmatch(BUCKET, text):
            raise serializers.ValidationError("Give a number and a unit: 30s, 1m, 6h, 1d, 1w.", "invalid")
        return timedelta(**{self.units[text[-1]]: int(text[:-1])})


class SeriesQuestionSerializer(serializers.Serializer):
    """What series are asked for."""

    name = serializers.CharField(max_length=200, help_text="The metric.")
    bucket = BucketField(default=timedelta(hours=1), help_text="How long a bucket is: 30s, 1m, 6h, 1d, 1w.")
    agg = serializers.ChoiceField(choices=ALL_STATISTICS, required=False, help_text="One statistic; all, unless given.")
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, max_length=200, help_text="A key of the labels: one series for each of its values."
    )
    task = serializers.UUIDField(required=False)
    task_run = serializers.UUIDField(required=False)
    metric_type = serializers.ChoiceField(choices=MetricType.choices, required=False)
    labels = serializers.JSONField(required=False, help_text='A JSON object that the labels contain: {"region": "eu"}.')

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, with the one whose name Python keeps for itself."""
        return super().get_fields() | {
            "from": serializers.DateTimeField(required=False, help_text="Default: 24 hours before “to”."),
            "to": serializers.DateTimeField(required=False, help_text="Not included. Default: now."),
        }

    def validate_labels(self, labels: Any) -> Any:
        """Refuse what is no object, or what no labels can contain."""
        if not isinstance(labels, dict) or NULL in orjson.dumps(labels):
            raise serializers.ValidationError("This must be a JSON object without null characters.", "invalid")
        return labels


class PointSerializer(serializers.Serializer):
    """The statistics of a time bucket, or the value of the one that was asked for."""

    time = serializers.DateTimeField(help_text="When the bucket begins.")
    value = serializers.FloatField(required=False, help_text="Where “agg” asks for one statistic.")
    count = serializers.IntegerField(required=False)
    min = serializers.FloatField(required=False)
    max = serializers.FloatField(required=False)
    mean = serializers.FloatField(required=False)
    sum = serializers.FloatField(required=False)
    p50 = serializers.FloatField(required=False)
    p95 = serializers.FloatField(required=False)
    p99 = serializers.FloatField(required=False)


class LabelledSeriesSerializer(serializers.Serializer):
    """The points of one value of the label."""

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields; the label's name is one that serializers use themselves."""
        return {
            "label": serializers.CharField(allow_null=True, help_text="Null for values without the label."),
            "points": PointSerializer(many=True),
        }


class SeriesSerializer(serializers.Serializer):
    """Series of a metric. Buckets without a value are left out."""

    name = serializers.CharField()
    bucket = serializers.CharField()
    agg = serializers.ChoiceField(choices=ALL_STATISTICS, allow_null=True)
    series = LabelledSeriesSerializer(many=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, with the one whose name Python keeps for itself."""
        return super().get_fields() | {"from": serializers.DateTimeField(), "to": serializers.DateTimeField()}
