"""What feedback and insights can be filtered by."""

from typing import ClassVar

import django_filters

from agents.models import Feedback, LearningInsight
from core.api.filters import CharInFilter, RecordFilterSet


class FeedbackFilterSet(RecordFilterSet):
    """Filters of feedback."""

    task_run = django_filters.UUIDFilter(field_name="task_run_id")
    message = django_filters.UUIDFilter(field_name="message_id")
    execution = django_filters.UUIDFilter(field_name="execution_id")
    round_table_entry = django_filters.UUIDFilter(field_name="round_table_entry_id")
    user = django_filters.UUIDFilter(field_name="user_id")
    rating = django_filters.RangeFilter(help_text="1 to 5.")
    thumbs_up = django_filters.BooleanFilter()
    category = CharInFilter(lookup_expr="in")
    tags = CharInFilter(lookup_expr="contains", help_text="All of these words.")

    class Meta:
        model = Feedback
        fields: ClassVar[list[str]] = []


class LearningInsightFilterSet(RecordFilterSet):
    """Filters of insights."""

    squad = django_filters.UUIDFilter(field_name="squad_id")
    source_feedback = django_filters.UUIDFilter(field_name="source_feedback_id")
    source_run = django_filters.UUIDFilter(field_name="source_run_id")
    status = CharInFilter(lookup_expr="in")
    category = CharInFilter(lookup_expr="in")
    confidence = django_filters.RangeFilter(help_text="0 to 1.")

    class Meta:
        model = LearningInsight
        fields: ClassVar[list[str]] = []
