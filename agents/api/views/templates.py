"""Endpoints of templates."""

from typing import Any

import orjson
from django.utils.text import slugify
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.filters import templates as filters
from agents.api.serializers import templates as serializers
from agents.models import Template
from agents.services import templates
from agents.templating.archive import zip_of
from core.api.renderers import JSONRenderer
from core.api.viewsets import FullViewSet

JSON, ZIP = "application/json", "application/zip"


class ZipRenderer(BaseRenderer):
    """Files as a zip. Errors stay problems."""

    media_type = ZIP
    format = "zip"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return the zip."""
        if (renderer_context or {})["response"].exception:
            return orjson.dumps(data)
        return zip_of(data["files"])


class TemplateViewSet(FullViewSet):
    """Files to begin projects with: the organization's own, and those shared with all, which only staff change."""

    scope = "agents"
    queryset = Template.objects.all()
    serializer_class = serializers.TemplateSerializer
    filterset_class = filters.TemplateFilterSet
    ordering_fields = ("created_at", "name", "usage_count")

    def check_change(self, template: Template) -> None:
        """Raise PermissionDenied when the template is shared with all."""
        if template.organization_id is None:
            raise PermissionDenied("This template is shared with all; only staff change it.")

    @extend_schema(
        request=serializers.RenderSerializer,
        responses={(200, JSON): serializers.RenderedSerializer, (200, ZIP): OpenApiTypes.BINARY},
    )
    @action(detail=True, methods=["post"], renderer_classes=[JSONRenderer, ZipRenderer])
    def render(self, request: Request, pk: Any) -> Response:
        """Fill the variables in, and answer the files: as JSON, or as a zip where the client accepts that."""
        body = serializers.RenderSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        template = self.get_object()
        files = templates.render(template=template, variables=body.validated_data["variables"])
        response = Response({"files": files})
        if isinstance(request.accepted_renderer, ZipRenderer):
            name = slugify(f"{template.name} {template.version}".replace(".", "-")) or "template"
            response["Content-Disposition"] = f'attachment; filename="{name}.zip"'
        return response
