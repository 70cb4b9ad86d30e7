"""What artifacts and contents can be filtered by."""

from typing import ClassVar

import django_filters

from agents.models import Artifact, StoredContent
from core.api.filters import CharInFilter, RecordFilterSet


class StoredContentFilterSet(django_filters.FilterSet):
    """Filters of contents, which never change."""

    created_at = django_filters.IsoDateTimeFromToRangeFilter()
    sha256 = CharInFilter(lookup_expr="in")

    class Meta:
        model = StoredContent
        fields: ClassVar[list[str]] = []


class ArtifactFilterSet(RecordFilterSet):
    """Filters of artifacts."""

    artifact_type = CharInFilter(lookup_expr="in")
    task = django_filters.UUIDFilter(field_name="task_id")
    task_run = django_filters.UUIDFilter(field_name="task_run_id")
    sha256 = CharInFilter(lookup_expr="in")
    stored = django_filters.UUIDFilter(field_name="stored_id")

    class Meta:
        model = Artifact
        fields: ClassVar[list[str]] = []
