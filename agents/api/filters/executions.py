"""What executions, model calls and tool executions can be filtered by: what an index serves."""

from typing import Any, ClassVar

import django_filters
from django import forms
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from agents.models import AgentExecution, ModelCall, ToolExecution
from core.api.filters import CharInFilter, HexFilter

SPAN = r"^[0-9a-fA-F]{32}-[0-9a-fA-F]{16}\Z"


class _SpanFormField(forms.RegexField):
    def __init__(self, **options: Any) -> None:
        message = "This must be a trace id and a span id: 32 hexadecimal digits, “-”, and 16."
        super().__init__(SPAN, error_messages={"invalid": message}, **options)


@extend_schema_field(OpenApiTypes.STR)
class SpanFilter(django_filters.Filter):
    """``?span=<trace id>-<span id>``: the one span of that name."""

    field_class = _SpanFormField

    def filter(self, qs: QuerySet, value: str | None) -> QuerySet:
        """Return the span, if there is one of this kind."""
        if not value:
            return qs
        trace_id, _, span_id = value.partition("-")
        return qs.filter(trace_id=trace_id, span_id=span_id)


class SpanFilterSet(django_filters.FilterSet):
    """What every kind of span can be filtered by. Not by its last change: that is no more than its own end."""

    created_at = django_filters.IsoDateTimeFromToRangeFilter()
    started_at = django_filters.IsoDateTimeFromToRangeFilter()
    status = CharInFilter(lookup_expr="in")
    trace_id = HexFilter(size=16, help_text="32 hexadecimal digits.")
    span = SpanFilter(help_text="Trace id and span id, joined by “-”.")


class AgentExecutionFilterSet(SpanFilterSet):
    """Filters of executions."""

    execution_id = CharInFilter(lookup_expr="in")
    agent = django_filters.UUIDFilter(field_name="agent_id")
    agent_name = CharInFilter(lookup_expr="in")
    agent_type = CharInFilter(lookup_expr="in")
    parent_execution = django_filters.UUIDFilter(field_name="parent_execution_id")
    task_run = django_filters.UUIDFilter(field_name="task_run_id")
    squad = django_filters.UUIDFilter(field_name="squad_id")
    user = django_filters.UUIDFilter(field_name="user_id")
    user_name = CharInFilter(lookup_expr="in", help_text="Whom the agent served, as the client says.")
    session_id = CharInFilter(lookup_expr="in")
    correlation_id = CharInFilter(lookup_expr="in")

    class Meta:
        model = AgentExecution
        fields: ClassVar[list[str]] = []


class ModelCallFilterSet(SpanFilterSet):
    """Filters of model calls."""

    execution = django_filters.UUIDFilter(field_name="execution_id")
    model = CharInFilter(lookup_expr="in")
    provider = CharInFilter(lookup_expr="in")

    class Meta:
        model = ModelCall
        fields: ClassVar[list[str]] = []


class ToolExecutionFilterSet(SpanFilterSet):
    """Filters of tool executions."""

    execution = django_filters.UUIDFilter(field_name="execution_id")
    tool_name = CharInFilter(lookup_expr="in")
    user = django_filters.UUIDFilter(field_name="user_id")

    class Meta:
        model = ToolExecution
        fields: ClassVar[list[str]] = []
