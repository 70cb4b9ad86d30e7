"""Many rows, quickly, and what PostgreSQL does to read them.

``fill`` writes rows of any model by one ``INSERT … SELECT``: values follow from the fields, but for what the caller
says of them. Ids follow from model and number, so that references cost nothing: row n of a model refers to a row
whose number ends in the same digit, and the rows that end in 0 are another organization's.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

from tests.kit.database import triggers_off

TENANTS = 10  # the rows whose number this divides are another organization's
NAMES = ("amber", "birch", "cobalt", "dune", "ember", "fjord", "grove", "heath", "iris", "jade")


@dataclass(frozen=True)
class Filling:
    """Rows to be: of what model, how many (a multiple of 10), and what SQL gives the columns that can't be guessed.

    In that SQL, ``n`` is the row's number, from 0.
    """

    model: type[models.Model]
    count: int
    columns: Mapping[str, str]


def identifier(model: type[models.Model], number: str) -> str:
    """Return the SQL of the id of a row of ``model``, of which ``number`` is the SQL."""
    kind = f"{crc32(model._meta.db_table.encode()):08x}"
    return f"('{kind}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"


def fill(fillings: list[Filling], ours: Any, theirs: Any, user: Any) -> None:
    """Write the rows, past triggers and foreign keys, and leave the tables as autovacuum would."""
    counts = {filling.model: filling.count for filling in fillings}
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        for filling in fillings:
            values = dict(_values(filling, counts, ours, theirs, user))
            table = filling.model._meta.db_table
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())}"
                f" FROM generate_series(0, {filling.count - 1}) AS n"
            )
            # What autovacuum would do: empty the lists of entries that GIN indexes haven't taken in yet.
            cursor.execute(
                "SELECT gin_clean_pending_list(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
                " JOIN pg_am ON pg_am.oid = relam WHERE amname = 'gin' AND indrelid = %s::regclass",
                [table],
            )
            cursor.execute(f"ANALYZE {table}")
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")


def _values(
    filling: Filling, counts: Mapping[type[models.Model], int], ours: Any, theirs: Any, user: Any
) -> Iterator[tuple[str, str]]:
    for field in filling.model._meta.concrete_fields:
        if field.generated:
            continue
        if field.column in filling.columns:
            yield field.column, filling.columns[field.column]
        elif field.column == "organization_id":
            yield field.column, f"CASE WHEN n % {TENANTS} = 0 THEN '{theirs.pk}' ELSE '{ours.pk}' END::uuid"
        elif field.primary_key:
            yield field.column, identifier(filling.model, "n")
        elif isinstance(field, models.ForeignKey):
            yield field.column, _reference(field, counts, user)
        else:
            yield field.column, _value(field)


def _reference(field: models.ForeignKey, counts: Mapping[type[models.Model], int], user: Any) -> str:
    target: Any = field.related_model
    if issubclass(type(user), target):
        return f"'{user.pk}'::uuid"
    if target not in counts:
        return "NULL"
    tens = f"(n / {TENANTS} * 7919::bigint) % {counts[target] // TENANTS}"
    return identifier(target, f"n % {TENANTS} + {TENANTS} * ({tens})")


def _value(field: models.Field) -> str:
    """Return the SQL of a value that the field takes."""
    names = f"(ARRAY{list(NAMES)})[1 + n / 7 % {len(NAMES)}]"
    if field.choices:
        words = [value for value, _ in field.flatchoices]
        return f"(ARRAY{words})[1 + n / 3 % {len(words)}]"
    match field:
        case models.DateTimeField() if field.null:
            return "NULL"
        case models.DateTimeField():
            return "now() - n * interval '20 seconds'"
        case models.JSONField() if field.null:
            return "NULL"
        case models.JSONField():
            return "jsonb_build_object('shard', (n % 10)::text, 'host', (n % 1000)::text)"
        case ArrayField():
            return f"ARRAY[{names}, 'tag ' || n % 500]::{field.db_type(connection)}"
        case models.BooleanField():
            return "n % 2 = 0"
        case models.UUIDField():
            return "NULL" if field.null else "gen_random_uuid()"
        case models.FloatField() | models.DecimalField():
            return "NULL" if field.null else "(n % 101) / 101.0"
        case models.IntegerField():
            return "NULL" if field.null else "0"
        case models.TextField() | models.CharField() if field.null:
            return "NULL"
    return f"{names} || ' ' || left(md5(n::text), 8)"


@dataclass(frozen=True)
class Plan:
    """What PostgreSQL did for a statement: how long, in milliseconds, and which tables it read from end to end."""

    sql: str
    milliseconds: float
    scanned: tuple[str, ...]
    tree: str


def plan_of(sql: str, *, limit: float = 0, tries: int = 5) -> Plan:
    """Run a statement, and return how it went.

    Again while it takes longer than ``limit`` milliseconds, and at most ``tries`` times: what is slow once waited for
    the disk or for its neighbours, what is slow each time is slow.
    """
    plan: Any = None
    with connection.cursor() as cursor:
        for _ in range(tries):
            cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}".replace("%", "%%"), [])
            [[answer]] = cursor.fetchall()
            [this] = answer if isinstance(answer, list) else json.loads(answer)
            if plan is None or this["Execution Time"] < plan["Execution Time"]:
                plan = this
            if plan["Execution Time"] <= limit:
                break
    nodes = list(_nodes(plan["Plan"]))
    scanned = tuple(node["Relation Name"] for node in nodes if node["Node Type"].endswith("Seq Scan"))
    tree = " < ".join(f"{node['Node Type']} {node.get('Index Name', '')}".strip() for node in nodes)
    return Plan(sql, plan["Execution Time"], scanned, tree)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", []):
        yield from _nodes(inner)
