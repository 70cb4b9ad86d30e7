"""Serializers of templates."""

from typing import Any

from rest_framework import serializers

from agents.models import Template
from agents.services import templates
from core.api.serializers import RECORD_FIELDS, OrganizationRelatedField, RecordSerializer, StrictSerializer

CHECKED = ("files", "required_variables", "optional_variables")


class TemplateSerializer(RecordSerializer):
    """Files to begin a project with. ``organization`` is null where the template is shared with all."""

    organization = OrganizationRelatedField(read_only=True)

    class Meta:
        model = Template
        fields = (
            *RECORD_FIELDS,
            "organization",
            "name",
            "description",
            "version",
            "files",
            "required_variables",
            "optional_variables",
            "tech_stack",
            "tags",
            "complexity",
            "setup_minutes",
            "usage_count",
        )
        extra_kwargs = {"files": {"required": True}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse files that don't parse, and variables that aren't declared."""
        if self.instance is None or any(name in attrs for name in CHECKED):
            stands = self.instance or Template()
            templates.check(**{name: attrs.get(name, getattr(stands, name)) for name in CHECKED})
        return attrs


class RenderSerializer(StrictSerializer):
    """The values of a template's variables."""

    variables = serializers.DictField(child=serializers.JSONField(allow_null=True), default=dict)


class RenderedSerializer(serializers.Serializer):
    """A template's files, with the variables filled in."""

    files = serializers.DictField(child=serializers.CharField(), help_text="Path to content.")
