"""Endpoints of artifacts: upload, download, and the records about them."""

from functools import partial
from typing import Any

from django.conf import settings
from django.db import models
from django.http import Http404, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.filters.artifacts import ArtifactFilterSet, StoredContentFilterSet
from agents.api.serializers import artifacts as serializers
from agents.models import Artifact, StoredContent
from agents.services import artifacts
from core.api.downloads import AnyMediaType, download
from core.api.renderers import JSONParser
from core.api.uploads import UploadParser, require_length
from core.api.viewsets import DestroyMixin, ReadOnlyViewSet, UpdateMixin

PROBLEM = {"$ref": "#/components/schemas/Problem"}


def problem(description: str) -> OpenApiResponse:
    """Describe an answer that says what is wrong."""
    return OpenApiResponse(PROBLEM, description)


def header(name: str, description: str) -> OpenApiParameter:
    """Describe a request's header."""
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.HEADER, description=description)


class StoredContentViewSet(ReadOnlyViewSet):
    """What lies in storage. Who knows a content's digest can tell here whether it needs uploading at all."""

    scope = "agents"
    queryset = StoredContent.objects.all()
    serializer_class = serializers.StoredContentSerializer
    filterset_class = StoredContentFilterSet
    ordering_fields = ("created_at", "size")


class ArtifactViewSet(UpdateMixin, DestroyMixin, ReadOnlyViewSet):
    """What work left behind."""

    scope = "agents"
    queryset = Artifact.objects.all()
    serializer_class = serializers.ArtifactSerializer
    read_serializer_class = serializers.ArtifactSerializer
    filterset_class = ArtifactFilterSet

    @property
    def upload_limit(self) -> int:
        """Return how many bytes an upload may have."""
        limit: int = settings.ARTIFACT_MAX_BYTES
        return limit

    def get_parsers(self) -> list[BaseParser]:
        """Return what reads the body: uploads too, where an artifact is made."""
        uploads = getattr(self, "action", "create") == "create"
        return [JSONParser(), UploadParser()] if uploads else [JSONParser()]

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return serializers.NewArtifactSerializer if self.action == "create" else self.serializer_class

    @extend_schema(
        request={
            "application/json": serializers.NewArtifactSerializer,
            "multipart/form-data": serializers.ArtifactUploadSerializer,
        },
        responses={
            201: serializers.ArtifactSerializer,
            (411, "application/problem+json"): problem("The upload says no Content-Length."),
            (413, "application/problem+json"): problem("The upload is larger than is taken."),
        },
    )
    def create(self, request: Request) -> Response:
        """Make an artifact: of a text, of a content in storage, or of a file, which streams to storage."""
        require_length(request._request)
        upload = (request.content_type or "").startswith("multipart/")
        serializer_class = serializers.ArtifactUploadSerializer if upload else self.get_serializer_class()
        body = serializer_class(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return self.answer(self._keep(**body.validated_data), status.HTTP_201_CREATED)

    def _keep(self, **fields: Any) -> Artifact:
        organization_id = self.principal.organization_id
        if file := fields.pop("file", None):
            return artifacts.keep_file(organization_id=organization_id, file=file, sha256=file.sha256, **fields)
        if "text" in fields:
            return artifacts.keep_text(organization_id=organization_id, **fields)
        try:
            return artifacts.refer_to(**fields)
        except StoredContent.DoesNotExist as error:
            raise ValidationError({"stored": "This content has just gone; upload it."}, "does_not_exist") from error

    def perform_destroy(self, instance: models.Model) -> None:
        """Delete the artifact, and its content with it if no other artifact has it."""
        assert isinstance(instance, Artifact)
        artifacts.delete_artifact(artifact=instance)

    @extend_schema(
        parameters=[
            header("Range", "One range of bytes."),
            header("If-Range", "An entity tag: the range counts only if it is still the content's."),
            header("If-None-Match", "Entity tags that the client has already."),
            header("If-Match", "Entity tags that the content must have."),
        ],
        responses={
            (200, "*/*"): OpenApiResponse(OpenApiTypes.BINARY, "The content."),
            (206, "*/*"): OpenApiResponse(OpenApiTypes.BINARY, "The range."),
            304: OpenApiResponse(description="The client has it already."),
            (412, "application/problem+json"): problem("The content has no tag of If-Match."),
            (416, "application/problem+json"): problem("The range begins behind the end."),
        },
    )
    @action(detail=True, methods=["get"], content_negotiation_class=AnyMediaType)
    def download(self, request: Request, pk: Any) -> HttpResponseBase:
        """Answer the content itself: streamed, in ranges if asked, always as an attachment."""
        artifact = self.get_queryset().select_related("stored").filter(pk=pk).first()
        if artifact is None:
            raise Http404
        return download(
            request._request,
            name=artifact.name,
            size=artifact.size,
            sha256=artifact.sha256,
            content_type=artifact.content_type,
            open_at=partial(artifacts.open_artifact, artifact),
        )
