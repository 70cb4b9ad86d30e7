"""Who may go the short way: what is the same in each of its statements, and what a request brings to it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import UUIDField
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from psycopg.sql import Literal

from core.api.authentication import KEY_COLUMNS, LAST_USED_PRECISION, Principal, key_query
from core.api.permissions import requirements
from core.models import Role
from core.models.api_keys import digest_of, parse_key

DIGEST_HERE = f"<digest {uuid4()}>"  # a mark that no client can give for a value

# Digests are compared where they lie. How long that takes tells a stranger at most how a digest begins, and none can
# choose a secret by its digest. A use that must be noted first (once a minute) is the ordinary way's.
GATE = """
WITH "key" ({columns}) AS MATERIALIZED ({found}),
"allowed" AS MATERIALIZED (
    SELECT "key"."organization_id"{also} FROM "key"
     WHERE "key"."email" IS NOT NULL AND "key"."plan_tier" IS NOT NULL AND "key"."digest" = %s
       AND %s = ANY ("key"."scopes") AND "key"."role" = ANY (%s) AND "key"."last_used_at" > statement_timestamp() - %s
)
"""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request proves itself by."""

    prefix: str
    digest: str

    @classmethod
    def of(cls, request: HttpRequest) -> "Credentials | None":
        """Return the request's API key, if it carries one."""
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        parsed = parse_key(text) if scheme == "Bearer" else None
        return cls(parsed[0], digest_of(parsed[1])) if parsed else None


def gate(view: Any, method: str, also: str = "") -> tuple[str, tuple[Any, ...]]:
    """Return the beginning of a statement, and its parameters: one row of ``allowed``, if the key is good for it.

    ``also`` is SQL of further columns of that row. Customers see less than others, and go the ordinary way.
    """
    found, values = key_query()
    scope, least = requirements(view, method)
    roles = [role.value for role in Role if role.includes(least) and role != Role.CUSTOMER]
    columns = ", ".join(f'"{name}"' for name in KEY_COLUMNS)
    sql = GATE.format(columns=columns, found=found, also=also)
    return sql, (*values, DIGEST_HERE, scope, roles, LAST_USED_PRECISION)


def stand_in(route: Any, method: str, parameters: Any) -> Any:
    """Return the viewset as REST framework makes it, for a request of the organization that the gate lets in."""
    view = route.cls(**route.initkwargs)
    actions = {**route.actions, "head": route.actions["get"]} if "get" in route.actions else route.actions
    for each, action in actions.items():
        setattr(view, each, getattr(view, action))
    view.action, view.kwargs, view.format_kwarg = actions[method.lower()], {}, None
    organization: Any = RawSQL('"allowed"."organization_id"', [], output_field=UUIDField())
    nobody: Any = None
    principal = Principal(organization_id=organization, role=Role.OWNER, user_id=nobody)
    view.request = SimpleNamespace(method=method, query_params=parameters, auth=principal, user=nobody)
    return view


class InlinedSql(str):
    """A statement with values in its text; ``without_values`` is for logs, which hold none."""

    without_values: str

    def __new__(cls, sql: str, without_values: str) -> "InlinedSql":
        """Make the text that PostgreSQL gets, and remember the other."""
        made = super().__new__(cls, sql)
        made.without_values = without_values
        return made


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement, and in which order the values that a request brings go into it.

    All other values stand in its text. PostgreSQL then knows them when it plans, so that the plan it keeps is as good
    as one made anew for each request, which would take longer than to run it.
    """

    sql: "InlinedSql"
    order: tuple[int, ...]

    @classmethod
    def of(cls, sql: str, parameters: Sequence[Any], marks: Sequence[Any]) -> "Statement":
        """Return the statement, in PostgreSQL's own notation; ``marks`` stand where a request's values go."""
        connection = connections[DEFAULT_DB_ALIAS]
        connection.ensure_connection()
        order: list[int] = []
        values = iter(parameters)

        def place(found: re.Match[str]) -> str:
            if found[0] == "%%":
                return "%"
            value = next(values)
            if isinstance(value, str | UUID) and value in marks:
                order.append(marks.index(value))
                return f"${len(order)}"
            return Literal(value).as_string(connection.connection)

        return cls(InlinedSql(re.sub("%[s%]", place, sql), sql), tuple(order))

    def bind(self, *values: Any) -> list[Any]:
        """Return the parameters of a request: its own values, given in the order of the marks."""
        return [values[place] for place in self.order]


def follows(view_class: Any, kit: dict[str, Any]) -> bool:
    """Tell whether a class has these attributes, and no others in their place."""
    return all(getattr(view_class, name, None) == own for name, own in kit.items())
