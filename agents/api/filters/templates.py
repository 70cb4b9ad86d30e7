"""What templates can be filtered by."""

import django_filters

from agents.models import Template
from core.api.filters import CharInFilter, RecordFilterSet, SearchFilter


class TemplateFilterSet(RecordFilterSet):
    """Filters of templates."""

    search = SearchFilter(fields=["name", "description"])
    complexity = CharInFilter(lookup_expr="in")
    tags = CharInFilter(lookup_expr="contains", help_text="All of these words.")
    tech_stack = CharInFilter(lookup_expr="contains", help_text="All of these words.")
    shared = django_filters.BooleanFilter(field_name="organization", lookup_expr="isnull", help_text="Shared with all.")

    class Meta:
        model = Template
        fields = ["name", "version"]
