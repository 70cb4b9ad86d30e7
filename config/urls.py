"""Where every address of Muster leads."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.defaults import page_not_found
from django.views.defaults import server_error as server_error_page
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from agents.api.urls import urlpatterns as agents_urls
from agents.telemetry.views import traces
from catalog.api.urls import router as catalog_router
from core.api import problems
from core.api.schema_view import SchemaView
from core.api.urls import router as core_router
from core.observability.views import metrics
from core.urls import health_urls
from knowledge.api.urls import urlpatterns as knowledge_urls

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include(core_router.urls)),
    path("api/v1/", include(agents_urls)),
    path("api/v1/", include(catalog_router.urls)),
    path("api/v1/", include(knowledge_urls)),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(template_name="core/swagger_ui.html"), name="docs"),
    path("api/problems/<slug:code>/", problems.kind, name="problem"),
    path("api/agents/", include((health_urls, "agents-health"))),
    path("v1/traces", traces, name="otlp-traces"),
    path("api/<path:rest>", problems.not_found, name="not-found"),
    path("", include(health_urls)),
    path("metrics", metrics, name="metrics"),
]


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown address: programs by a problem, people by a page."""
    if request.path.startswith("/api/"):
        return problems.not_found(request, exception)
    return page_not_found(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer a failure of the program."""
    return problems.server_error(request) if request.path.startswith("/api/") else server_error_page(request)
