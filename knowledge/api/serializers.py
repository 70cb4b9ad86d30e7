"""Serializers of collections, documents and chunks."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.api.serializers import RECORD_FIELDS, OrganizationRelatedField, RecordSerializer
from knowledge.embedders import embedding_models
from knowledge.models import Chunk, Collection, Document, DocumentVersion
from knowledge.services.collections import progress_of
from knowledge.services.documents import Content, ContentRefusedError, content_of, read_bounded

SAID = ("document_id", "title", "source_uri", "language", "metadata")


class ProgressSerializer(serializers.Serializer):
    """How many documents of a collection are in each status."""

    pending = serializers.IntegerField()
    processing = serializers.IntegerField()
    ready = serializers.IntegerField()
    failed = serializers.IntegerField()


@extend_schema_field(ProgressSerializer)
class ProgressField(serializers.Field):
    """The counts of a collection's documents."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"read_only": True, "source": "*"})

    def to_representation(self, value: Collection) -> dict[str, int]:
        """Return the count of each status."""
        return progress_of(value)


class CollectionSerializer(RecordSerializer):
    """Documents that are split, embedded and searched alike."""

    progress = ProgressField()

    class Meta:
        model = Collection
        fields = (
            *RECORD_FIELDS,
            "name",
            "description",
            "embedding_model",
            "search_model",
            "chunk_size",
            "chunk_overlap",
            "hybrid_weight",
            "metadata",
            "progress",
        )
        read_only_fields = ("search_model",)
        ordinary_fields = ("progress",)

    def validate_embedding_model(self, value: str) -> str:
        """Refuse a model that isn't set up here."""
        if value not in embedding_models():
            raise serializers.ValidationError(f"This must be one of: {', '.join(embedding_models())}.", "invalid")
        return value


class DocumentSerializer(RecordSerializer):
    """A document. What it holds are its versions; how far its processing is, the status tells."""

    class Meta:
        model = Document
        fields: ClassVar = (
            *RECORD_FIELDS,
            "collection",
            "document_id",
            "title",
            "source_uri",
            "content_type",
            "content_hash",
            "size",
            "language",
            "version",
            "indexed_version",
            "status",
            "error",
            "expected_chunks",
            "embedded_chunks",
            "chunk_count",
            "embedding_model",
            "processed_at",
            "metadata",
        )
        read_only_fields = tuple(name for name in fields if name not in SAID)


class _NewDocumentSerializer(RecordSerializer):
    """What a new document, or a new version of one, may say besides its content."""

    collection = OrganizationRelatedField(queryset=Collection.objects.all())
    document_id = serializers.CharField(
        required=False,
        max_length=500,
        help_text="Your name of the document: a path, a URL, a number. One that the collection has already gets a new "
        "version. Default: the document's id here; of a file, its name.",
    )
    content_type = serializers.CharField(required=False, max_length=200)

    class Meta:
        model = Document
        fields: ClassVar[tuple[str, ...]] = ("collection", *SAID, "content_type")

    def read_content(self, attrs: dict[str, Any], content: bytes, field: str, name: str = "") -> Content:
        """Return the content that a document is to hold; ValidationError names what is wrong with it."""
        try:
            return content_of(content, declared=attrs.pop("content_type", ""), name=name)
        except ContentRefusedError as error:
            where = "content_type" if error.code == "unsupported" else field
            raise serializers.ValidationError({where: serializers.ErrorDetail(str(error), error.code)}) from error


class NewDocumentSerializer(_NewDocumentSerializer):
    """A document to be, of a text."""

    content = serializers.CharField(
        trim_whitespace=False, help_text="The text. Files of other formats are uploaded, as multipart/form-data."
    )
    content_type = serializers.CharField(
        required=False,
        max_length=200,
        help_text="text/plain, text/markdown, text/html, text/x-rst or another text. Default: text/plain.",
    )

    class Meta(_NewDocumentSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*_NewDocumentSerializer.Meta.fields, "content")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take the content, of the type that is said."""
        # JSON is Unicode: whatever charset a type states, the text isn't in that any more.
        attrs["content_type"] = attrs.get("content_type", "text/plain").partition(";")[0]
        text = attrs["content"].encode()
        attrs["content"] = self.read_content(attrs, text, "content")
        return attrs


class DocumentUploadSerializer(_NewDocumentSerializer):
    """A document to be, of an uploaded file."""

    file = serializers.FileField(write_only=True, max_length=300)
    content_type = serializers.CharField(
        required=False,
        max_length=200,
        help_text="Default: what the file's part says, or else what its name or its first bytes tell.",
    )

    class Meta(_NewDocumentSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*_NewDocumentSerializer.Meta.fields, "file")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take the file's content and name."""
        file = attrs.pop("file")
        attrs.setdefault("content_type", f"{file.content_type or ''}; charset={file.charset or ''}")
        attrs.setdefault("document_id", file.name)
        attrs["content"] = self.read_content(attrs, read_bounded(file), "file", file.name)
        return attrs


class DocumentVersionSerializer(RecordSerializer):
    """What a document holds, or held until the newest version takes its place: ``text`` is what was read of it."""

    class Meta:
        model = DocumentVersion
        fields = (*RECORD_FIELDS, "document", "version", "content_type", "content_hash", "size", "text")
        read_only_fields = fields


class ChunkSerializer(RecordSerializer):
    """A passage of a document: the characters from ``char_start`` to ``char_end`` of the text of its version."""

    class Meta:
        model = Chunk
        fields = (
            *RECORD_FIELDS,
            "collection",
            "document",
            "position",
            "heading_path",
            "char_start",
            "char_end",
            "text",
            "language",
            "token_count",
        )
        read_only_fields = fields


class ReprocessedSerializer(serializers.Serializer):
    """How many documents are processed anew."""

    documents = serializers.IntegerField()
