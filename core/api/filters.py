"""Filters by query parameters. One that nothing knows is refused: a misspelt filter would answer with everything."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from django.db.models import QuerySet
from django_filters import rest_framework as django_filters
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from core.search import matching

LIST_PARAMETERS = frozenset({"limit", "cursor", "count", "ordering", "fields", "format"})


class FilterBackend(django_filters.DjangoFilterBackend):
    """django-filter's backend, which builds only the filters that a request uses."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:  # type: ignore[override]
        """Return the rows that the parameters ask for."""
        filterset_class = self.get_filterset_class(view, queryset)
        known = filterset_class.base_filters if filterset_class else {}
        asked = [name for name in request.query_params if name not in LIST_PARAMETERS]
        if unknown := [name for name in asked if _filter_name(name, known) is None]:
            raise ValidationError(dict.fromkeys(unknown, "There is no such parameter."), "unknown")
        if not asked:
            return queryset
        used = frozenset(filter(None, (_filter_name(name, known) for name in asked)))
        filterset = _narrowed(filterset_class, used)(request.query_params, queryset=queryset, request=request)
        if not filterset.is_valid():
            raise ValidationError(filterset.errors)
        return filterset.qs


def _filter_name(parameter: str, known: dict[str, Any]) -> str | None:
    """Return the filter a parameter belongs to: ranges take ``…_min``, ``…_max``, ``…_after``, ``…_before``."""
    if parameter in known:
        return parameter
    stem, _, suffix = parameter.rpartition("_")
    return stem if stem in known and suffix in {"min", "max", "after", "before"} else None


@cache
def _narrowed(filterset_class: type, used: frozenset[str]) -> type:
    """Return the filter set with only the filters in use: building them all costs more than the query."""
    narrowed = type(filterset_class.__name__, (filterset_class,), {})
    narrowed.base_filters = {name: f for name, f in filterset_class.base_filters.items() if name in used}  # type: ignore[attr-defined]
    return narrowed


class CharInFilter(django_filters.BaseInFilter, django_filters.CharFilter):
    """``?status=paid,shipped``: any of the words."""


class JSONContainsFilter(django_filters.CharFilter):
    """``?attributes={"color":"red"}``: the JSON object contains this one."""

    def filter(self, qs: QuerySet, value: str | None) -> QuerySet:
        """Return the rows whose object contains ``value``; ValidationError when that isn't a JSON object."""
        if not value:
            return qs
        try:
            part = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise ValidationError({str(self.field_name): f"This is not JSON: {error}"}) from error
        if not isinstance(part, dict) or "\\u0000" in value:
            raise ValidationError({str(self.field_name): "This must be a JSON object without null characters."})
        return qs.filter(**{f"{self.field_name}__contains": part})


class SearchFilter(django_filters.CharFilter):
    """``?search=``: each word occurs in one of ``fields``, which have a trigram index (see core.search)."""

    def __init__(self, fields: Sequence[str], **options: Any) -> None:
        self.fields = fields
        options.setdefault("help_text", f"Words that occur in {' or '.join(fields)}.")
        super().__init__(**options)

    def filter(self, qs: QuerySet, value: str | None) -> QuerySet:
        """Return the rows that match."""
        return matching(qs, value, self.fields) if value else qs


class RecordFilterSet(django_filters.FilterSet):
    """What every record can be filtered by: the time it was created, and last changed."""

    created_at = django_filters.IsoDateTimeFromToRangeFilter()
    updated_at = django_filters.IsoDateTimeFromToRangeFilter()
