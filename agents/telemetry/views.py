"""``POST /v1/traces``: where OpenTelemetry's exporters report.

As the specification of OTLP/HTTP has it (opentelemetry-proto, docs/specification.md): what is answered with 200 is
stored; 429 and 503 ask the client to send the same again later, and anything else not to.
"""

import logging
import time

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.signals import request_finished
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from psycopg_pool import PoolTimeout
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from agents.telemetry import intake, otlp, storage
from agents.telemetry.mapping import map_spans
from agents.telemetry.otlp import Code, ProtocolError
from agents.telemetry.spans import Mapped
from core.api import throttling
from core.api.authentication import KeyAuthentication, Principal
from core.models import Role
from core.models.api_keys import Scope
from core.observability import metrics

logger = logging.getLogger(__name__)

RETRY_AFTER = 2  # seconds

request_finished.connect(storage.analyze_if_grown)


class TelemetryAuthentication(KeyAuthentication):
    """The API's keys, whose telemetry counts apart from their other requests."""

    budget = throttling.TELEMETRY


@csrf_exempt  # a key is no cookie: no other site can make a browser send one
def traces(request: HttpRequest) -> HttpResponse:
    """Take the spans of an ``ExportTraceServiceRequest``, in protobuf or JSON, and store them before answering."""
    content_type = request.headers.get("Content-Type", "")
    try:
        mapped = _take(request, content_type)
    except ProtocolError as error:
        return _refusal(content_type, error)
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        # A line each: in an outage there are as many as clients send.
        logger.warning("Spans were refused for now: %s", " ".join(str(error).split()))
        told = "The database is out of reach; send the same again."
        return _refusal(content_type, ProtocolError(503, Code.UNAVAILABLE, told, RETRY_AFTER))
    body, media_type = otlp.response(content_type, mapped.rejected, "; ".join(mapped.reasons))
    return HttpResponse(body, media_type)


def _take(request: HttpRequest, content_type: str) -> Mapped:
    """Store what the request holds, and return what became of it."""
    if request.method != "POST":
        raise ProtocolError(405, Code.UNIMPLEMENTED, "Spans are reported by POST.")
    principal = _authenticate(request)
    mapped = _decode(request, content_type)
    intake.take(principal.organization_id, mapped)
    metrics.spans.inc(len(mapped.spans))
    metrics.rejected.inc(mapped.rejected)
    return mapped


def _refusal(content_type: str, error: ProtocolError) -> HttpResponse:
    body, media_type = otlp.error_body(content_type, error.code, error.message)
    response = HttpResponse(body, media_type, status=error.status)
    if error.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="Muster"'
    if error.status == 405:
        response["Allow"] = "POST"
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def _authenticate(request: HttpRequest) -> Principal:
    """Return on whose behalf the spans come; ProtocolError unless a key says so that was made for it."""
    try:
        found = TelemetryAuthentication().authenticate(Request(request))
    except AuthenticationFailed as error:
        raise ProtocolError(401, Code.UNAUTHENTICATED, str(error.detail)) from error
    except throttling.QuotaExceeded as error:
        raise ProtocolError(429, Code.RESOURCE_EXHAUSTED, str(error.detail), error.retry_after) from error
    if found is None:
        raise ProtocolError(401, Code.UNAUTHENTICATED, "Send an API key: “Authorization: Bearer <key>”.")
    principal = found[1]
    if not principal.has_scope(Scope.TELEMETRY_WRITE):
        raise ProtocolError(403, Code.PERMISSION_DENIED, f"The API key lacks the scope “{Scope.TELEMETRY_WRITE}”.")
    if not principal.role.includes(Role.MEMBER):
        raise ProtocolError(403, Code.PERMISSION_DENIED, "Reporting takes the role of a member.")
    return principal


def _decode(request: HttpRequest, content_type: str) -> Mapped:
    limit = settings.TELEMETRY_MAX_BYTES
    try:
        body = request.read(limit + 1)
    except (UnreadablePostError, RequestDataTooBig) as error:
        raise ProtocolError(400, Code.INVALID_ARGUMENT, "The body broke off.") from error
    message = otlp.decode(
        body,
        content_type,
        request.headers.get("Content-Encoding", ""),
        limit=limit,
        decompressed_limit=settings.TELEMETRY_MAX_DECOMPRESSED_BYTES,
    )
    return map_spans(message, now_ns=time.time_ns())
