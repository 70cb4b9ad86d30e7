"""Filters by query parameters.

A filter that nothing knows is refused, and so is a value that none can be: a misspelt one would answer with everything,
or with nothing, and look right.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import orjson
from django import forms
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import QuerySet
from django_filters import BooleanFilter
from django_filters import rest_framework as django_filters
from django_filters.utils import get_model_field
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from core.search import matching

LIST_PARAMETERS = frozenset({"limit", "cursor", "count", "ordering", "fields", "format"})


class FilterBackend(django_filters.DjangoFilterBackend):
    """django-filter's backend, without its form: filters are made once, and know nothing of a request."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:  # type: ignore[override]
        """Return the rows that the parameters ask for."""
        filterset_class = self.get_filterset_class(view, queryset)
        known = filterset_class.base_filters if filterset_class else {}
        names = {each: _filter_name(each, known) for each in request.query_params if each not in LIST_PARAMETERS}
        if unknown := [parameter for parameter, name in names.items() if name is None]:
            raise ValidationError(dict.fromkeys(unknown, "There is no such parameter."), "unknown")
        if not names:
            return queryset
        filters = _filters(filterset_class)
        errors: dict[str, Any] = {}
        for name in dict.fromkeys(filter(None, names.values())):
            field = filters[name].field
            try:
                value = field.clean(field.widget.value_from_datadict(request.query_params, {}, name))
            except DjangoValidationError as error:
                errors[name] = error.messages
            else:
                queryset = filters[name].filter(queryset, value)
        if errors:
            raise ValidationError(errors)
        return queryset


def _filter_name(parameter: str, known: dict[str, Any]) -> str | None:
    """Return the filter a parameter belongs to: ranges take ``…_min``, ``…_max``, ``…_after``, ``…_before``."""
    if parameter in known:
        return parameter
    stem, _, suffix = parameter.rpartition("_")
    return stem if stem in known and suffix in {"min", "max", "after", "before"} else None


@cache
def _filters(filterset_class: Any) -> dict[str, Any]:
    """Return the filters of a filter set, ready for use: to make them at each request costs more than the query."""
    model = filterset_class._meta.model
    filters = filterset_class(queryset=model._default_manager.none()).filters
    for each in filters.values():
        _be_strict(each, model)
        assert each.field  # made when first asked for; here, before threads share it
    return filters


def _be_strict(each: Any, model: Any) -> None:
    """Make a filter refuse what its field can't be; django-filter's own take what isn't a boolean for no filter."""
    vars(each).pop("_field", None)  # made by who asked before, as the OpenAPI document does, it would stay as lax
    if isinstance(each, BooleanFilter):
        each.field_class = _BooleanFormField  # type: ignore[assignment]
        each.extra.pop("widget", None)
    elif choices := _choices(each, model):
        if isinstance(each, django_filters.ChoiceFilter):
            each.extra["error_messages"] = {"invalid_choice": f"“%(value)s” is none of: {', '.join(choices)}."}
        else:
            each.extra["validators"] = [_one_of(choices)]


def _choices(each: Any, model: Any) -> list[str]:
    """Return the words that a filter's field can be, where these are few."""
    if not isinstance(each, django_filters.CharFilter | django_filters.ChoiceFilter):
        return []
    field = get_model_field(model, each.field_name or "")
    return [str(word) for word, _ in getattr(field, "choices", None) or ()]


class _BooleanFormField(forms.Field):
    """``true`` or ``false``, or 1 or 0; the empty text is no filter."""

    widget = forms.TextInput

    def to_python(self, value: str | None) -> bool | None:
        """Return what is meant; ValidationError when it is neither."""
        match (value or "").lower():
            case "":
                return None
            case "true" | "1":
                return True
            case "false" | "0":
                return False
        raise DjangoValidationError("This must be true or false.", "invalid")


def _one_of(words: Sequence[str]) -> Callable[[str], None]:
    """Return the validator that refuses what is none of the words."""

    def check(value: str) -> None:
        if value not in words:
            raise DjangoValidationError(f"“{value[:100]}” is none of: {', '.join(words)}.", "invalid_choice")

    return check


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


class _HexFormField(forms.RegexField):
    def __init__(self, *, size: int, **options: Any) -> None:
        message = f"This must be {2 * size} hexadecimal digits."
        super().__init__(rf"^[0-9a-fA-F]{{{2 * size}}}\Z", error_messages={"invalid": message}, **options)


class HexFilter(django_filters.Filter):
    """``?trace_id=4bf9…``: bytes, of which the parameter is the hexadecimal text; ``size`` says how many."""

    field_class = _HexFormField


class RecordFilterSet(django_filters.FilterSet):
    """What every record can be filtered by: the time it was created, and last changed."""

    created_at = django_filters.IsoDateTimeFromToRangeFilter()
    updated_at = django_filters.IsoDateTimeFromToRangeFilter()
