"""What round tables, entries and votes can be filtered by."""

from typing import ClassVar

import django_filters

from agents.models import RoundTable, RoundTableEntry, RoundTableVote
from core.api.filters import CharInFilter, RecordFilterSet, SearchFilter


class RoundTableFilterSet(RecordFilterSet):
    """Filters of round tables."""

    search = SearchFilter(fields=["prompt"])
    result_id = django_filters.CharFilter()
    status = CharInFilter(lookup_expr="in")
    task_category = CharInFilter(lookup_expr="in")
    judge = CharInFilter(lookup_expr="in")

    class Meta:
        model = RoundTable
        fields: ClassVar[list[str]] = []


class RoundTableEntryFilterSet(RecordFilterSet):
    """Filters of entries."""

    round_table = django_filters.UUIDFilter(field_name="round_table_id")
    provider = CharInFilter(lookup_expr="in")
    model = CharInFilter(lookup_expr="in")
    rank = django_filters.NumberFilter()

    class Meta:
        model = RoundTableEntry
        fields: ClassVar[list[str]] = []


class RoundTableVoteFilterSet(django_filters.FilterSet):
    """Filters of votes, which never change."""

    created_at = django_filters.IsoDateTimeFromToRangeFilter()
    round_table = django_filters.UUIDFilter(field_name="round_table_id")
    judge = CharInFilter(lookup_expr="in")

    class Meta:
        model = RoundTableVote
        fields: ClassVar[list[str]] = []
