"""Endpoints of what search keeps beside the chunks: which have a vector, and how frequent words are."""

from typing import ClassVar

from django_filters.rest_framework import FilterSet, UUIDFilter
from rest_framework import serializers

from core.api.serializers import RecordSerializer
from core.api.viewsets import ReadOnlyViewSet
from knowledge.models import DocumentFrequency, Embedding, TermVector


class EmbeddingSerializer(RecordSerializer):
    """That a chunk has a vector of a model. The numbers stay here: they say nothing without the model."""

    collection = serializers.UUIDField(source="collection_id", read_only=True)
    document = serializers.UUIDField(source="document_id", read_only=True)

    class Meta:
        model = Embedding
        fields = ("id", "chunk", "collection", "document", "model")
        read_only_fields = fields


class TermVectorSerializer(RecordSerializer):
    """That a chunk can be found by its words."""

    collection = serializers.UUIDField(source="collection_id", read_only=True)
    document = serializers.UUIDField(source="document_id", read_only=True)

    class Meta:
        model = TermVector
        fields = ("id", "chunk", "collection", "document", "language")
        read_only_fields = fields


class DocumentFrequencySerializer(RecordSerializer):
    """In how many chunks of the organization a lexeme of a language stands; the empty one stands in all."""

    class Meta:
        model = DocumentFrequency
        fields = ("id", "language", "lexeme", "chunks")
        read_only_fields = fields


class EmbeddingFilterSet(FilterSet):
    """Filters of embeddings."""

    collection = UUIDFilter(field_name="collection_id")
    document = UUIDFilter(field_name="document_id")
    chunk = UUIDFilter(field_name="chunk_id")

    class Meta:
        model = Embedding
        fields: ClassVar = ["model"]


class TermVectorFilterSet(FilterSet):
    """Filters of term vectors."""

    chunk = UUIDFilter(field_name="chunk_id")

    class Meta:
        model = TermVector
        fields: ClassVar = ["language"]


class DocumentFrequencyFilterSet(FilterSet):
    """Filters of document frequencies."""

    class Meta:
        model = DocumentFrequency
        fields: ClassVar = ["lexeme", "language"]


class EmbeddingViewSet(ReadOnlyViewSet):
    """Which chunks have a vector, and by which model. They come and go with the chunks."""

    scope = "knowledge"
    queryset = Embedding.objects.all()
    serializer_class = EmbeddingSerializer
    filterset_class = EmbeddingFilterSet
    ordering = ("model", "collection_id")
    ordering_fields = ()


class TermVectorViewSet(ReadOnlyViewSet):
    """Which chunks can be found by their words: all, since the database sees to it."""

    scope = "knowledge"
    queryset = TermVector.objects.all()
    serializer_class = TermVectorSerializer
    filterset_class = TermVectorFilterSet
    ordering = ("-id",)
    ordering_fields = ()


class DocumentFrequencyViewSet(ReadOnlyViewSet):
    """In how many of the organization's chunks each word stands, the commonest first: what BM25 weighs words by."""

    scope = "knowledge"
    queryset = DocumentFrequency.objects.all()
    serializer_class = DocumentFrequencySerializer
    filterset_class = DocumentFrequencyFilterSet
    ordering = ("-chunks",)
    ordering_fields = ()
