"""Lists and details: what a viewset asks the database, worked out once for each shape of request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import DecimalField, F, QuerySet
from django.http import HttpRequest, QueryDict
from rest_framework.exceptions import APIException

from core.api.authentication import PREFIX_HERE
from core.api.entity_tags import entity_tag
from core.api.filters import FilterBackend
from core.api.pagination import KeysetPagination, Page
from core.api.readpath import is_ordinary, row_text, row_version
from core.api.serializers import RecordSerializer
from core.api.shortcut.gate import DIGEST_HERE, Credentials, Statement, follows, gate, stand_in
from core.api.viewsets import ListMixin, RecordViewSet, RetrieveMixin, SoftDeletionMixin, page_text
from core.connections import native_cursor
from core.observability.context import identify

ROW_HERE = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")
ORDINARY_PARAMETERS = {"count", "format"}
ONE = """
SELECT "allowed"."organization_id"::text, "answer".*
  FROM "allowed" CROSS JOIN LATERAL ({rows}) AS "answer" ("text", "version")
"""
PAGE = """
SELECT "allowed"."organization_id"::text, "answer".* FROM "allowed" CROSS JOIN LATERAL (
    SELECT coalesce(string_agg("row"."text", ',') FILTER (WHERE "row"."number" <= {limit}), ''),
           max({place}) FILTER (WHERE "row"."number" = 1 AND {continued}),
           max({place}) FILTER (WHERE "row"."number" = {limit}),
           coalesce(max("row"."number"), 0) > {limit}
      FROM (SELECT "found".*, row_number() OVER () FROM ({rows}) AS "found") AS "row" ("text", {keys}, "number")
) AS "answer"
"""
KIT = {
    name: getattr(RecordViewSet, name)
    for name in (
        "dispatch",
        "initial",
        "filter_queryset",
        "get_read_serializer",
        "get_serializer_context",
        "read_page",
        "read_tagged",
        "render_one",
        "authentication_classes",
        "permission_classes",
        "renderer_classes",
        "throttle_classes",
    )
} | {"pagination_class": KeysetPagination, "filter_backends": [FilterBackend]}


@dataclass(frozen=True, slots=True)
class Read:
    """What requests of one shape ask; without a ``page``, one row."""

    statement: Statement
    serializer: RecordSerializer
    allow: str
    page: Page | None

    def content(
        self, request: HttpRequest, credentials: Credentials, pk: UUID | None
    ) -> tuple[bytes, dict[str, str]] | None:
        """Return the body of the answer and its own headers, if the key is good for it and there is an answer."""
        own = (pk,) if self.page is None else ()
        with native_cursor() as cursor:
            cursor.execute(self.statement.sql, self.statement.bind(credentials.prefix, credentials.digest, *own))
            found = cursor.fetchone()
        if found is None:
            return None
        organization, *row = found
        identify(organization=organization, key_prefix=credentials.prefix)
        if self.page is None:
            tag = entity_tag(self.serializer, *row)
            return row[0].encode(), {"ETag": tag} if tag else {}
        text, first, last, more = row
        address = f"{request.scheme}://{request.get_host()}{request.path}"
        return page_text(text, *self.page.neighbours(address, first, last, more=more)), {}


def read_of(route: Any, parameters: QueryDict) -> Read | None:
    """Return what the viewset of a route asks for a GET with these query parameters; None where the short way can't go.

    It can't where the viewset has a way of its own, where PostgreSQL doesn't render the rows, where a parameter
    is wrong, and where what is asked depends on anything but the request: the time, or the database.
    """
    if not follows_the_kit(route) or not parameters.keys().isdisjoint(ORDINARY_PARAMETERS):
        return None
    connection = connections[DEFAULT_DB_ALIAS]
    connection.ensure_connection()  # a process's first asks for types of its own, which would be refused
    try:
        with connection.execute_wrapper(_refuse):
            first, second = (_translate(route, parameters) for _ in range(2))
    except (_AsksTheDatabaseError, APIException, EmptyResultSet):
        return None
    return first if first and second and first.statement == second.statement else None


def follows_the_kit(route: Any) -> bool:
    """Tell whether the viewset's list or detail is the kit's own, in all that it is made of."""
    view_class, action = route.cls, route.actions.get("get")
    own: dict[str, Any] = {"list": ListMixin.list, "retrieve": RetrieveMixin.retrieve}
    ways = (RecordViewSet.get_queryset, SoftDeletionMixin.get_queryset)
    return action in own and follows(view_class, {**KIT, action: own[action]}) and view_class.get_queryset in ways


class _AsksTheDatabaseError(Exception):
    """Working out what to ask asks the database itself."""


def _refuse(execute: Callable[..., Any], sql: Any, *rest: Any) -> NoReturn:
    raise _AsksTheDatabaseError(sql)


def _translate(route: Any, parameters: QueryDict) -> Read | None:
    view = stand_in(route, "GET", parameters)
    serializer = view.get_read_serializer()
    if is_ordinary(serializer):
        return None
    rows: QuerySet = view.get_queryset()
    page: Page | None = None
    marks: tuple[Any, ...] = (PREFIX_HERE, DIGEST_HERE)
    if view.action == "list":
        page = view.paginator.outline(view.filter_queryset(rows), view.request, view)
        if page.backwards:
            return None
        rows = page.rows.values_list(row_text(serializer), *(F(key.field.attname) for key in page.keys))
    else:
        rows = rows.filter(pk=ROW_HERE).order_by().values_list(row_text(serializer), row_version(rows))
        marks = (*marks, ROW_HERE)
    gate_sql, gate_values = gate(view, "GET")
    rows_sql, values = rows.query.sql_with_params()
    shape = _page_shape(page) if page else ONE
    statement = Statement.of(gate_sql + shape.format(rows=rows_sql), (*gate_values, *values), marks)
    return Read(statement, serializer, ", ".join(view.allowed_methods), page)


def _page_shape(page: Page) -> str:
    """Return the statement around a page's rows, which become one text; their places are told where one is needed."""
    names = [f'"key_{number}"' for number in range(len(page.keys))]
    values = [
        f'"row".{name}::text' if isinstance(key.field, DecimalField) else f'"row".{name}'
        for name, key in zip(names, page.keys, strict=True)
    ]
    return PAGE.format(
        limit=page.limit,
        keys=", ".join(names),
        place=f"json_build_array({', '.join(values)})::text",
        continued=page.cursor is not None,
        rows="{rows}",
    )
