"""Reads whose rows PostgreSQL renders.

The serializer is the one source of truth: from its declared fields follows an expression that makes each row's
JSON inside the database, so that a list is one query whose text passes through to the client. Only fields whose
DRF class is in the table below, exactly and not by inheritance, can be derived. A serializer with any other
field must say so (``ordinary_fields`` in its Meta; a system check asks for it), and is then read the ordinary
way, instance by instance.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Expression, F, Func, JSONField, OuterRef, TextField, Value, When
from django.db.models.functions import Cast
from rest_framework import relations, serializers

PAIRS_A_CALL = 50  # PostgreSQL takes at most 100 arguments a call


class JSONBuildObject(Func):
    """``json_build_object``, which keeps the order of the keys."""

    function = "json_build_object"
    output_field = JSONField()

    def __init__(self, **pairs: Any) -> None:
        super().__init__(*(part for name, value in pairs.items() for part in (Value(name, TextField()), value)))


class _JSONBObject(Func):
    function = "jsonb_build_object"
    output_field = JSONField()


class _Merge(Func):
    template = "(%(expressions)s)"
    arg_joiner = " || "
    output_field = JSONField()


class _ArrayToJSON(Func):
    function = "array_to_json"
    output_field = JSONField()


class _AsText(Func):
    """json as text: the cast stops psycopg from parsing what is to pass through."""

    template = "(%(expressions)s)::text"
    output_field = TextField()


def _plain(path: str, field: serializers.Field) -> Any:
    return F(path)


def _decimal(path: str, field: serializers.Field) -> Any:
    return Cast(F(path), TextField())


def _slug_related(path: str, field: serializers.Field) -> Any:
    return F(f"{path}__{field.slug_field}")  # type: ignore[attr-defined]


@cache
def derivations() -> dict[type, Callable[[str, serializers.Field], Any]]:
    """Return, for each derivable class of field, how its expression follows from its source."""
    from core.api.serializers import OrganizationRelatedField

    plain: Iterable[type] = (
        serializers.BigIntegerField,
        serializers.BooleanField,
        serializers.CharField,
        serializers.ChoiceField,
        serializers.DateTimeField,
        serializers.DateField,
        serializers.EmailField,
        serializers.FloatField,
        serializers.IntegerField,
        serializers.IPAddressField,
        serializers.JSONField,
        serializers.ListField,
        serializers.ModelField,
        serializers.MultipleChoiceField,
        serializers.RegexField,
        serializers.SlugField,
        serializers.URLField,
        serializers.UUIDField,
        relations.PrimaryKeyRelatedField,
        OrganizationRelatedField,
    )
    return dict.fromkeys(plain, _plain) | {
        serializers.DecimalField: _decimal,
        relations.SlugRelatedField: _slug_related,
    }


def underivable(serializer: serializers.BaseSerializer) -> list[str]:
    """Return the names of the readable fields that no expression follows from."""
    names = []
    for name, field in _readable(serializer):
        nested = field.child if isinstance(field, serializers.ListSerializer) else field
        if isinstance(nested, serializers.ModelSerializer):
            names += [f"{name}.{inner}" for inner in underivable(nested)]
        elif type(field) not in derivations():
            names.append(name)
    return names


def row_text(serializer: serializers.BaseSerializer) -> Expression:
    """Return the expression that renders one row as the serializer would, as JSON text."""
    return _AsText(_row(serializer, ""))


def _readable(serializer: serializers.BaseSerializer) -> list[tuple[str, serializers.Field]]:
    fields: dict[str, serializers.Field] = serializer.fields  # type: ignore[attr-defined]
    return [(name, field) for name, field in fields.items() if not field.write_only]


def _row(serializer: serializers.BaseSerializer, prefix: str) -> Expression:
    pairs = {name: _expression(field, prefix) for name, field in _readable(serializer)}
    if len(pairs) <= PAIRS_A_CALL:
        return JSONBuildObject(**pairs)
    flat = [part for name, value in pairs.items() for part in (Value(name, TextField()), value)]
    step = 2 * PAIRS_A_CALL
    return _Merge(*(_JSONBObject(*flat[start : start + step]) for start in range(0, len(flat), step)))


def _expression(field: serializers.Field, prefix: str) -> Any:
    path = prefix + str(field.source).replace(".", "__")
    if isinstance(field, serializers.ListSerializer):
        return _nested_rows(field.child, path)
    if isinstance(field, serializers.ModelSerializer):
        nested = _row(field, f"{path}__")
        return Case(When(**{f"{path}__isnull": False}, then=nested), default=None) if field.allow_null else nested
    return derivations()[type(field)](path, field)


def _nested_rows(serializer: Any, path: str) -> Expression:
    """Return the JSON array of the rows that refer to the outer row, in their model's ordering."""
    relation = serializer.parent.parent.Meta.model._meta.get_field(path)
    rows = serializer.Meta.model._base_manager.filter(**{relation.field.name: OuterRef("pk")})
    ordering = serializer.Meta.model._meta.ordering
    return _ArrayToJSON(ArraySubquery(rows.order_by(*ordering).values_list(_row(serializer, ""))))
