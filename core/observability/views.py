"""``/metrics``, for Prometheus."""

import hmac
import os
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from core.api import problems
from core.observability.collectors import DatabaseCollector
from core.observability.metrics import REGISTRY
from core.observability.sharing import VARIABLE, is_running


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer the metrics of all of this server's processes, to staff and to whoever knows ``METRICS_TOKEN``."""
    if not may_read(request):
        response = problems.problem_response(
            request,
            problems.UNAUTHORIZED,
            "not_authenticated",
            "Send METRICS_TOKEN as a bearer token, or log in as staff.",
        )
        response["WWW-Authenticate"] = 'Bearer realm="Muster metrics"'
        return response
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry()), content_type=content_type)


def may_read(request: HttpRequest) -> bool:
    """Tell whether the request comes with the token, or from staff. Whoever sends a token is judged by it alone."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme:
        expected = settings.METRICS_TOKEN
        known = bool(expected) and hmac.compare_digest(token.strip().encode(), expected.encode())
        return scheme.lower() == "bearer" and known
    return request.user.is_active and request.user.is_staff


def registry() -> CollectorRegistry:
    """Return what there is to tell."""
    collected = CollectorRegistry()
    collected.register(DatabaseCollector())
    folder = os.environ.get(VARIABLE)
    if folder is None:
        collected.register(REGISTRY)
        return collected
    for file in Path(folder).glob("gauge_live*.db"):
        process = int(file.stem.rpartition("_")[2])
        if not is_running(process):
            with suppress(FileNotFoundError):  # another process, which is read at the same time, was quicker
                mark_process_dead(process, folder)
    MultiProcessCollector(collected, folder)
    return collected
