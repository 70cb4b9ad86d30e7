"""Reads whose rows PostgreSQL renders.

The serializer is the one source of truth: from its declared fields follows an expression that makes each row's
JSON inside the database, so that a list is one query whose text passes through to the client. Only fields whose
DRF class is in the table below, exactly and not by inheritance, can be derived. A serializer with any other
field must say so (``ordinary_fields`` in its Meta; a system check asks for it), and is then read the ordinary
way, instance by instance.
"""

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import F, Func, JSONField, Model, OuterRef, Subquery, TextField, UUIDField
from django.db.models.expressions import Combinable, RawSQL
from django.db.models.functions import Cast, Coalesce
from rest_framework import relations, serializers

from core.api.serializers import HexField, OrganizationRelatedField

PAIRS_A_CALL = 50  # PostgreSQL takes at most 100 arguments a call
ARGUMENTS_A_CALL = 100
NARROWINGS = 500  # how many ways to ask for some fields are remembered


class _Name(Func):
    """The name of a field, as a literal: text without a parameter."""

    template = "'%(name)s'"

    def __init__(self, name: str) -> None:
        assert name.isidentifier(), f"{name!r} can't be the name of a field"
        super().__init__(name=name, output_field=TextField())


class JSONBuildObject(Func):
    """``json_build_object``, which keeps the order of the keys."""

    function = "json_build_object"
    output_field = JSONField()

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        super().__init__(*(part for name, value in pairs for part in (_Name(name), value)))


class _JSONBObject(JSONBuildObject):
    function = "jsonb_build_object"


class _Merge(Func):
    template = "(%(expressions)s)"
    arg_joiner = " || "
    output_field = JSONField()


class _ArrayToJSON(Func):
    function = "array_to_json"
    output_field = JSONField()


class _Literal(Func):
    """Text without a parameter: punctuation and names of fields, of which none needs to be escaped."""

    template = "'%(text)s'"

    def __init__(self, text: str) -> None:
        assert "'" not in text and "%" not in text, f"{text!r} can't be a literal"  # noqa: PT018
        super().__init__(text=text, output_field=TextField())


class _Concat(Func):
    """``concat``, which takes null for nothing; in two storeys, because it takes no more than so many arguments."""

    function = "concat"
    output_field = TextField()

    def __init__(self, *parts: Any) -> None:
        if len(parts) > ARGUMENTS_A_CALL:
            starts = range(0, len(parts), ARGUMENTS_A_CALL)
            parts = tuple(_Concat(*parts[start : start + ARGUMENTS_A_CALL]) for start in starts)
        super().__init__(*parts)


class _Quoted(Func):
    """A value that needs no escaping, in quotes: a third of the time that JSON functions take to find that out."""

    template = "('\"' || (%(expressions)s)::text || '\"')"
    output_field = TextField()


class _Bare(Func):
    """A value whose text is its JSON."""

    template = "(%(expressions)s)::text"
    output_field = TextField()


class _Escaped(Func):
    """Any value, as JSON."""

    template = "to_json(%(expressions)s)::text"
    output_field = TextField()


Derivation = Callable[[type[Model], str, serializers.Field], Any]


def _value(model: type[Model], path: str) -> Combinable:
    """Return the expression of a column, which may be of a row that the model's own row refers to."""
    name, _, rest = path.partition("__")
    field: Any = model._meta.get_field(name)
    if not rest:
        return F(field.attname)
    return _referred(field, _value(field.related_model, rest))


def _referred(field: Any, expression: Any) -> Subquery:
    """Return ``expression`` over the row that the foreign key ``field`` refers to."""
    rows = field.related_model._base_manager.filter(pk=OuterRef(field.attname))
    return Subquery(rows.order_by().values_list(expression))


def _plain(model: type[Model], path: str, field: serializers.Field) -> Any:
    return _value(model, path)


def _decimal(model: type[Model], path: str, field: serializers.Field) -> Any:
    return Cast(_value(model, path), TextField())


def _hexadecimal(model: type[Model], path: str, field: serializers.Field) -> Any:
    return Func(_value(model, path), template="encode(%(expressions)s, 'hex')", output_field=TextField())


def _slug_related(model: type[Model], path: str, field: serializers.Field) -> Any:
    return _value(model, f"{path}__{field.slug_field}")  # type: ignore[attr-defined]


@cache
def derivations() -> dict[type, Derivation]:
    """Return, for each derivable class of field, how its expression follows from its source."""
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
        HexField: _hexadecimal,
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


def is_ordinary(serializer: Any) -> bool:
    """Tell whether a field that was asked for is one that PostgreSQL can't render."""
    return any(name in serializer.fields for name in getattr(serializer.Meta, "ordinary_fields", ()))


def row_text(serializer: Any) -> RawSQL:
    """Return the SQL that renders one row as the serializer would, as JSON text.

    It holds for querysets of the serializer's model, and is worked out once: to have Django translate some forty
    expressions at each request takes longer than PostgreSQL takes to answer.
    """
    serializer_class: Any = type(serializer)
    return _row_sql(serializer_class, getattr(serializer, "only", None))


@lru_cache(maxsize=NARROWINGS)
def _row_sql(serializer_class: Any, only: frozenset[str] | None) -> RawSQL:
    serializer = serializer_class(only=only) if only else serializer_class()
    return translate(serializer.Meta.model, _text(serializer))


def translate(model: type[Model], expression: Any) -> RawSQL:
    """Return the SQL of an expression that gives text, and that needs no table but the model's own."""
    query = model._base_manager.all().query
    sql, parameters = query.get_compiler(connection=connection).compile(expression.resolve_expression(query))
    joined = [alias for alias, count in query.alias_refcount.items() if count][1:]
    assert not joined, f"The SQL of a row stands on its own table alone, not on {joined}."
    return RawSQL(sql, parameters, output_field=TextField())  # noqa: S611 (made by Django, of no input)


def _readable(serializer: serializers.BaseSerializer) -> list[tuple[str, serializers.Field]]:
    fields: dict[str, serializers.Field] = serializer.fields  # type: ignore[attr-defined]
    return [(name, field) for name, field in fields.items() if not field.write_only]


def _text(serializer: Any) -> Func:
    """Return the JSON of a row, put together as text: in two thirds of the time that ``json_build_object`` takes."""
    model = serializer.Meta.model
    parts: list[Any] = []
    for name, field in _readable(serializer):
        assert name.isidentifier(), f"{name!r} can't be the name of a field"
        value, nullable = _expression(model, field), _is_nullable(model, field)
        text = _form(model, field)(value)
        parts += [_Literal(f'{"," if parts else "{"}"{name}":'), Coalesce(text, _Literal("null")) if nullable else text]
    return _Concat(*parts, _Literal("}"))


def _form(model: type[Model], field: serializers.Field) -> type[Func]:
    """Return how the text of the field's value becomes JSON."""
    if isinstance(field, serializers.BaseSerializer | serializers.JSONField | serializers.IntegerField):
        return _Bare
    if isinstance(field, serializers.UUIDField | serializers.DecimalField | HexField):
        return _Quoted
    is_reference = isinstance(field, relations.PrimaryKeyRelatedField)
    return _Quoted if is_reference and isinstance(_column(model, field)[0].target_field, UUIDField) else _Escaped


def _is_nullable(model: type[Model], field: serializers.Field) -> bool:
    if isinstance(field, serializers.ListSerializer):
        return False
    if isinstance(field, relations.SlugRelatedField):
        return True
    column, is_own = _column(model, field)
    return column.null or column.generated or not is_own


def _column(model: type[Model], field: serializers.Field) -> tuple[Any, bool]:
    """Return the column that the field shows, and whether it is the model's own."""
    path = str(field.source).split(".")
    for name in path[:-1]:
        model = model._meta.get_field(name).related_model  # type: ignore[assignment]
    return model._meta.get_field(path[-1]), len(path) == 1


def _row(serializer: Any) -> Func:
    model = serializer.Meta.model
    pairs = [(name, _expression(model, field)) for name, field in _readable(serializer)]
    if len(pairs) <= PAIRS_A_CALL:
        return JSONBuildObject(pairs)
    return _Merge(*(_JSONBObject(pairs[start : start + PAIRS_A_CALL]) for start in range(0, len(pairs), PAIRS_A_CALL)))


def _expression(model: type[Model], field: serializers.Field) -> Any:
    path = str(field.source).replace(".", "__")
    if isinstance(field, serializers.ListSerializer):
        return _nested_rows(model, field.child, path)
    if isinstance(field, serializers.ModelSerializer):
        return _referred(model._meta.get_field(path), _row(field))
    return derivations()[type(field)](model, path, field)


def _nested_rows(model: type[Model], serializer: Any, path: str) -> Func:
    """Return the JSON array of the rows that refer to the outer row, in their model's ordering."""
    relation: Any = model._meta.get_field(path)
    rows = serializer.Meta.model._base_manager.filter(**{relation.field.name: OuterRef("pk")})
    ordering = serializer.Meta.model._meta.ordering
    return _ArrayToJSON(ArraySubquery(rows.order_by(*ordering).values_list(_row(serializer))))
