"""System checks of what the kits promise."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 (Django's name)
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.urls import get_resolver


def check_read_path(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Check that each endpoint's rows are rendered by PostgreSQL, or that its serializer says which field prevents it.

    muster.E001: a field can't be derived, and isn't among the serializer's ``ordinary_fields``.
    muster.E002: an expression follows from the serializer, but it names what the model doesn't have.
    muster.W001: ``ordinary_fields`` names a field that isn't there, or that can be derived after all.
    """
    len(get_resolver().url_patterns)  # imports every endpoint
    return [message for viewset in viewsets() for message in _check_viewset(viewset)]


def viewsets() -> list[type]:
    """Return every viewset of records that is imported and names its records."""
    from core.api.viewsets import RecordViewSet

    found: list[type] = []
    waiting = [RecordViewSet]
    while waiting:
        viewset = waiting.pop()
        waiting += viewset.__subclasses__()
        if viewset.queryset is not None and viewset.serializer_class is not None:
            found.append(viewset)
    return sorted(found, key=lambda viewset: (viewset.__module__, viewset.__qualname__))


def _check_viewset(viewset: Any) -> Iterator[CheckMessage]:
    from core.api.readpath import row_text, underivable

    serializer_class = getattr(viewset, "read_serializer_class", None) or viewset.serializer_class
    serializer = serializer_class()
    declared = set(getattr(serializer_class.Meta, "ordinary_fields", ()))
    found = {name.partition(".")[0] for name in underivable(serializer)}
    if undeclared := sorted(found - declared):
        yield Error(
            f"{serializer_class.__name__} has fields that PostgreSQL can't render: {', '.join(undeclared)}.",
            hint="Use a class of field that core.api.readpath can derive, or name them in Meta.ordinary_fields,"
            " which makes reads slower.",
            obj=viewset,
            id="muster.E001",
        )
    if stale := sorted(declared - found):
        yield Warning(
            f"{serializer_class.__name__} declares ordinary fields without need: {', '.join(stale)}.",
            hint="Take them out of Meta.ordinary_fields: reads become several times quicker.",
            obj=viewset,
            id="muster.W001",
        )
    if not found | declared:
        try:
            viewset.queryset.values_list(row_text(serializer))
        except (FieldDoesNotExist, FieldError) as error:
            yield Error(
                f"{serializer_class.__name__} can't be read: {error}",
                hint="Each field's source is a column, or a path of columns.",
                obj=viewset,
                id="muster.E002",
            )
