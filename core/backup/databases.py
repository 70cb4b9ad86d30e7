"""Databases beside a given one: made empty, dropped, and put in its place."""

from typing import Any

import psycopg
from psycopg import Connection, sql

from core.backup.errors import BackupError
from core.backup.place import Place
from core.backup.wording import one_line

NAME_LIMIT = 63  # bytes
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
# Objects that somebody made: neither PostgreSQL nor an extension did.
FOREIGN = r"""
    SELECT what FROM (
        SELECT 'pg_class'::regclass AS catalog, oid, relnamespace AS namespace,
               format('the table %s', oid::regclass) AS what
        FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        UNION ALL
        SELECT 'pg_proc'::regclass, oid, pronamespace, format('the function %s', oid::regprocedure) FROM pg_proc
        UNION ALL
        SELECT 'pg_type'::regclass, oid, typnamespace, format('the type %s', oid::regtype)
        FROM pg_type WHERE typtype IN ('e', 'd')
    ) AS each
    JOIN pg_namespace n ON n.oid = namespace
    WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
      AND NOT EXISTS (SELECT FROM pg_depend d
                       WHERE d.classid = each.catalog AND d.objid = each.oid AND d.deptype = 'e')
    ORDER BY 1 LIMIT 1
"""


def shortened(name: str, ending: str) -> str:
    """Return a database's name with an ending, of which PostgreSQL would cut nothing off."""
    return name.encode()[: NAME_LIMIT - len(ending)].decode(errors="ignore") + ending


def something_in(direct: Connection[Any]) -> str | None:
    """Return what stands in a database, one thing for all; None: it is empty."""
    row = direct.execute(FOREIGN).fetchone()
    return row[0] if row else None


def make_like(place: Place, name: str) -> Place:
    """Make an empty database beside another one, with its encoding and locale.

    Raises:
        BackupError: the role may not make databases.
    """
    with place.connect() as direct:
        row = direct.execute("SELECT to_jsonb(d) FROM pg_database d WHERE datname = current_database()").fetchone()
        assert row is not None
        of = row[0]
        clauses = [
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)),
            sql.SQL("LC_COLLATE {} LC_CTYPE {}").format(of["datcollate"], of["datctype"]),
            sql.SQL("LOCALE_PROVIDER {}").format(sql.SQL(PROVIDERS[of["datlocprovider"]])),
        ]
        if locale := of.get("datlocale") or of.get("daticulocale"):  # as the column is called since version 17
            word = "ICU_LOCALE" if of["datlocprovider"] == "i" else "BUILTIN_LOCALE"
            clauses.append(sql.SQL(word + " {}").format(locale))
        try:
            direct.execute(sql.SQL(" ").join(clauses))
        except psycopg.errors.InsufficientPrivilege as error:
            raise BackupError(
                f"The role {direct.info.user} may not make a database beside {place.name}: ALTER ROLE … CREATEDB."
            ) from error
    return place.beside(name)


def drop(place: Place) -> None:
    """Drop a database, and end its sessions."""
    with _maintenance(place) as direct:
        direct.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(place.name)))


def exchange(place: Place, other: Place, *, kept_as: str) -> None:
    """Give a database's name to another one, and keep it under a third name. Its sessions are ended.

    Raises:
        psycopg.Error: the role may not do so, or a session doesn't end; nothing has changed then.
        BackupError: connections to the former database couldn't be allowed again; with the command that does.
    """
    old, new, kept = map(sql.Identifier, (place.name, other.name, kept_as))
    with _maintenance(place) as direct:
        row = direct.execute("SELECT oid FROM pg_database WHERE datname = %s", [place.name]).fetchone()
        assert row is not None
        try:
            direct.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(old))
            for each in (place, other):
                direct.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [each.name])
            with direct.transaction():
                direct.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, kept))
                direct.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(new, old))
        finally:
            _allow_connections(place, row[0])


def _allow_connections(place: Place, oid: int) -> None:
    """Allow them to a database, whatever it is called by now, by a connection that nothing has interrupted."""
    name = place.name
    command = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true")
    try:
        with _maintenance(place) as direct:
            ((name,),) = direct.execute("SELECT datname FROM pg_database WHERE oid = %s", [oid]).fetchall()
            direct.execute(command.format(sql.Identifier(name)))
    except psycopg.Error as error:
        words = command.format(sql.Identifier(name)).as_string()
        raise BackupError(
            f"Connections to {name} are still refused, since they couldn't be allowed again ({one_line(error)})."
            f" Do it by psql, in another database: {words};"
        ) from error


def _maintenance(place: Place) -> Connection[Any]:
    """Return a connection to a database of the server that isn't this one."""
    try:
        return place.beside("postgres").connect()
    except psycopg.OperationalError:
        return place.beside("template1").connect()  # where somebody has dropped that one
