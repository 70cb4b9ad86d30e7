"""Keyset pages: a page begins where the last one ended, however deep and whatever is written meanwhile.

A cursor holds the values of the whole ordering, the primary key last, so that rows which tie on all else still
have a place. Page 2,000 costs what page 1 costs, since the index leads there.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import (
    BooleanField,
    DecimalField,
    Expression,
    F,
    Field,
    Func,
    Model,
    Q,
    QuerySet,
    TextField,
    Value,
)
from django.db.models.functions import Cast
from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request

from core.api.parameters import words_parameter
from core.api.readpath import translate

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
COUNTED_EXACTLY = 1_000  # rows; more than these are estimated where an estimate will do

Row = TypeVar("Row")


class _Tuple(Func):
    template = "(%(expressions)s)"


class _TupleCompare(Func):
    """A comparison of rows as wholes, which PostgreSQL answers from an index over the same columns."""

    template = "%(expressions)s"
    output_field = BooleanField()
    conditional = True

    def __init__(self, left: Sequence[Any], operator: str, right: Sequence[Any]) -> None:
        super().__init__(_Tuple(*left, output_field=BooleanField()), _Tuple(*right, output_field=BooleanField()))
        self.arg_joiner = f" {operator} "


@dataclass(frozen=True)
class Key:
    """One term of an ordering."""

    name: str
    field: Field
    descending: bool

    def reversed(self) -> "Key":
        """Return the term for reading backwards."""
        return Key(self.name, self.field, not self.descending)

    def order_by(self) -> Any:
        """Return the term for ``order_by``. Null counts as greatest, as PostgreSQL has it."""
        return F(self.name).desc() if self.descending else F(self.name).asc()

    def equals(self, value: Any) -> Q:
        """Return the condition that a row ties with ``value``."""
        return Q(**{f"{self.name}__isnull": True}) if value is None else Q(**{self.name: value})

    def follows(self, value: Any) -> Q | None:
        """Return the condition that a row comes after ``value``, or None where none can."""
        if value is None:
            return Q(**{f"{self.name}__isnull": False}) if self.descending else None
        if self.descending:
            return Q(**{f"{self.name}__lt": value})
        after = Q(**{f"{self.name}__gt": value})
        return after | Q(**{f"{self.name}__isnull": True}) if self.field.null else after


class _Place(Func):
    """A row's place in an ordering, as JSON text: most rows' is never looked at, so it isn't worth parsing."""

    template = "json_build_array(%(expressions)s)::text"
    output_field = TextField()


@lru_cache(maxsize=1_000)
def place(model: type[Model], keys: tuple[Key, ...]) -> Expression:
    """Return the values of an ordering, as a JSON array in which decimals are text, lest they become floats."""
    values = (Cast(key.name, TextField()) if isinstance(key.field, DecimalField) else F(key.name) for key in keys)
    return translate(model, _Place(*values))


def place_of(row: Model, keys: Sequence[Key]) -> str:
    """Return what ``place`` gives, of an instance."""
    return orjson.dumps([getattr(row, key.field.attname) for key in keys], default=str).decode()


@dataclass(frozen=True)
class Cursor:
    """A place in an ordering, and the direction to read from there."""

    values: list[Any]
    backwards: bool

    def encode(self, keys: Sequence[Key]) -> str:
        """Return the cursor as it stands in an address."""
        order = ",".join(f"{'-' * key.descending}{key.name}" for key in keys)
        parts = orjson.dumps([order, self.backwards, self.values], default=str)
        return base64.urlsafe_b64encode(parts).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, keys: Sequence[Key]) -> "Cursor":
        """Return the cursor of ``text``; ValidationError when it isn't one, or one of another ordering."""
        try:
            order, backwards, parts = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            if order != ",".join(f"{'-' * key.descending}{key.name}" for key in keys):
                raise ValidationError({"cursor": "This cursor belongs to another ordering."}, "invalid")
            values = _values(parts, keys)
        except (ValueError, TypeError, binascii.Error, DjangoValidationError) as error:
            raise ValidationError({"cursor": "This is no cursor; take it from “next” or “previous”."}) from error
        return cls(values, bool(backwards))


def values_of(place: str, keys: Sequence[Key]) -> list[Any]:
    """Return the values of the ``place`` of a row, for ``after``."""
    return _values(orjson.loads(place), keys)


def _values(parts: Sequence[Any], keys: Sequence[Key]) -> list[Any]:
    return [
        None if value is None else key.field.to_python(_storable(value)) for key, value in zip(keys, parts, strict=True)
    ]


def _storable(value: Any) -> Any:
    """Return the value; ValueError where PostgreSQL can't hold it, and so can't compare with it."""
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a null character")
    return value


def after(keys: Sequence[Key], values: Sequence[Any]) -> Q | Expression:
    """Return the condition that a row comes after ``values`` in the ordering of ``keys``."""
    uniform = len({key.descending for key in keys}) == 1
    if uniform and not any(key.field.null for key in keys):
        operator = "<" if keys[0].descending else ">"
        right = [Value(value, output_field=key.field) for key, value in zip(keys, values, strict=True)]
        return _TupleCompare([F(key.name) for key in keys], operator, right)
    condition, ties = Q(pk__in=[]), Q()
    for key, value in zip(keys, values, strict=True):
        follows = key.follows(value)
        if follows is not None:
            condition |= ties & follows
        ties &= key.equals(value)
    return condition


@dataclass(frozen=True)
class Page:
    """A page that is asked for: its rows, and one more that tells whether others follow."""

    rows: QuerySet
    keys: list[Key]
    limit: int
    cursor: Cursor | None
    parameters: QueryDict

    @property
    def backwards(self) -> bool:
        """Tell whether the rows are read from the end of the page to its beginning."""
        return self.cursor is not None and self.cursor.backwards

    def neighbours(
        self, address: str, first: str | None, last: str | None, *, more: bool
    ) -> tuple[str | None, str | None]:
        """Return the addresses of the next and the previous page, where there are such.

        ``first`` and ``last`` are the ``place`` of the page's first and last row; ``more`` says that the reading
        found more rows than the page holds.
        """
        has_next = self.cursor is not None if self.backwards else more
        has_previous = more if self.backwards else self.cursor is not None
        return (
            self._address(address, last, backwards=False) if has_next else None,
            self._address(address, first, backwards=True) if has_previous else None,
        )

    def _address(self, address: str, place: str | None, *, backwards: bool) -> str:
        values = orjson.loads(place) if place else self.cursor.values  # type: ignore[union-attr]
        return f"{address}?{self._other_parameters}cursor={Cursor(values, backwards).encode(self.keys)}"

    @cached_property
    def _other_parameters(self) -> str:
        pairs = [pair for pair in self.parameters.lists() if pair[0] != "cursor"]
        return f"{urlencode(pairs, doseq=True)}&" if pairs else ""


class KeysetPagination(BasePagination):
    """Pages of ``limit`` rows, with the addresses of the next and the previous one."""

    def keys(self, queryset: QuerySet, request: Request, view: Any) -> list[Key]:
        """Return the ordering's terms: what was asked for or the view's own, then the primary key."""
        asked = request.query_params.get("ordering")
        names = [name for name in asked.split(",") if name] if asked else list(view.ordering)
        allowed = {*view.ordering_fields, *(name.lstrip("-") for name in view.ordering)}
        if refused := [name for name in names if name.removeprefix("-") not in allowed]:
            raise ValidationError(
                {"ordering": f"Can't order by {refused[0]!r}; choose among {', '.join(sorted(allowed))}."}
            )
        model: type[Model] = queryset.model
        primary = model._meta.pk.name
        if primary not in {name.lstrip("-") for name in names}:
            names.append(f"-{primary}" if names and names[-1].startswith("-") else primary)
        return [
            Key(name.removeprefix("-"), model._meta.get_field(name.removeprefix("-")), name.startswith("-"))  # type: ignore[arg-type]
            for name in names
        ]

    def page(
        self,
        queryset: QuerySet,
        request: Request,
        view: Any,
        fetch: Callable[[QuerySet, Sequence[Key]], list[tuple[Row, str]]],
    ) -> tuple[list[Row], str | None, str | None]:
        """Return the rows of a page and the addresses of the next and previous ones.

        ``fetch(queryset, keys)`` reads the rows, each with its ``place`` in the ordering.
        """
        page = self.outline(queryset, request, view)
        rows = fetch(page.rows, page.keys)
        more, rows = len(rows) > page.limit, rows[: page.limit]
        if page.backwards:
            rows.reverse()
        first, last = (rows[0][1], rows[-1][1]) if rows else (None, None)
        following, previous = page.neighbours(request.build_absolute_uri(request.path), first, last, more=more)
        return [row for row, _ in rows], following, previous

    def outline(self, queryset: QuerySet, request: Request, view: Any) -> "Page":
        """Return the page that the request asks for, before anything is read."""
        limit = _limit(request)
        keys = self.keys(queryset, request, view)
        text = request.query_params.get("cursor")
        cursor = Cursor.decode(text, keys) if text else None
        backwards = cursor is not None and cursor.backwards
        reading = [key.reversed() for key in keys] if backwards else keys
        if cursor:
            queryset = queryset.filter(after(reading, cursor.values))
        queryset = queryset.order_by(*(key.order_by() for key in reading))
        return Page(queryset[: limit + 1], keys, limit, cursor, request.query_params)

    def count(self, queryset: QuerySet, request: Request) -> int | None:
        """Return the number of rows in all, if the request asks for it, exactly or by an estimate."""
        match request.query_params.get("count"):
            case None:
                return None
            case "exact":
                return queryset.order_by().count()
            case "estimate":
                return _estimate(queryset.order_by().values("pk"))
        raise ValidationError({"count": "Ask for “estimate” or “exact”."})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page for OpenAPI."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": link,
                "previous": link,
                "count": {"type": "integer", "description": "Only where the request asks for it."},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the parameters for OpenAPI."""

        def parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
            return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}

        names = sorted({*view.ordering_fields, *(name.lstrip("-") for name in view.ordering)})
        return [
            parameter("limit", "Rows a page.", type="integer", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
            parameter("cursor", "Where the page begins; taken from “next” or “previous”.", type="string"),
            parameter("count", "Ask for the number of rows in all.", type="string", enum=["estimate", "exact"]),
            words_parameter(
                "ordering",
                f"Joined by commas; “-” begins with the greatest. Default: {','.join(view.ordering)}.",
                [direction + name for name in names for direction in ("", "-")],
            ),
        ]


def _estimate(queryset: QuerySet) -> int:
    """Return the number of rows: exact while they are few, and the planner's estimate beyond that.

    What the planner knows is about the rows of all organizations, so of few rows it would tell how many others have.
    """
    counted = queryset[:COUNTED_EXACTLY].count()
    if counted < COUNTED_EXACTLY:
        return counted
    plan = orjson.loads(queryset.explain(format="json"))
    return max(counted, int(plan[0]["Plan"]["Plan Rows"]))


def _limit(request: Request) -> int:
    text = request.query_params.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT):
        raise ValidationError({"limit": f"Give a whole number from 1 to {MAX_LIMIT}."})
    return int(text)
