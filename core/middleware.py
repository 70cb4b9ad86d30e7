"""What every request gets: an identifier, a context for the audit log, and an answer while the database is away."""

import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, cast

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from core import audit
from core.api.problems import OUT_OF_REACH, unavailable
from core.ids import uuid7

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address, as seen by the outermost proxy that is trusted (``TRUSTED_PROXY_COUNT``)."""
    hops = [*request.META.get("HTTP_X_FORWARDED_FOR", "").split(","), request.META.get("REMOTE_ADDR", "")]
    hops = [hop.strip() for hop in hops if hop.strip()]
    candidate = hops[-1 - settings.TRUSTED_PROXY_COUNT :][:1]
    with suppress(ValueError):
        return str(ip_address(candidate[0])) if candidate else None
    return None


def request_id_of(request: HttpRequest) -> str:
    """Return the request's identifier: the client's ``X-Request-ID`` where it is well-formed, else a new one."""
    if not hasattr(request, "request_id"):
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = given if REQUEST_ID.fullmatch(given) else str(uuid7())  # type: ignore[attr-defined]
    return request.request_id  # type: ignore[attr-defined]


def audit_fields(request: HttpRequest) -> dict[str, Any]:
    """Return what the audit context knows of any request."""
    return {
        "source": request.path_info.strip("/").partition("/")[0] or "web",
        "request_id": request_id_of(request),
        "ip_address": client_address(request),
        "user_agent": request.META.get("HTTP_USER_AGENT", "").replace("\0", "")[: audit.USER_AGENT_LENGTH],
    }


JSON_POLICY = "default-src 'none'; frame-ancestors 'none'"


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """The pages' policy on pages; on JSON and protobuf, which load nothing, that nothing may load."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Set the header."""
        if response.get("Content-Type", "").endswith(("json", "protobuf")):
            response.setdefault("Content-Security-Policy", JSON_POLICY)
            return response
        return super().process_response(request, response)


class SessionMiddleware(sessions.SessionMiddleware):
    """Django's sessions; where one can't be kept because the database is away, the answer is 503."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve the request with its session."""
        try:
            return cast(HttpResponseBase, super().__call__(request))  # a coroutine only under ASGI
        except OUT_OF_REACH as error:
            return unavailable(request, error)


ASKS_NOTHING = ("/health", "/api/agents/health")


class RequestContextMiddleware:
    """Opens the request's audit context, and answers 503 where the database is away.

    Stands after AuthenticationMiddleware. The API's authentication amends the context later.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve the request inside its context."""
        with audit.context(**audit_fields(request)):
            try:
                name_user(request)
            except OUT_OF_REACH as error:
                return unavailable(request, error)
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer what a view failed with, if it is that the database went away."""
        return unavailable(request, exception) if isinstance(exception, OUT_OF_REACH) else None


def name_user(request: HttpRequest) -> None:
    """Tell the audit context who is logged in. Health is for nobody, and may not need the database to begin."""
    if request.path_info.startswith(ASKS_NOTHING):
        return
    if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
        audit.amend(user=request.user.pk, email=getattr(request.user, "email", ""))
