"""What a database holds, in a form that can be compared with another one's.

Rows are told by their number and a digest: the sum of a 64-bit hash of each row's text, computed in the database, so
their order doesn't matter. It finds accidents, not forgery. Definitions are told by a digest of PostgreSQL's own words.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from psycopg import Connection, sql

from core.backup.definitions import DEFINITIONS

# A row's text mustn't depend on who asks. Names are written with their schema where none is searched.
SESSION = {
    "search_path": "",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
}
# What neither PostgreSQL nor an extension brings.
OURS = """n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT FROM pg_depend d
                       WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""
TABLES = f"""
    SELECT n.nspname, c.relname, c.relpersistence = 'u', pg_table_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND {OURS}"""
SEQUENCES = f"""
    SELECT n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND {OURS}"""
# The alias is nobody's column.
DIGEST = """
    SELECT count(*), coalesce(sum(hashtextextended("the row"::text, 0)), 0)::text FROM ONLY {table} AS "the row"
"""
CAST = re.compile(
    r"::(character varying|timestamp with(out)? time zone|time with(out)? time zone|double precision|bit varying"
    r'|(\w+|"[^"]+")(\.(\w+|"[^"]+"))?)(\(\d+(, ?\d+)?\))?(\[\])*'
)


class Rows(NamedTuple):
    """How many rows a table has, and the digest of them."""

    number: int
    digest: str


@dataclass(frozen=True)
class Contents:
    """What a database holds.

    Args:
        major: the server's major version.
        tables: the rows of each table, by its name with its schema.
        unlogged: the tables whose rows aren't looked at, nor backed up.
        sequences: by name, the last value at the beginning of the look and at its end.
        definitions: by kind and name, a digest of each definition.
    """

    major: int
    tables: dict[str, Rows]
    unlogged: list[str]
    sequences: dict[str, tuple[int, int]]
    definitions: dict[str, dict[str, str]]

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` takes."""
        return {**asdict(self), "tables": {name: rows._asdict() for name, rows in self.tables.items()}}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Contents":
        """Return the contents that a manifest tells of. Raises KeyError or TypeError for anything else."""
        return cls(
            major=given["major"],
            tables={name: Rows(**rows) for name, rows in given["tables"].items()},
            unlogged=given["unlogged"],
            sequences={name: (low, high) for name, (low, high) in given["sequences"].items()},
            definitions=given["definitions"],
        )


def look(direct: Connection[Any], *, seen: Callable[[str, int], None]) -> Contents:
    """Return what the database holds now; in a transaction of one snapshot, what that shows.

    Args:
        direct: a connection to it. Its settings of how values are written change.
        seen: is told of each table, with its size in bytes, once its rows are digested.
    """
    for name, value in SESSION.items():
        direct.execute("SELECT set_config(%s, %s, false)", [name, value])
    before = last_values(direct)
    tables, unlogged = {}, []
    for schema, table, is_unlogged, size in direct.execute(TABLES).fetchall():
        if is_unlogged:
            unlogged.append(f"{schema}.{table}")
        else:
            row = direct.execute(sql.SQL(DIGEST).format(table=sql.Identifier(schema, table))).fetchone()
            assert row is not None
            tables[f"{schema}.{table}"] = Rows(*row)
        seen(f"{schema}.{table}", size)
    definitions = {
        kind: {name: _digest(text) for name, text in sorted(direct.execute(query).fetchall())}
        for kind, query in DEFINITIONS.items()
    }
    after = last_values(direct)
    return Contents(
        major=direct.info.server_version // 10000,
        tables=tables,
        unlogged=unlogged,
        sequences={name: (value, after.get(name, value)) for name, value in before.items()},
        definitions=definitions,
    )


def last_values(direct: Connection[Any]) -> dict[str, int]:
    """Return by its name where each sequence stands now, whatever the snapshot: twice its last value, one less where
    that wasn't handed out yet.
    """
    values = {}
    for schema, name in direct.execute(SEQUENCES).fetchall():
        query = sql.SQL("SELECT 2 * last_value::numeric - (NOT is_called)::int FROM {}")
        row = direct.execute(query.format(sql.Identifier(schema, name))).fetchone()
        assert row is not None
        values[f"{schema}.{name}"] = int(row[0])
    return values


def _digest(definition: str) -> str:
    """Return a digest of a definition, equal for one that PostgreSQL printed and read back.

    It prints conditions with more casts and parentheses than it read, so both are left out.
    """
    return hashlib.sha256(re.sub(r"[\s()]", "", CAST.sub("", definition)).encode()).hexdigest()[:32]


def differences(wanted: Contents, found: Contents) -> Iterator[str]:
    """Yield a line for each thing in which a restored database differs from the one that was backed up.

    Between major versions of PostgreSQL, which put definitions into other words, only their names are compared.
    """
    for name in sorted(wanted.tables.keys() | found.tables.keys()):
        yield from _rows_differ(name, wanted.tables.get(name), found.tables.get(name))
    for name in sorted(set(wanted.unlogged) ^ set(found.unlogged)):
        yield f"The unlogged table {name} is {'missing' if name in wanted.unlogged else 'there, and was not'}."
    for name, (low, high) in sorted(wanted.sequences.items()):
        value = found.sequences.get(name, (None, None))[0]
        if value is None:
            yield f"The sequence {name} is missing."
        elif not min(low, high) <= value <= max(low, high):
            yield f"The sequence {name} stands at {(value + 1) // 2}, and should at {(high + 1) // 2}."
    for kind in sorted(wanted.definitions.keys() | found.definitions.keys()):
        before, after = wanted.definitions.get(kind, {}), found.definitions.get(kind, {})
        for name in sorted(before.keys() | after.keys()):
            if name not in after:
                yield f"The {kind} {name} is missing."
            elif name not in before:
                yield f"The {kind} {name} is there, and was not."
            elif before[name] != after[name] and wanted.major == found.major:
                yield f"The {kind} {name} is defined otherwise."


def _rows_differ(name: str, wanted: Rows | None, found: Rows | None) -> Iterator[str]:
    if found is None:
        yield f"The table {name} is missing."
    elif wanted is None:
        yield f"The table {name} is there, and was not."
    elif found.number != wanted.number:
        yield f"The table {name} has {found.number:,} rows, and should have {wanted.number:,}."
    elif found.digest != wanted.digest:
        yield f"The rows of {name} differ from those that were backed up."
