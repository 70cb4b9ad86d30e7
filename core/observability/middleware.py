"""The outermost layer: names each request, and when it is answered, counts it and logs a line."""

import logging
import re
import time
from collections.abc import Callable
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.middleware import request_id_of
from core.observability.context import RequestNames, current
from core.observability.metrics import count_request

logger = logging.getLogger("muster.access")

CONVERTER = re.compile(r"<\w+:(\w+)>")
UNMATCHED = "unmatched"


class ObservabilityMiddleware:
    """Names the request (``X-Request-ID``, taken from the client where it is well-formed), times and counts it.

    Stands before all others, so that their answers too are named and counted.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.static = f"/{settings.STATIC_URL.strip('/')}/"

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve the request, and tell of it."""
        began = time.perf_counter()
        request_id = request_id_of(request)
        names = RequestNames(request_id)
        request.names = names  # type: ignore[attr-defined]
        token = current.set(names)
        try:
            response = self.get_response(request)
            response.headers["X-Request-ID"] = request_id
            self.tell(request, response, time.perf_counter() - began)
        finally:
            current.reset(token)
        return response

    def tell(self, request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
        """Count the request, and log its line."""
        route, method, status = self.route_of(request), request.method, response.status_code
        count_request(route, method, status, seconds)
        if settings.ACCESS_LOG and logger.isEnabledFor(logging.INFO):
            milliseconds = round(seconds * 1000, 2)
            told = {"method": method, "route": route, "status": status, "duration_ms": milliseconds}
            logger.info("%s %s %s %.1f ms", method, route, status, milliseconds, extra={"told": told})

    def route_of(self, request: HttpRequest) -> str:
        """Return the pattern of the request's address."""
        known: str | None = getattr(request, "route", None)  # which the short way sets: it doesn't resolve
        if known is not None:
            return known
        if request.resolver_match is not None:
            return pattern(request.resolver_match.route)
        return self.static if request.path_info.startswith(self.static) else UNMATCHED


@lru_cache(maxsize=1024)
def pattern(route: str) -> str:
    """Return a route as people write it: ``/api/v1/tasks/<pk>/``."""
    return "/" + CONVERTER.sub(r"<\1>", route)
