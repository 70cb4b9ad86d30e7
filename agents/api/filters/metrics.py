"""What metrics can be filtered by."""

from typing import ClassVar

import django_filters

from agents.models import MetricSnapshot
from core.api.filters import CharInFilter, JSONContainsFilter


class MetricSnapshotFilterSet(django_filters.FilterSet):
    """Filters of metrics; each has an index to serve it."""

    name = CharInFilter(lookup_expr="in")
    metric_type = CharInFilter(lookup_expr="in")
    task = django_filters.UUIDFilter(field_name="task_id")
    task_run = django_filters.UUIDFilter(field_name="task_run_id")
    timestamp = django_filters.IsoDateTimeFromToRangeFilter()
    labels = JSONContainsFilter(help_text='A JSON object that the labels contain: {"region": "eu"}.')

    class Meta:
        model = MetricSnapshot
        fields: ClassVar[list[str]] = []
