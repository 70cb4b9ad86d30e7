"""What the roster can be filtered by."""

from typing import ClassVar

import django_filters

from agents.models import Agent, Squad, SquadMember
from core.api.filters import CharInFilter, RecordFilterSet, SearchFilter


class AgentFilterSet(RecordFilterSet):
    """Filters of agents."""

    search = SearchFilter(fields=["name"])
    status = CharInFilter(lookup_expr="in")
    kind = CharInFilter(lookup_expr="in")
    tools = CharInFilter(lookup_expr="contains", help_text="All of these tools.")
    created_by = django_filters.UUIDFilter(field_name="created_by_id")
    last_seen_at = django_filters.IsoDateTimeFromToRangeFilter()

    class Meta:
        model = Agent
        fields = ["name", "model_provider", "model_name"]


class SquadFilterSet(RecordFilterSet):
    """Filters of squads."""

    status = CharInFilter(lookup_expr="in")
    owner = django_filters.UUIDFilter(field_name="owner_id")

    class Meta:
        model = Squad
        fields = ["name"]


class SquadMemberFilterSet(RecordFilterSet):
    """Filters of squads' members."""

    squad = django_filters.UUIDFilter(field_name="squad_id")
    agent = django_filters.UUIDFilter(field_name="agent_id")
    role = CharInFilter(lookup_expr="in")

    class Meta:
        model = SquadMember
        fields: ClassVar[list[str]] = ["is_active"]
