"""The address of the OpenAPI document. Apart from core.api.schema, which drf-spectacular's own views import."""

from functools import cache
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


@cache
def schema_text(renderer: type[BaseRenderer]) -> bytes:
    """Return the schema as a renderer writes it. It is the same for everybody, and takes seconds to work out."""
    text = renderer().render(SchemaGenerator().get_schema(public=True), renderer_context={})
    return text.encode() if isinstance(text, str) else bytes(text)


class SchemaView(SpectacularAPIView):
    """The OpenAPI schema, as YAML or JSON, made once a process."""

    schema = None  # it doesn't tell of itself

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer the schema."""
        renderer: Any = request.accepted_renderer
        kind: Any = type(renderer)
        headers = {"Content-Disposition": f'inline; filename="muster.{renderer.format}"'}
        return HttpResponse(schema_text(kind), content_type=renderer.media_type, headers=headers)
