"""What the project is made of, found by looking: models, addresses and endpoints, so that tests miss none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework import serializers

from core.api.viewsets import RecordViewSet

PK = re.compile(r"<\w+:pk>")  # whatever forms of a key the address takes, a record's own is among them
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@cache
def our_models() -> list[type[models.Model]]:
    """Return the models of the project's own apps."""
    return [
        model
        for app in apps.get_app_configs()
        if Path(app.path).parent == Path(settings.BASE_DIR)
        for model in app.get_models()
    ]


@dataclass(frozen=True)
class Route:
    """An address below ``/api/``: its template, its view, and what each method does there."""

    template: str
    view: Any
    methods: tuple[str, ...]
    viewset: type[RecordViewSet] | None
    actions: tuple[tuple[str, str], ...] = ()

    @property
    def model(self) -> type[models.Model]:
        """Return the model whose rows the address serves."""
        assert self.viewset is not None, f"{self.template} serves no records."
        return self.viewset.queryset.model

    @property
    def is_list(self) -> bool:
        """Tell whether the address answers a page of records."""
        return ("get", "list") in self.actions

    @property
    def is_detail(self) -> bool:
        """Tell whether the address names one record."""
        return PK.search(self.template) is not None

    def path(self, pk: Any = None) -> str:
        """Return the address, for the record ``pk`` where it names one."""
        return PK.sub(str(pk), self.template)

    def __str__(self) -> str:
        return self.template


def _walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in resolver.url_patterns:
        address = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, address)
        else:
            yield address, pattern


@cache
def api_routes() -> list[Route]:
    """Return every address below ``/api/``, whatever serves it."""
    routes = []
    for address, pattern in _walk(get_resolver(), "/"):
        if not address.startswith("/api/"):
            continue
        view = pattern.callback
        actions = tuple(sorted((getattr(view, "actions", None) or {}).items()))
        methods = tuple(method.upper() for method, _ in actions if method != "head") or ("GET",)
        viewset = getattr(view, "cls", None)
        is_records = isinstance(viewset, type) and issubclass(viewset, RecordViewSet)
        routes.append(Route(address, view, methods, viewset if is_records else None, actions))
    return routes


@cache
def list_routes() -> list[Route]:
    """Return the addresses of lists of records."""
    return [route for route in api_routes() if route.is_list]


def read_serializer_class(viewset: Any) -> type[serializers.ModelSerializer]:
    """Return the serializer that the answers of a viewset are made of."""
    return getattr(viewset, "read_serializer_class", None) or viewset.serializer_class


def shown_models(serializer: Any) -> Iterator[type[models.Model]]:
    """Yield the models whose rows a serializer shows: its own, and those nested in it."""
    yield serializer.Meta.model
    for field in serializer.fields.values():
        nested = getattr(field, "child", field)
        if isinstance(nested, serializers.ModelSerializer):
            yield from shown_models(nested)
