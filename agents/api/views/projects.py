"""Endpoints of projects, their contexts and modifications."""

from collections.abc import Callable
from typing import Any

from django.db import models
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.filters import projects as filters
from agents.api.serializers import projects as serializers
from agents.models import Modification, Project, ProjectContext
from agents.services import comparison, modifications, projects
from core.api.viewsets import CreateMixin, FullViewSet, ReadOnlyViewSet, SoftDeletionMixin, UpdateMixin
from core.models import User


class ProjectViewSet(SoftDeletionMixin, FullViewSet):
    """What is worked on. A deleted project is gone from here with its contexts; staff can restore it."""

    scope = "agents"
    queryset = Project.objects.all()
    serializer_class = serializers.ProjectSerializer
    filterset_class = filters.ProjectFilterSet
    ordering_fields = ("created_at", "name")

    def stamps(self) -> dict[str, Any]:
        """Return the organization, and who makes the project."""
        return {**super().stamps(), "created_by_id": self.principal.user_id}

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def begin(self, request: Request, pk: Any) -> Response:
        """Begin with the work that was planned."""
        return self.move(pk, "begin")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def hold(self, request: Request, pk: Any) -> Response:
        """Let the work rest for a while."""
        return self.move(pk, "hold")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: Any) -> Response:
        """Go on with the work."""
        return self.move(pk, "resume")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: Any) -> Response:
        """Note that the work is done."""
        return self.move(pk, "complete")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def archive(self, request: Request, pk: Any) -> Response:
        """Put the project away for good."""
        return self.move(pk, "archive")

    @extend_schema(parameters=[serializers.VersionsSerializer], responses=serializers.ComparisonSerializer)
    @action(detail=True, methods=["get"])
    def compare(self, request: Request, pk: Any) -> Response:
        """Tell what changed between two versions of the project's context."""
        project = self.get_queryset().filter(pk=pk).first()
        if project is None:
            raise Http404
        asked = serializers.VersionsSerializer(data=request.query_params)
        if unknown := set(request.query_params) - set(asked.fields) - {"format"}:
            raise ValidationError(dict.fromkeys(sorted(unknown), "There is no such parameter."), "unknown")
        asked.is_valid(raise_exception=True)
        versions = asked.validated_data["from"], asked.validated_data["to"]
        found = {context.version: context for context in project.contexts.filter(version__in=versions)}
        for version in versions:
            if version not in found:
                raise NotFound(f"This project has no context of version {version}.")
        answer = comparison.compare(old=found[versions[0]], new=found[versions[1]])
        return Response(serializers.ComparisonSerializer(answer).data)


class ProjectContextViewSet(CreateMixin, ReadOnlyViewSet):
    """How projects stood, version after version. A context never changes; those of deleted projects are gone."""

    scope = "agents"
    queryset = ProjectContext.objects.filter(project__deleted_at=None)
    serializer_class = serializers.ProjectContextSerializer
    filterset_class = filters.ProjectContextFilterSet
    ordering_fields = ("created_at", "version")

    def perform_create(self, serializer: Any) -> models.Model:
        """Append the next version."""
        return projects.append_context(created_by=user_of(self.request), **serializer.validated_data)


class ModificationViewSet(CreateMixin, UpdateMixin, ReadOnlyViewSet):
    """Changes that are asked for, reviewed by somebody else, and applied."""

    scope = "agents"
    queryset = Modification.objects.filter(context__project__deleted_at=None)
    serializer_class = serializers.ModificationSerializer
    read_serializer_class = serializers.ModificationSerializer
    filterset_class = filters.ModificationFilterSet

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        changes = self.action == "partial_update"
        return serializers.AmendedModificationSerializer if changes else self.serializer_class

    def stamps(self) -> dict[str, Any]:
        """Return the organization, and who asks."""
        return {**super().stamps(), "requested_by_id": self.principal.user_id}

    def perform_update(self, serializer: Any) -> models.Model:
        """Change what was asked for."""
        return modifications.amend(
            modification=serializer.instance, user=user_of(self.request), **serializer.validated_data
        )

    @extend_schema(request=serializers.ReviewSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: Any) -> Response:
        """Approve a pending modification that somebody else asked for, and say why."""
        return self._review(pk, modifications.approve)

    @extend_schema(request=serializers.ReviewSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: Any) -> Response:
        """Reject a pending modification that somebody else asked for, and say why."""
        return self._review(pk, modifications.reject)

    @extend_schema(request=serializers.ResultSerializer)
    @action(detail=True, methods=["post"])
    def apply(self, request: Request, pk: Any) -> Response:
        """Note that an approved modification was applied, and what came of it."""
        return self._do(pk, modifications.apply, serializers.ResultSerializer(data=request.data))

    @extend_schema(request=serializers.FailureSerializer)
    @action(detail=True, methods=["post"])
    def fail(self, request: Request, pk: Any) -> Response:
        """Note that applying an approved modification failed, and why."""
        return self._do(pk, modifications.fail, serializers.FailureSerializer(data=request.data))

    def _review(self, pk: Any, service: Callable[..., Modification]) -> Response:
        return self._do(
            pk, service, serializers.ReviewSerializer(data=self.request.data), reviewer=user_of(self.request)
        )

    def _do(self, pk: Any, service: Callable[..., Modification], body: Any, **more: Any) -> Response:
        """Call the service for the modification, and answer it as it then stands."""
        body.is_valid(raise_exception=True)
        return self.act(pk, lambda modification: service(modification=modification, **body.validated_data, **more))


def user_of(request: Request) -> User:
    """Return the user on whose behalf the request acts."""
    assert isinstance(request.user, User)
    return request.user
