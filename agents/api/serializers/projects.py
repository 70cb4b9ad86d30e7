"""Serializers of projects, their contexts and modifications."""

from rest_framework import serializers

from agents.models import Modification, Project, ProjectContext
from core.api.serializers import RECORD_FIELDS, OrganizationRelatedField, RecordSerializer, StrictSerializer

MAX_VERSION = 2_147_483_647


class ProjectSerializer(RecordSerializer):
    """Something that a squad works on. Its status changes by its actions."""

    class Meta:
        model = Project
        fields = (
            *RECORD_FIELDS,
            "squad",
            "name",
            "description",
            "status",
            "external_workspace_id",
            "external_folder_id",
            "repository_url",
            "metadata",
            "created_by",
        )


class ProjectContextSerializer(RecordSerializer):
    """How a project stood at one time. ``version`` in a new one is what it is expected to become."""

    class Meta:
        model = ProjectContext
        fields = (
            *RECORD_FIELDS,
            "project",
            "version",
            "codebase",
            "configuration",
            "dependencies",
            "test_coverage",
            "security_score",
            "performance_score",
            "created_by",
        )
        extra_kwargs = {"version": {"required": False, "min_value": 1, "max_value": MAX_VERSION}}


class VersionsSerializer(serializers.Serializer):
    """The two versions to compare: ``from`` and ``to``."""

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, one of which has a name that Python keeps for itself."""
        return {
            name: serializers.IntegerField(min_value=1, max_value=MAX_VERSION, help_text=help_text)
            for name, help_text in (("from", "The version before."), ("to", "The version after."))
        }


class PlacedValueSerializer(serializers.Serializer):
    """A value, and where it stands."""

    path = serializers.CharField(help_text="A JSON Pointer (RFC 6901).")
    value = serializers.JSONField()


class ChangedValueSerializer(serializers.Serializer):
    """A value that changed, and where it stands in the older version."""

    path = serializers.CharField(help_text="A JSON Pointer (RFC 6901).")
    old = serializers.JSONField()
    new = serializers.JSONField()


class DifferencesSerializer(serializers.Serializer):
    """What was added (paths in the newer version), removed and changed (paths in the older one)."""

    added = PlacedValueSerializer(many=True)
    removed = PlacedValueSerializer(many=True)
    changed = ChangedValueSerializer(many=True)


class ScoreSerializer(serializers.Serializer):
    """A score before and after. None where it wasn't taken."""

    old = serializers.CharField(allow_null=True)
    new = serializers.CharField(allow_null=True)
    difference = serializers.CharField(allow_null=True)


class ScoresSerializer(serializers.Serializer):
    """How each score moved."""

    test_coverage = ScoreSerializer()
    security_score = ScoreSerializer()
    performance_score = ScoreSerializer()


class ComparisonSerializer(serializers.Serializer):
    """What changed between two contexts of a project."""

    project = serializers.UUIDField()
    codebase = DifferencesSerializer()
    configuration = DifferencesSerializer()
    dependencies = DifferencesSerializer()
    scores = ScoresSerializer()

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, the versions among them."""
        fields = super().get_fields()
        return {"project": fields.pop("project"), **VersionsSerializer().get_fields(), **fields}


class ModificationSerializer(RecordSerializer):
    """A change that somebody asks for. Its review and what came of it are told by its actions."""

    project = OrganizationRelatedField(source="context.project", read_only=True)

    class Meta:
        model = Modification
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "context",
            "project",
            "title",
            "request",
            "status",
            "impact_analysis",
            "risk_level",
            "affected_files",
            "requested_by",
            "reviewed_by",
            "review_comment",
            "result",
            "error_message",
            "reviewed_at",
            "applied_at",
            "failed_at",
        )


class AmendedModificationSerializer(ModificationSerializer):
    """What can be changed of a modification before its review."""

    class Meta(ModificationSerializer.Meta):
        fields = (*RECORD_FIELDS, "title", "request", "impact_analysis", "risk_level", "affected_files")


class ReviewSerializer(StrictSerializer):
    """What a reviewer says."""

    comment = serializers.CharField(max_length=10_000)
    updated_at = serializers.DateTimeField(
        source="as_of",
        required=False,
        help_text="The modification's “updated_at” as you read it: refused if it was changed since.",
    )


class ResultSerializer(StrictSerializer):
    """What came of applying a modification."""

    result = serializers.JSONField(required=False, allow_null=True, default=None)


class FailureSerializer(ResultSerializer):
    """Why applying a modification failed."""

    error = serializers.CharField(max_length=10_000)
