"""Which requests go the short way, and how they are answered."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from threading import Lock
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from psycopg.errors import QueryCanceled

from core.api import throttling
from core.api.problems import OUT_OF_REACH, unavailable
from core.api.shortcut.gate import Credentials
from core.api.shortcut.reads import Read, read_of
from core.api.shortcut.writes import LONGEST_BODY, Creation, creation_of

logger = logging.getLogger("muster.shortcut")

ROOT = "/api/v1/"
JSON = "application/json"
MEDIA_TYPES = {None, "", "*/*", JSON}
# What asks for more than the short way knows: a session, another origin's page, a copy that may be good still.
ORDINARY_HEADERS = (
    "HTTP_COOKIE",
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_ORIGIN",
    "HTTP_RANGE",
)
LONGEST_QUERY = 1_000  # characters
REMEMBERED = 500  # shapes, of some kilobytes each

Shape = tuple[str, bool, str]


class ShortcutMiddleware:
    """Answers the requests that need no more than one statement, and hands all others on.

    Stands behind the middleware that sets headers on both ways, and before all others.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.reads = Reads()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request the short way, if it leads to an answer; and tell on both ways how its limits stand."""
        response = self.answer(request) or self.get_response(request)
        throttling.tell(request, response)
        return response

    def answer(self, request: HttpRequest) -> HttpResponse | None:
        """Return the answer of a request that goes the short way and succeeds."""
        meta = request.META
        if (
            not request.path_info.startswith(ROOT)
            or meta.get("HTTP_ACCEPT") not in MEDIA_TYPES
            or any(map(meta.get, ORDINARY_HEADERS))
            or "HTTP_IDEMPOTENCY_KEY" in meta  # an empty one is refused
            or "charset" in meta.get("CONTENT_TYPE", "").lower()  # which Django may read the address by
        ):
            return None
        credentials, place = Credentials.of(request), place_of(request.path_info)
        if credentials is None or place is None:
            return None
        request.get_host()  # refuses a host that isn't ours
        if not is_admitted(request, credentials):
            return None
        plural, row = place
        response = None
        if request.method == "GET":
            response = self.read(request, credentials, plural, row)
        elif request.method == "POST" and row is None:
            response = create(request, credentials, plural)
        if response is not None:  # only then is there such an address
            request.route = f"{ROOT}{plural}/<pk>/" if row else f"{ROOT}{plural}/"  # type: ignore[attr-defined]
        return response

    def read(
        self, request: HttpRequest, credentials: Credentials, plural: str, row: UUID | None
    ) -> HttpResponse | None:
        """Answer a list or a detail."""
        read = None
        try:
            read = self.reads.find(request, plural, row)
            found = read.content(request, credentials, row) if read else None
        except DataError as error:
            logger.debug("The ordinary way says what is wrong with a value: %s", type(error))
            return None
        except OUT_OF_REACH as error:
            if read and isinstance(error.__cause__, QueryCanceled):  # after as long as a statement may take
                return finished(unavailable(request, error), read.allow)
            logger.debug("The ordinary way meets it again, and tells of it: %s", error)
            return None
        if read is None or found is None:
            return None
        return finished(HttpResponse(found[0], content_type=JSON, headers=found[1]), read.allow)


def is_admitted(request: HttpRequest, credentials: Credentials) -> bool:
    """Count the request against its limits; False where one is exceeded, or where they aren't known."""
    try:
        return throttling.admit_known(request, credentials.digest)
    except OUT_OF_REACH as error:
        logger.debug("The ordinary way meets it again, and tells of it: %s", error)
        return False


def create(request: HttpRequest, credentials: Credentials, plural: str) -> HttpResponse | None:
    """Make a record, and answer it."""
    length = request.META.get("CONTENT_LENGTH", "")
    if (
        request.META.get("CONTENT_TYPE") != JSON
        or request.META.get("QUERY_STRING")
        or not (length.isdecimal() and int(length) <= min(LONGEST_BODY, settings.DATA_UPLOAD_MAX_MEMORY_SIZE))
    ):
        return None
    try:
        creation = _creation(plural)
    except OUT_OF_REACH as error:
        logger.debug("The ordinary way meets it again, and tells of it: %s", error)
        return None
    if creation is None:
        return None
    try:
        made = creation.content(request, credentials)
    except OUT_OF_REACH as error:
        # Not the ordinary way, which would write again what may have been written.
        return finished(unavailable(request, error), creation.allow)
    if made is None:
        return None
    response = HttpResponse(made[0], status=201, content_type=JSON, headers=made[1])
    return finished(response, creation.allow)


class Reads:
    """What was worked out before, by shape. A shape that is met once isn't worth keeping."""

    def __init__(self) -> None:
        self.kept: dict[Shape, Read | None] = {}
        self.met: dict[Shape, None] = {}
        self.lock = Lock()

    def find(self, request: HttpRequest, plural: str, row: UUID | None) -> Read | None:
        """Return what the request asks, worked out when its shape is met again; None where the short way can't go."""
        shape = (plural, row is None, request.META.get("QUERY_STRING", ""))
        with suppress(KeyError):  # another thread may forget it meanwhile
            return self.kept[shape]
        if len(shape[2]) > LONGEST_QUERY or (shape[2] and self._is_new(shape)):
            return None
        route = _route(plural, detail=row is not None)
        read = read_of(route, request.GET) if route and "get" in route.actions else None
        with self.lock:
            _keep(self.kept, shape, read)
        return read

    def _is_new(self, shape: Shape) -> bool:
        with self.lock:
            if shape in self.met:
                return False
            _keep(self.met, shape, None)
            return True


def _keep(memory: dict[Shape, Any], shape: Shape, value: Any) -> None:
    """Remember a value, and forget the oldest beyond so many."""
    memory[shape] = value
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]


def place_of(path: str) -> tuple[str, UUID | None] | None:
    """Return the plural that a path names, and the row's id, if it names one; None of another path."""
    match path.removeprefix(ROOT).split("/"):
        case [plural, ""] if plural:
            return plural, None
        case [plural, text, ""] if plural and len(text) == 36:
            try:
                row = UUID(text)
            except ValueError:
                return None
            return (plural, row) if str(row) == text else None
    return None


@lru_cache(maxsize=REMEMBERED)
def _route(plural: str, *, detail: bool) -> Any:
    """Return the view behind the path, if it is a viewset's list or detail."""
    try:
        found = resolve(f"{ROOT}{plural}/{UUID(int=0)}/" if detail else f"{ROOT}{plural}/")
    except Resolver404:
        return None
    known = hasattr(found.func, "actions") and set(found.kwargs) == ({"pk"} if detail else set())
    return found.func if known else None


@lru_cache(maxsize=REMEMBERED)
def _creation(plural: str) -> Creation | None:
    route = _route(plural, detail=False)
    return creation_of(route) if route else None


def finished(response: HttpResponse, allow: str) -> HttpResponse:
    """Set the headers that the ordinary way sets."""
    response["Vary"] = "Accept"
    response["Allow"] = allow
    response["Content-Length"] = str(len(response.content))
    return response
