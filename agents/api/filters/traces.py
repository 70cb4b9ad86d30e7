"""What traces can be filtered by."""

from typing import ClassVar

import django_filters
from django.db.models import QuerySet

from agents.models import Trace
from core.api.filters import CharInFilter


class TraceFilterSet(django_filters.FilterSet):
    """Filters of traces; each has an index to serve it."""

    status = CharInFilter(field_name="root_status", lookup_expr="in", help_text="The root's.")
    agent = CharInFilter(field_name="root_agent_name", lookup_expr="in", help_text="The root's, by name.")
    session_id = CharInFilter(lookup_expr="in")
    has_errors = django_filters.BooleanFilter(
        field_name="errors", method="with_errors", help_text="Whether a span of it failed or timed out."
    )
    task_run = django_filters.UUIDFilter(field_name="task_run_id")
    squad = django_filters.UUIDFilter(field_name="squad_id")
    started_at = django_filters.IsoDateTimeFromToRangeFilter()
    cost = django_filters.RangeFilter(help_text="US dollars.")
    duration = django_filters.RangeFilter(help_text="Seconds.")

    class Meta:
        model = Trace
        fields: ClassVar[list[str]] = []

    def with_errors(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        """Return the traces with errors, or those without."""
        return rows.filter(errors__gt=0) if value else rows.filter(errors=0)
