"""What tasks, runs and messages can be filtered by."""

from typing import ClassVar

import django_filters

from agents.models import AgentMessage, Task, TaskRun
from core.api.filters import CharInFilter, RecordFilterSet, SearchFilter


class TaskFilterSet(RecordFilterSet):
    """Filters of tasks."""

    search = SearchFilter(fields=["name", "description"])
    status = CharInFilter(lookup_expr="in")
    priority = CharInFilter(lookup_expr="in")
    task_type = CharInFilter(lookup_expr="in")
    project = django_filters.UUIDFilter(field_name="project_id")
    squad = django_filters.UUIDFilter(field_name="squad_id")
    assigned_agent = django_filters.UUIDFilter(field_name="assigned_agent_id")
    due_at = django_filters.IsoDateTimeFromToRangeFilter()

    class Meta:
        model = Task
        fields: ClassVar[list[str]] = ["external_id"]


class TaskRunFilterSet(RecordFilterSet):
    """Filters of runs."""

    task = django_filters.UUIDFilter(field_name="task_id")
    status = CharInFilter(lookup_expr="in")

    class Meta:
        model = TaskRun
        fields: ClassVar[list[str]] = []


class AgentMessageFilterSet(django_filters.FilterSet):
    """Filters of messages, which never change."""

    created_at = django_filters.IsoDateTimeFromToRangeFilter()
    task_run = django_filters.UUIDFilter(field_name="task_run_id")
    thread = django_filters.UUIDFilter()
    sender = django_filters.UUIDFilter(field_name="sender_id")
    recipient = django_filters.UUIDFilter(field_name="recipient_id")
    message_type = CharInFilter(lookup_expr="in")

    class Meta:
        model = AgentMessage
        fields: ClassVar[list[str]] = []
