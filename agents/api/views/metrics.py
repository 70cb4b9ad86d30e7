"""Endpoints of metrics."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.filters.metrics import MetricSnapshotFilterSet
from agents.api.serializers import metrics as serializers
from agents.models import MetricSnapshot
from agents.services.metrics import TooManyPointsError, series
from core.api.viewsets import CreateMixin, ReadOnlyViewSet

DEFAULT_SPAN = timedelta(hours=24)


def one_or_many(name: str) -> PolymorphicProxySerializer:
    """Describe a body of one metric, or of many."""
    return PolymorphicProxySerializer(
        component_name=name,
        serializers=[
            serializers.MetricSnapshotSerializer,
            serializers.MetricSnapshotSerializer(many=True),
        ],
        resource_type_field_name=None,
        many=False,
    )


class MetricSnapshotViewSet(CreateMixin, ReadOnlyViewSet):
    """Measured values. They are written once, and never change."""

    scope = "agents"
    queryset = MetricSnapshot.objects.all()
    serializer_class = serializers.MetricSnapshotSerializer
    filterset_class = MetricSnapshotFilterSet
    ordering = ("-timestamp",)
    ordering_fields = ("timestamp",)

    @extend_schema(request=one_or_many("NewMetrics"), responses={201: one_or_many("WrittenMetrics")})
    def create(self, request: Request) -> Response:
        """Write a metric: one object, or an array of up to 1,000, all or nothing."""
        return super().create(request)

    @extend_schema(
        parameters=[serializers.SeriesQuestionSerializer], responses=serializers.SeriesSerializer, filters=False
    )
    @action(detail=False, methods=["get"], pagination_class=None)
    def series(self, request: Request) -> Response:
        """Tell how a metric went: statistics by time bucket, aligned in UTC, and by the value of a label if asked.

        At most 2,000 buckets and 20,000 points in all; more are refused, and nothing is left out silently.
        """
        asked = self._question(request)
        rows: Any = self.get_queryset().filter(name=asked["name"])
        rows = rows.filter(**{name: asked[name] for name in ("task", "task_run", "metric_type") if name in asked})
        if "labels" in asked:
            rows = rows.filter(labels__contains=asked["labels"])
        try:
            found = series(
                rows,
                start=asked["from"],
                end=asked["to"],
                bucket=asked["bucket"],
                statistic=asked.get("agg"),
                label=asked.get("label"),
            )
        except TooManyPointsError as error:
            raise ValidationError({"bucket": str(error)}, "too_many") from error
        return Response(
            {
                "name": asked["name"],
                "bucket": request.query_params.get("bucket", "1h"),
                "agg": asked.get("agg"),
                "from": asked["from"],
                "to": asked["to"],
                "series": [{"label": each.label, "points": each.points} for each in found],
            }
        )

    def _question(self, request: Request) -> dict[str, Any]:
        question = serializers.SeriesQuestionSerializer(data=request.query_params)
        if unknown := set(request.query_params) - set(question.fields) - {"format"}:
            raise ValidationError(dict.fromkeys(sorted(unknown), "There is no such parameter."), "unknown")
        question.is_valid(raise_exception=True)
        asked: dict[str, Any] = question.validated_data
        asked.setdefault("to", timezone.now())
        try:
            asked.setdefault("from", asked["to"] - DEFAULT_SPAN)
        except OverflowError as error:
            raise ValidationError({"to": "That is before all times."}, "range") from error
        if asked["from"] >= asked["to"]:
            raise ValidationError({"from": "“from” must be before “to”."}, "range")
        return asked
