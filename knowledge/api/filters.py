"""What collections, documents and chunks can be filtered by."""

from typing import ClassVar

import django_filters

from core.api.filters import CharInFilter, JSONContainsFilter, RecordFilterSet, SearchFilter
from knowledge.models import Chunk, Collection, Document, DocumentVersion


class CollectionFilterSet(RecordFilterSet):
    """Filters of collections."""

    search = SearchFilter(fields=["name", "description"])

    class Meta:
        model = Collection
        fields: ClassVar = ["name", "embedding_model"]


class DocumentFilterSet(RecordFilterSet):
    """Filters of documents."""

    search = SearchFilter(fields=["title", "document_id", "source_uri"])
    collection = django_filters.UUIDFilter(field_name="collection_id")
    status = CharInFilter(lookup_expr="in")
    language = CharInFilter(lookup_expr="in")
    content_hash = CharInFilter(lookup_expr="in")
    metadata = JSONContainsFilter(help_text="A JSON object that the document's metadata contain.")

    class Meta:
        model = Document
        fields: ClassVar = ["document_id", "content_type"]


class DocumentVersionFilterSet(RecordFilterSet):
    """Filters of versions."""

    document = django_filters.UUIDFilter(field_name="document_id")

    class Meta:
        model = DocumentVersion
        fields: ClassVar = ["version"]


class ChunkFilterSet(django_filters.FilterSet):
    """Filters of chunks, which never change."""

    created_at = django_filters.IsoDateTimeFromToRangeFilter()
    document = django_filters.UUIDFilter(field_name="document_id")
    collection = django_filters.UUIDFilter(field_name="collection_id")

    class Meta:
        model = Chunk
        fields: ClassVar = ["position"]
