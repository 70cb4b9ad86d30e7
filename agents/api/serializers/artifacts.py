"""Serializers of artifacts and their contents."""

import re
from typing import Any, ClassVar

from django.conf import settings
from rest_framework import serializers

from agents.models import Artifact, StoredContent
from agents.models.artifacts import CONTENT_TYPE
from core.api.serializers import RECORD_FIELDS, OrganizationRelatedField, RecordSerializer

BYTES = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"


def check_content_type(value: str) -> str:
    """Refuse what is no media type; return it with type and subtype in lower case."""
    kind, semicolon, parameters = value.partition(";")
    value = kind.lower() + semicolon + parameters
    if not re.fullmatch(CONTENT_TYPE, value):
        raise serializers.ValidationError("This must be a media type, such as “text/csv”.", "invalid")
    return value


class StoredContentSerializer(RecordSerializer):
    """A content in storage, which any number of artifacts may have."""

    class Meta:
        model = StoredContent
        fields = (*RECORD_FIELDS, "sha256", "size")
        read_only_fields = fields


class ArtifactSerializer(RecordSerializer):
    """An artifact. Its content, whichever way it is kept, is what ``download/`` answers; it never changes."""

    class Meta:
        model = Artifact
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "task",
            "task_run",
            "name",
            "artifact_type",
            "content_type",
            "size",
            "sha256",
            "stored",
            "metadata",
        )
        read_only_fields: tuple[str, ...] = ("task", "task_run", "content_type", "size", "sha256", "stored")


class NewArtifactSerializer(RecordSerializer):
    """An artifact to be: of a text, or of a content that is in storage already."""

    text = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="The content. Larger ones are uploaded, as multipart/form-data.",
    )
    stored = OrganizationRelatedField(
        queryset=StoredContent.objects.all(),
        required=False,
        help_text="A content that is in storage already, in place of a text.",
    )
    content_type = serializers.CharField(
        required=False, max_length=200, help_text=f"Default: {TEXT} for a text, else {BYTES}."
    )

    class Meta:
        model = Artifact
        fields = ("task", "task_run", "name", "artifact_type", "content_type", "text", "stored", "metadata")

    def validate_content_type(self, value: str) -> str:
        """Refuse what is no media type."""
        return check_content_type(value)

    def validate_text(self, value: str) -> str:
        """Refuse a text that is too large for the database."""
        if len(value.encode()) > settings.ARTIFACT_MAX_TEXT_BYTES:
            raise serializers.ValidationError(
                f"A text has at most {settings.ARTIFACT_MAX_TEXT_BYTES} bytes; upload what is larger.", "max_length"
            )
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse none or two contents."""
        if ("text" in attrs) == ("stored" in attrs):
            raise serializers.ValidationError("Give either a text or a stored content; or upload a file.", "invalid")
        attrs.setdefault("content_type", TEXT if "text" in attrs else BYTES)
        return attrs


class ArtifactUploadSerializer(RecordSerializer):
    """An artifact to be, of an uploaded file."""

    file = serializers.FileField(allow_empty_file=True, write_only=True, max_length=300)
    name = serializers.CharField(max_length=300, required=False, help_text="Default: the file's own name.")
    content_type = serializers.CharField(
        required=False, max_length=200, help_text="Default: what the file's part says."
    )

    class Meta:
        model = Artifact
        fields: ClassVar = ("task", "task_run", "name", "artifact_type", "content_type", "file", "metadata")

    def validate_content_type(self, value: str) -> str:
        """Refuse what is no media type."""
        return check_content_type(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take name and type from the file where they aren't given."""
        file = attrs["file"]
        attrs.setdefault("name", file.name)
        said = (file.content_type or "").lower()
        attrs.setdefault("content_type", said if re.fullmatch(CONTENT_TYPE, said) else BYTES)
        return attrs
