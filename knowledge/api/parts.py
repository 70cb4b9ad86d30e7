"""Endpoints of what search keeps beside the chunks: which have a vector, and how frequent words are."""

from core.api.filters import RecordFilterSet
from core.api.serializers import RecordSerializer
from core.api.viewsets import ReadOnlyViewSet
from knowledge.models import DocumentFrequency, Embedding, TermVector


class EmbeddingSerializer(RecordSerializer):
    """That a chunk has a vector of a model. The numbers stay here: they say nothing without the model."""

    class Meta:
        model = Embedding
        fields = ("id", "chunk", "collection_id", "document_id", "model")
        read_only_fields = fields


class TermVectorSerializer(RecordSerializer):
    """That a chunk can be found by its words."""

    class Meta:
        model = TermVector
        fields = ("id", "chunk", "collection_id", "document_id", "language")
        read_only_fields = fields


class DocumentFrequencySerializer(RecordSerializer):
    """In how many chunks of the organization a lexeme of a language stands; the empty one stands in all."""

    class Meta:
        model = DocumentFrequency
        fields = ("id", "language", "lexeme", "chunks")
        read_only_fields = fields
