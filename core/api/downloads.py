"""Downloads of any size: streamed, resumable (RFC 9110, section 14), and never rendered in this origin."""

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotModified, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header
from rest_framework.exceptions import APIException
from rest_framework.negotiation import BaseContentNegotiation

from core.api.entity_tags import PreconditionFailed
from core.connections import lend_back

CHUNK = 256 * 1024
# Media types of what browsers run or draw with scripts in it. They travel as plain bytes.
ACTIVE = re.compile(r"html|xml|svg|script|pdf|flash|x-shockwave", re.IGNORECASE)
RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})", re.IGNORECASE)


class RangeNotSatisfiable(APIException):
    """416: no byte of what is asked for exists."""

    status_code = 416
    default_code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"There are {size} bytes.")
        self.extra_headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}


class AnyMediaType(BaseContentNegotiation):
    """Lets a client accept whatever it likes: a download has the type that it has. Errors are problems as ever."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        """Return the first parser."""
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


class _Pieces:
    """The next ``length`` bytes of a file, piece by piece; closing closes the file, even if none was read."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self.file = file
        self.left = length

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self.file.read(min(CHUNK, self.left)) if self.left else b""
        if not piece:
            raise StopIteration
        self.left -= len(piece)
        return piece

    def close(self) -> None:
        self.file.close()


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the number of bytes that a Range header asks for.

    None for one to be ignored: malformed, of another unit, or of several ranges (RFC 9110, 14.2, allows that).
    Raises RangeNotSatisfiable.
    """
    match = RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        start, end = max(size - int(match[2]), 0), size - 1
    else:
        start, end = int(match[1]), min(int(match[2] or size), size - 1)
        if match[2] and int(match[2]) < start:
            return None
    if start > end:
        raise RangeNotSatisfiable(size)
    return start, end - start + 1


def download(
    request: HttpRequest,
    *,
    name: str,
    size: int,
    sha256: str,
    content_type: str,
    open_at: Callable[[int, int], BinaryIO],
) -> HttpResponseBase:
    """Answer with a content, or with the range of it that is asked for.

    ``open_at(start, length)`` opens the content at a byte, to be read from there. The digest is the entity tag, so
    that a download which broke off can go on where it ended, and none goes on in another content.
    """
    etag = f'"{sha256}"'
    conditional = get_conditional_response(request, etag=etag)
    if isinstance(conditional, HttpResponseNotModified):
        return _with_headers(conditional, name, etag)
    if conditional is not None:
        raise PreconditionFailed("The content isn't the one that If-Match names.")
    asked = None
    if request.method == "GET" and request.headers.get("If-Range", etag).strip() == etag:
        asked = requested_range(request.headers.get("Range", ""), size)
    start, length = asked or (0, size)
    head = request.method == "HEAD"
    pieces: Any = () if head else _Pieces(open_at(start, length), length)
    shown_type = "application/octet-stream" if ACTIVE.search(content_type) else content_type
    response = StreamingHttpResponse(pieces, status=206 if asked else 200, content_type=shown_type)
    response["Content-Length"] = str(length)
    if asked:
        response["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    lend_back()
    return _with_headers(response, name, etag)


def _with_headers(response: HttpResponseBase, name: str, etag: str) -> HttpResponseBase:
    filename = re.sub(r"[\x00-\x1f\x7f/\\]", "_", name)
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=filename)
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "private, no-cache"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    return response
