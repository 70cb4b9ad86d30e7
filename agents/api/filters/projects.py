"""What projects, their contexts and modifications can be filtered by."""

from typing import ClassVar

import django_filters

from agents.models import Modification, Project, ProjectContext
from core.api.filters import CharInFilter, RecordFilterSet, SearchFilter


class ProjectFilterSet(RecordFilterSet):
    """Filters of projects."""

    search = SearchFilter(fields=["name", "description"])
    status = CharInFilter(lookup_expr="in")
    squad = django_filters.UUIDFilter(field_name="squad_id")
    created_by = django_filters.UUIDFilter(field_name="created_by_id")

    class Meta:
        model = Project
        fields = ["name", "external_workspace_id", "external_folder_id"]


class ProjectContextFilterSet(RecordFilterSet):
    """Filters of contexts."""

    project = django_filters.UUIDFilter(field_name="project_id")
    created_by = django_filters.UUIDFilter(field_name="created_by_id")

    class Meta:
        model = ProjectContext
        fields: ClassVar[list[str]] = ["version"]


class ModificationFilterSet(RecordFilterSet):
    """Filters of modifications."""

    status = CharInFilter(lookup_expr="in")
    risk_level = CharInFilter(lookup_expr="in")
    context = django_filters.UUIDFilter(field_name="context_id")
    project = django_filters.UUIDFilter(field_name="context__project_id")
    affected_files = CharInFilter(lookup_expr="contains", help_text="All of these files.")
    requested_by = django_filters.UUIDFilter(field_name="requested_by_id")
    reviewed_by = django_filters.UUIDFilter(field_name="reviewed_by_id")

    class Meta:
        model = Modification
        fields: ClassVar[list[str]] = []
