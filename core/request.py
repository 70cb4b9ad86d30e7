"""The request that the server makes of what a client sends."""

import codecs
from typing import Any

from django.core.handlers.wsgi import WSGIRequest, get_bytes_from_wsgi
from django.http import QueryDict

CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16", "utf-16-le", "utf-16-be"})
"""The names, as codecs knows them, of the charsets that a body may be in; Python has others that make no text."""


def parameters_of(request: Any) -> QueryDict:
    """Return the parameters of a request's query string, which is UTF-8 (RFC 3986, section 2.5)."""
    return QueryDict(get_bytes_from_wsgi(request.environ, "QUERY_STRING", ""), encoding="utf-8")


class Request(WSGIRequest):
    """Django's request, of which Django would decode the query string by the charset of the body.

    The same address would mean this or that, and a charset that makes no text would end with 500.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        self.__dict__["GET"] = None  # or else it would be made as soon as the body's charset is known
        super().__init__(environ)
        self.__dict__["GET"] = parameters_of(self)
        charset = self.encoding
        if charset is not None and codecs.lookup(charset).name not in CHARSETS:
            self.__dict__["_encoding"] = None
