"""The router: one flat namespace of plural, hyphenated records."""

from typing import Any, ClassVar

from django.db.models import Model
from django.urls import include, path
from rest_framework.routers import Route, SimpleRouter


class RecordRouter(SimpleRouter):
    """Routes records without PUT, and with path converters, so that a malformed id is an unknown address."""

    viewsets: ClassVar[dict[type[Model], Any]] = {}
    """The viewset of each record that some router serves: how the API shows it."""

    def __init__(self) -> None:
        super().__init__(use_regex_path=False)

    def register(self, prefix: str, viewset: Any, basename: str | None = None) -> None:
        """Serve a record at an address."""
        if (queryset := getattr(viewset, "queryset", None)) is not None:
            self.viewsets.setdefault(queryset.model, viewset)
        super().register(prefix, viewset, basename)

    def get_urls(self) -> list[Any]:
        """Return the addresses, a branch a record: to find one, the other records' actions needn't be tried."""
        return [
            path(f"{prefix}/", include(_Branch(viewset, basename).urls)) for prefix, viewset, basename in self.registry
        ]


class _Branch(SimpleRouter):
    """The addresses of one record, behind its name. The list takes what a detail takes, of many (see core.api.bulk)."""

    def __init__(self, viewset: Any, basename: str) -> None:
        self.routes = [
            route._replace(mapping={**route.mapping, "patch": "partial_update", "delete": "destroy"})
            if isinstance(route, Route) and not route.detail
            else route
            for route in SimpleRouter.routes
        ]
        super().__init__(use_regex_path=False)
        self.register("", viewset, basename)
