"""Exports: a whole list as CSV or as JSON lines, streamed, whatever its length.

The rows are read page by page, each page beginning where the last one ended (see core.api.pagination). Between two
pages an export holds no connection to the database, so that a slow client keeps none from others, and no more than
one page is in memory.
"""

import csv
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from typing import Any

import msgspec
import orjson
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from core.api.pagination import Key, after, values_of
from core.api.problems import problem
from core.api.renderers import JSONRenderer
from core.connections import lend_back
from core.middleware import JSON_POLICY

FIRST_ROWS = 200
MOST_ROWS = 2_000
PAGE_CHARACTERS = 1_000_000  # what a page is to hold: rows may be of a hundred characters, or of a hundred thousand
PAGED = ("limit", "cursor", "count")  # parameters that only pages have

# What spreadsheets take for the beginning of a formula (OWASP, “CSV Injection”). A plain number is none.
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

BROKEN_OFF = "This export broke off here: rows are missing."

Fetch = Callable[[QuerySet, Sequence[Key]], list[tuple[str, str]]]


class ExportRenderer(JSONRenderer, ABC):
    """A form in which lists are exported. What it renders itself are errors: problems, as ever."""

    @abstractmethod
    def lines(self, names: Sequence[str], pages: Iterator[list[str]]) -> Iterator[str]:
        """Yield the text of the pages' rows, which are JSON objects of the fields ``names``."""

    @abstractmethod
    def broken_off(self, request: HttpRequest) -> str:
        """Return the last line of an export that breaks off: one that nobody takes for a row."""


class CSVRenderer(ExportRenderer):
    """Comma-separated values (RFC 4180): a header, and a line a row."""

    media_type = "text/csv"
    format = "csv"

    def lines(self, names: Sequence[str], pages: Iterator[list[str]]) -> Iterator[str]:
        """Yield the header, and then each page's lines."""
        yield _csv([names])
        decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
        for page in pages:
            rows = map(decoder.decode, page)
            yield _csv([_cell(row[name]) for name in names] for row in rows)

    def broken_off(self, request: HttpRequest) -> str:
        """Return a line of one cell."""
        return _csv([[BROKEN_OFF]])


class NDJSONRenderer(ExportRenderer):
    """JSON lines: an object a line."""

    media_type = "application/x-ndjson"
    format = "ndjson"

    def lines(self, names: Sequence[str], pages: Iterator[list[str]]) -> Iterator[str]:
        """Yield each page's lines."""
        for page in pages:
            yield "".join(f"{row}\n" for row in page)

    def broken_off(self, request: HttpRequest) -> str:
        """Return a problem."""
        return f"{orjson.dumps(problem(request, 500, 'broken_off', BROKEN_OFF)).decode()}\n"


class Negotiation(DefaultContentNegotiation):
    """Lets ``?format=`` choose how a list is answered, whatever the client says that it accepts."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        """Return the renderer that is asked for; ValidationError names the formats there are."""
        asked = request.query_params.get("format")
        if asked is None or not any(isinstance(each, ExportRenderer) for each in renderers):
            return super().select_renderer(request, renderers, format_suffix)
        formats = {each.format: each for each in renderers}
        if asked not in formats:
            raise ValidationError({"format": f"Choose among {', '.join(sorted(formats))}."}, "invalid_choice")
        return formats[asked], formats[asked].media_type


def export(view: Any, rows: QuerySet, serializer: Any) -> HttpResponseBase:
    """Answer all of ``rows`` that ``view`` lists, as the request's renderer writes them.

    The first page is read before the answer begins, so that what is refused is refused as of any list. Where it breaks
    off later, the status is long sent, and servers end the body as if it were whole: its last line says that it isn't.
    """
    request: Request = view.request
    if given := [name for name in PAGED if name in request.query_params]:
        raise ValidationError(dict.fromkeys(given, "An export is of all rows; leave this out."), "invalid")
    renderer: Any = request.accepted_renderer
    keys = view.paginator.keys(rows, request, view)
    pages = _pages(rows, keys, lambda queryset, keys: view.read_page(queryset, serializer, keys))
    begun = _begun(pages)
    names = [name for name, field in serializer.fields.items() if not field.write_only]
    content: Any = () if request.method == "HEAD" else _told(request, renderer, renderer.lines(names, begun))
    response = StreamingHttpResponse(content, content_type=f"{renderer.media_type}; charset=utf-8")
    plural = request.path.rstrip("/").rpartition("/")[2]
    name = f"{plural}-{timezone.now():%Y%m%dT%H%M%SZ}.{renderer.format}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "private, no-store"
    response["Content-Security-Policy"] = JSON_POLICY
    return response


def _told(request: Request, renderer: ExportRenderer, lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines; and where no more can be had, one that tells so, before the error goes on to the log."""
    try:
        yield from lines
    except Exception:
        yield renderer.broken_off(request._request)
        raise


def _pages(rows: QuerySet, keys: Sequence[Key], fetch: Fetch) -> Iterator[list[str]]:
    """Yield the text of all rows, page by page, each of about as many characters."""
    ordered = rest = rows.order_by(*(key.order_by() for key in keys))
    size = FIRST_ROWS
    while True:
        page = fetch(rest[:size], keys)
        lend_back()
        if page:
            yield [text for text, _ in page]
        if len(page) < size:
            return
        rest = ordered.filter(after(keys, values_of(page[-1][1], keys)))
        characters = sum(len(text) for text, _ in page)
        size = min(MOST_ROWS, max(1, PAGE_CHARACTERS * len(page) // characters))


def _begun(pages: Iterator[list[str]]) -> Iterator[list[str]]:
    """Return the same pages, of which the first is read now."""
    first = next(pages, None)

    def all_of_them() -> Iterator[list[str]]:
        if first is not None:
            yield first
        yield from pages

    return all_of_them()


def _csv(lines: Any) -> str:
    text = StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()


def _cell(raw: msgspec.Raw) -> str:
    """Return what stands in a cell for a value that is JSON: null is nothing, and arrays and objects stay JSON."""
    value = bytes(raw).decode()
    if value == "null":
        return ""
    text: str = msgspec.json.decode(raw) if value.startswith('"') else value
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text
