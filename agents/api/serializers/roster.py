"""Serializers of agents, squads and their members."""

from typing import Any

from rest_framework import serializers

from agents.models import Agent, Squad, SquadMember
from core.api.serializers import RECORD_FIELDS, RecordSerializer, StrictSerializer

MAX_REPORTED = 1_000_000_000


class AgentSerializer(RecordSerializer):
    """Somebody or something that does work. Its status and counts change by its actions."""

    class Meta:
        model = Agent
        fields = (
            *RECORD_FIELDS,
            "name",
            "kind",
            "status",
            "model_provider",
            "model_name",
            "system_prompt",
            "tools",
            "config",
            "channel",
            "headless",
            "total_actions",
            "total_errors",
            "last_seen_at",
            "created_by",
        )


class HeartbeatSerializer(StrictSerializer):
    """What an agent has done since it last reported."""

    actions = serializers.IntegerField(min_value=0, max_value=MAX_REPORTED, default=0)
    errors = serializers.IntegerField(  # type: ignore[assignment] # DRF keeps declared fields apart
        min_value=0, max_value=MAX_REPORTED, default=0, help_text="Those of the actions that failed."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse more errors than actions."""
        if attrs["errors"] > attrs["actions"]:
            raise serializers.ValidationError({"errors": "These can't be more than the actions."}, "max_value")
        return attrs


class SquadSerializer(RecordSerializer):
    """Agents that work together."""

    class Meta:
        model = Squad
        fields = (*RECORD_FIELDS, "name", "description", "owner", "status", "settings")


class SquadMemberSerializer(RecordSerializer):
    """An agent's part in a squad, with the agent's name."""

    agent_name = serializers.CharField(source="agent.name", read_only=True)

    class Meta:
        model = SquadMember
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "squad",
            "agent",
            "agent_name",
            "role",
            "system_prompt",
            "model_provider",
            "model_name",
            "is_active",
        )


class AmendedSquadMemberSerializer(SquadMemberSerializer):
    """What can be changed of a member: all but squad and agent."""

    class Meta(SquadMemberSerializer.Meta):
        fields = (*RECORD_FIELDS, "role", "system_prompt", "model_provider", "model_name", "is_active")
