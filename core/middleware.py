"""What every request gets: an identifier, and a context for the audit log."""

import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from core import audit
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
    """The pages' policy on pages; on JSON, which loads nothing, that nothing may load."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Set the header."""
        if response.get("Content-Type", "").endswith("json"):
            response.setdefault("Content-Security-Policy", JSON_POLICY)
            return response
        return super().process_response(request, response)


class RequestContextMiddleware:
    """Names the request (``X-Request-ID``, taken from the client where it is well-formed) and opens its audit context.

    Stands after AuthenticationMiddleware. The API's authentication amends the context later.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve the request inside its context."""
        with audit.context(**audit_fields(request)):
            if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
                audit.amend(user=request.user.pk, email=getattr(request.user, "email", ""))
            response = self.get_response(request)
        response["X-Request-ID"] = request_id_of(request)
        return response
