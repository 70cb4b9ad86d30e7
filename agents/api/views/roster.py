"""Endpoints of agents, squads and their members."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.filters import roster as filters
from agents.api.serializers import roster as serializers
from agents.models import Agent, Squad, SquadMember
from agents.services import roster
from core.api.viewsets import FullViewSet, SoftDeletionMixin


class AgentViewSet(SoftDeletionMixin, FullViewSet):
    """Who and what does work. A deleted agent is gone from here; staff can restore it."""

    scope = "agents"
    queryset = Agent.objects.all()
    serializer_class = serializers.AgentSerializer
    filterset_class = filters.AgentFilterSet
    ordering_fields = ("created_at", "name")

    def stamps(self) -> dict[str, Any]:
        """Return the organization, and who makes the agent."""
        return {**super().stamps(), "created_by_id": self.principal.user_id}

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: Any) -> Response:
        """Start the agent up: it is starting until it says that it runs."""
        return self.move(pk, "start")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: Any) -> Response:
        """Note that an agent that was starting runs."""
        return self.move(pk, "run")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: Any) -> Response:
        """Stop the agent."""
        return self.move(pk, "stop")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def fail(self, request: Request, pk: Any) -> Response:
        """Note that the agent broke down; it can be stopped, or started again."""
        return self.move(pk, "fail")

    @extend_schema(request=serializers.HeartbeatSerializer)
    @action(detail=True, methods=["post"])
    def heartbeat(self, request: Request, pk: Any) -> Response:
        """Note that the agent is there, and add what it has done since it last reported."""
        body = serializers.HeartbeatSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return self.act(pk, lambda agent: roster.report_activity(agent=agent, **body.validated_data))


class SquadViewSet(FullViewSet):
    """Agents that work together. A squad that has worked is archived, not deleted."""

    scope = "agents"
    queryset = Squad.objects.all()
    serializer_class = serializers.SquadSerializer
    filterset_class = filters.SquadFilterSet
    ordering_fields = ("created_at", "name")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: Any) -> Response:
        """Let the squad take no work for a while."""
        return self.move(pk, "pause")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: Any) -> Response:
        """Let a paused squad take work again."""
        return self.move(pk, "resume")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def archive(self, request: Request, pk: Any) -> Response:
        """Put the squad away for good."""
        return self.move(pk, "archive")


class SquadMemberViewSet(FullViewSet):
    """Who is in which squad, in what role. The parts of a deleted agent are gone with it, and come back with it."""

    scope = "agents"
    queryset = SquadMember.objects.filter(agent__deleted_at=None)
    serializer_class = serializers.SquadMemberSerializer
    read_serializer_class = serializers.SquadMemberSerializer
    filterset_class = filters.SquadMemberFilterSet

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        changes = self.action == "partial_update"
        return serializers.AmendedSquadMemberSerializer if changes else self.serializer_class
