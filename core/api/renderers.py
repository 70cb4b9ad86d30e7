"""JSON in and out, fast."""

from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.serializers.json import DjangoJSONEncoder
from rest_framework import renderers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 100  # levels of nesting in a body; what reads it later goes down by recursion


class RenderedJSON:
    """JSON that is rendered already, by PostgreSQL, and passes through as it is."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


class JSONRenderer(renderers.BaseRenderer):
    """Renders with orjson; times and ids as RFC 3339 and hexadecimal text."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return the JSON text of ``data``."""
        if isinstance(data, RenderedJSON):
            return data.content
        return b"" if data is None else orjson.dumps(data, default=_default, option=orjson.OPT_NON_STR_KEYS)


def _default(value: Any) -> Any:
    return DjangoJSONEncoder().default(value)


class JSONParser(BaseParser):
    """Parses with orjson: strict JSON, so that no NaN and no lone surrogate gets in."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the parsed body; ParseError says where it breaks, and RequestDataTooBig that it is too long."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        text = stream.read(limit + 1)
        if len(text) > limit:
            raise RequestDataTooBig
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error}") from error
        if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
            raise ParseError(f"The body is nested more than {MAX_DEPTH} levels deep.")
        return value


def _is_deeper(value: Any, limit: int) -> bool:
    """Tell whether arrays and objects are nested more than ``limit`` deep, without being led as deep."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


class BrowsableRenderer(renderers.BrowsableAPIRenderer):
    """The browsable API, without forms that would load every choice of every reference."""

    def get_default_renderer(self, view: Any) -> renderers.BaseRenderer:
        """Return the renderer of the content shown."""
        return _IndentedJSONRenderer()

    def show_form_for_method(self, view: Any, method: str, request: Any, obj: Any) -> bool:
        """Show no forms: Swagger UI serves for trying out."""
        return False


class _IndentedJSONRenderer(JSONRenderer):
    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        plain = super().render(data, accepted_media_type, renderer_context)
        return orjson.dumps(orjson.loads(plain), option=orjson.OPT_INDENT_2) if plain else plain
