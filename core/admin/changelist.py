"""Lists that are as quick on ten million rows as on ten: keyset pages, estimated or capped counts."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import FieldDoesNotExist
from django.db import connection
from django.db.models import BinaryField, JSONField, Model, QuerySet, TextField
from django.http import HttpRequest
from django.utils.text import capfirst
from rest_framework.exceptions import ValidationError

from core.admin import ordering
from core.api.pagination import Cursor, Key, after

CURSOR = "cursor"
COUNT_CAP = 1_000
DEAR = 100_000  # in the planner's units, of which a second has some hundred thousand
HEAVY = (JSONField, TextField, BinaryField)


@dataclass(frozen=True)
class Count:
    """How many rows there are: exactly, at least (``capped``), or about (``estimated``)."""

    number: int
    capped: bool = False
    estimated: bool = False

    def __str__(self) -> str:
        if self.capped:
            return f"more than {self.number:,}"
        return f"about {self.number:,}" if self.estimated else f"{self.number:,}"


def count(queryset: QuerySet, *, cap: int = COUNT_CAP) -> Count:
    """Count rows without ever reading the whole of a large table.

    Where the queryset is the whole table and the planner takes it for larger than ``cap``, its estimate is
    the answer; likewise where it takes a filter for dear. Else the rows are counted, up to ``cap``.
    """
    if not queryset.query.where:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [queryset.model._meta.db_table]
            )
            estimate = cursor.fetchone()[0]
        if estimate > cap:
            return Count(estimate, estimated=True)
    counted = queryset.order_by().select_related(None).values("pk")[: cap + 1]
    if queryset.query.where:
        plan = orjson.loads(counted.explain(format="json"))[0]["Plan"]
        if plan["Total Cost"] > DEAR:
            return Count(plan["Plans"][0]["Plan Rows"], estimated=True)
    number = counted.count()
    return Count(cap, capped=True) if number > cap else Count(number)


def heavy_fields(model: type[Model], shown: Iterable[str]) -> list[str]:
    """Return the fields that a list doesn't need and that can be large."""
    return [
        field.name for field in model._meta.concrete_fields if isinstance(field, HEAVY) and field.name not in set(shown)
    ]


class RecordChangeList(ChangeList):
    """Django's list with keyset pages in place of numbered ones."""

    model_admin: Any
    list_select_related: Any
    sortable_by: Any
    title: Any
    keys: list[Key]
    next_link: str | None
    previous_link: str | None
    count: Count

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_popup:
            self.title = capfirst(self.opts.verbose_name_plural)

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet:
        """Return the rows asked for, in order, without the columns that the list doesn't show."""
        # The cursor is no filter, and no link but the pages' own carries it on.
        self.params.pop(CURSOR, None)
        self.filter_params.pop(CURSOR, None)
        queryset = super().get_queryset(request, exclude_parameters)
        shown = [*map(str, self.list_display), *self.model_admin.list_keep]
        deferred = heavy_fields(self.model, shown)
        for path in self.list_select_related or ():
            related = self.model
            for part in path.split("__"):
                related = related._meta.get_field(part).related_model  # type: ignore[assignment]
            deferred += [f"{path}__{name}" for name in heavy_fields(related, ())]
        return queryset.defer(*deferred) if deferred else queryset

    def get_ordering(self, request: HttpRequest, queryset: QuerySet) -> list[Any]:
        """Return the ordering: by the column asked for, if an index keeps it, or else the admin's own."""
        self.keys = self._asked_keys(request) or ordering.keys(
            self.model, self.model_admin.get_ordering(request) or ("-pk",)
        )
        return [key.order_by() for key in self.keys]

    def _asked_keys(self, request: HttpRequest) -> list[Key] | None:
        asked = str(self.params.get(ORDER_VAR, "")).split(".")[0]
        number = asked.removeprefix("-")
        if not (number.isascii() and number.isdigit() and int(number) < len(self.list_display)):
            return None
        column = self.list_display[int(number)]
        if column not in self.sortable_by:
            return None
        terms = self.model_admin.get_orders(request)[self.model_admin.order_field(column)]
        return ordering.keys(self.model, terms, reverse=asked.startswith("-") != terms[0].startswith("-"))

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, and find what it takes to leaf on and to tell how many rows there are."""
        text = request.GET.get(CURSOR)
        try:
            cursor = Cursor.decode(text, self.keys) if text else None
        except ValidationError as error:
            raise IncorrectLookupParameters(error) from error
        backwards = cursor is not None and cursor.backwards
        reading = [key.reversed() for key in self.keys] if backwards else self.keys
        queryset = self.queryset
        if cursor:
            queryset = queryset.filter(after(reading, cursor.values))
        queryset = queryset.order_by(*(key.order_by() for key in reading))
        rows = list(queryset[: self.list_per_page + 1])
        more, rows = len(rows) > self.list_per_page, rows[: self.list_per_page]
        if backwards:
            rows.reverse()

        has_next = cursor is not None if backwards else more
        has_previous = more if backwards else cursor is not None
        self.next_link = self._page_link(rows, cursor, backwards=False) if has_next else None
        self.previous_link = self._page_link(rows, cursor, backwards=True) if has_previous else None
        alone = not has_next and not has_previous
        self.count = Count(len(rows)) if alone else count(self.queryset)

        # What Django's own templates and views look at.
        self.result_list = rows
        self.result_count = self.count.number
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.multi_page = not alone
        self.paginator = None

    def _page_link(self, rows: list[Model], cursor: Cursor | None, *, backwards: bool) -> str:
        if rows:
            edge = rows[0] if backwards else rows[-1]
            values = [getattr(edge, key.field.attname) for key in self.keys]
        else:
            values = cursor.values  # type: ignore[union-attr]
        query = {**self.filter_params, CURSOR: Cursor(values, backwards).encode(self.keys)}
        return f"?{urlencode(sorted(query.items()), doseq=True)}"

    @property
    def first_link(self) -> str:
        """Return the address of the first page."""
        return self.get_query_string()


def foreign_keys(model: type[Model], names: Iterable[Any]) -> list[str]:
    """Return those of the names that are foreign keys, for ``select_related``."""
    found = []
    for name in names:
        try:
            field = model._meta.get_field(name)
        except (FieldDoesNotExist, TypeError):
            continue
        if field.many_to_one and field.concrete and name == field.name:
            found.append(name)
    return found
