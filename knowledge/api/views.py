"""Endpoints of collections, documents, their versions and chunks."""

from io import BytesIO
from typing import Any, BinaryIO

from django.conf import settings
from django.db import models
from django.db.models import QuerySet
from django.http import Http404, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.downloads import AnyMediaType, download
from core.api.renderers import JSONParser
from core.api.uploads import UploadParser, require_length
from core.api.viewsets import DestroyMixin, FullViewSet, ReadOnlyViewSet, SoftDeletionMixin, UpdateMixin
from knowledge.api import filters, serializers
from knowledge.models import Chunk, Collection, Document, DocumentVersion
from knowledge.services import collections, documents

PROBLEM = {"$ref": "#/components/schemas/Problem"}


class CollectionViewSet(FullViewSet):
    """Documents that belong together. Deleting a collection deletes its documents for good."""

    scope = "knowledge"
    queryset = Collection.objects.all()
    serializer_class = serializers.CollectionSerializer
    filterset_class = filters.CollectionFilterSet
    ordering_fields = ("created_at", "name")

    def get_queryset(self) -> QuerySet:
        """Return the collections, with the counts of their documents."""
        return collections.with_progress(super().get_queryset())

    def perform_update(self, serializer: Any) -> models.Model:
        """Write the change; documents are split anew where it says how."""
        before = Collection.objects.get(pk=serializer.instance.pk)
        for name, value in serializer.validated_data.items():
            setattr(serializer.instance, name, value)
        return collections.change_collection(collection=serializer.instance, before=before)

    @extend_schema(request=None, responses=serializers.ReprocessedSerializer)
    @action(detail=True, methods=["post"])
    def reprocess(self, request: Request, pk: Any) -> Response:
        """Split and embed all documents anew; what search finds stays until each is done.

        What was read of a file isn't read again: the action of a document does that.
        """
        collection = self.get_queryset().filter(pk=pk).first()
        if collection is None:
            raise Http404
        return Response({"documents": collections.reprocess_collection(collection=collection)})


class DocumentViewSet(SoftDeletionMixin, UpdateMixin, DestroyMixin, ReadOnlyViewSet):
    """What is to be found. A deleted document is gone from here and from search; staff can restore it."""

    scope = "knowledge"
    queryset = Document.objects.all()
    serializer_class = serializers.DocumentSerializer
    filterset_class = filters.DocumentFilterSet
    ordering_fields = ("created_at",)

    @property
    def upload_limit(self) -> int:
        """Return how many bytes an upload may have."""
        limit: int = settings.DOCUMENT_MAX_BYTES
        return limit

    def get_parsers(self) -> list[BaseParser]:
        """Return what reads the body: uploads too, where a document is made."""
        uploads = getattr(self, "action", "create") == "create"
        return [JSONParser(), UploadParser()] if uploads else [JSONParser()]

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return serializers.NewDocumentSerializer if self.action == "create" else self.serializer_class

    @extend_schema(
        request={
            "application/json": serializers.NewDocumentSerializer,
            "multipart/form-data": serializers.DocumentUploadSerializer,
        },
        responses={
            201: serializers.DocumentSerializer,
            200: OpenApiResponse(
                serializers.DocumentSerializer,
                description="The document that the collection has: with a new version, or with this content already;"
                " that may be one of another document_id, which stays as it is.",
            ),
            (411, "application/problem+json"): OpenApiResponse(PROBLEM, "The upload says no Content-Length."),
            (413, "application/problem+json"): OpenApiResponse(PROBLEM, "The upload is larger than is taken."),
        },
    )
    def create(self, request: Request) -> Response:
        """Store a document, of a text or a file; it is processed in the background."""
        require_length(request._request)
        upload = (request.content_type or "").startswith("multipart/")
        serializer_class = serializers.DocumentUploadSerializer if upload else self.get_serializer_class()
        body = serializer_class(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        document, outcome = documents.put_document(**body.validated_data)
        made = outcome is documents.Outcome.CREATED
        return self.answer(document, status.HTTP_201_CREATED if made else status.HTTP_200_OK)

    def perform_update(self, serializer: Any) -> models.Model:
        """Write the change; a title or language by which search is to find it has it processed anew."""
        return documents.change_document(document=serializer.instance, **serializer.validated_data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: Any) -> Response:
        """Process a failed document again."""
        return self.act(pk, lambda document: documents.retry_document(document=document))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def reprocess(self, request: Request, pk: Any) -> Response:
        """Read, split and embed the document anew; what search finds of it stays until that is done.

        A file is read again, and its version has no text until then.
        """
        return self.act(pk, lambda document: documents.reprocess_document(document=document))


class DocumentVersionViewSet(ReadOnlyViewSet):
    """What documents hold."""

    scope = "knowledge"
    queryset = DocumentVersion.objects.filter(document__deleted_at=None).defer("draft")
    serializer_class = serializers.DocumentVersionSerializer
    filterset_class = filters.DocumentVersionFilterSet
    list_leaves_out = ("text",)

    @extend_schema(responses={(200, "*/*"): OpenApiResponse(OpenApiTypes.BINARY, "The content, as it came.")})
    @action(detail=True, methods=["get"], content_negotiation_class=AnyMediaType)
    def download(self, request: Request, pk: Any) -> HttpResponseBase:
        """Answer the content as it came: streamed, in ranges if asked, always as an attachment."""
        version = self.get_queryset().select_related("document").filter(pk=pk).first()
        if version is None:
            raise Http404
        return send(request._request, version)


def send(request: Any, version: DocumentVersion) -> HttpResponseBase:
    """Answer with a version's content as it came."""
    content = bytes(version.original) if version.original is not None else (version.text or "").encode()

    def open_at(start: int, length: int) -> BinaryIO:
        return BytesIO(content[start : start + length])

    return download(
        request,
        name=documents.base_name(version.document.document_id),
        size=version.size,
        sha256=version.content_hash,
        content_type=version.content_type,
        open_at=open_at,
    )


class ChunkViewSet(ReadOnlyViewSet):
    """The passages that search finds, in the order in which they were made: that of their document's text."""

    scope = "knowledge"
    queryset = Chunk.objects.all()
    serializer_class = serializers.ChunkSerializer
    filterset_class = filters.ChunkFilterSet
    ordering = ("id",)
    ordering_fields = ("id",)
