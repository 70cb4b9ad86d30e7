"""The two roles of a database: the owner, who migrates, and the serving role, of web processes and workers.

The serving role reads and writes rows, and no more: it changes no table, truncates none, switches no trigger off, and
neither changes nor deletes what is append-only. The rules are triggers and constraints, which only the owner can
remove; so whatever takes hold of a web process can't write past them.

It makes no temporary tables either: PostgreSQL looks for a name among those first, in statements of triggers too, so
one called as the audit log is would take its rows.

Triggers run with the rights of who writes. The serving role therefore may write the tables that triggers keep (trace
summaries, statistics, term vectors); those refuse others' hands by triggers of their own, where that matters.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.operations import CreateExtension
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from core.doctor.examination import Examination

SCHEMA = "public"
# What migrating writes, and serving reads.
MIGRATED = [model._meta.db_table for model in (MigrationRecorder.Migration, ContentType, Permission)]

OURS = """
    {namespace} = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend e
                     WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} AND e.deptype = 'e')
"""
_RELATION = OURS.format(namespace="c.relnamespace", catalog="pg_class", oid="c.oid")
_ROUTINE = OURS.format(namespace="p.pronamespace", catalog="pg_proc", oid="p.oid")
_TYPE = OURS.format(namespace="t.typnamespace", catalog="pg_type", oid="t.oid")

# A trigger's bits: 8 for DELETE, 16 for UPDATE.
TABLES = f"""
    SELECT c.oid::regclass::text, c.relname = ANY (%s), EXISTS (
               SELECT FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
                WHERE t.tgrelid = c.oid AND f.proname = 'muster_append_only' AND t.tgtype & 24 = 24)
    FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_RELATION} ORDER BY 1
"""
SEQUENCES = f"SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'S' AND {_RELATION} ORDER BY 1"
# Those of triggers too, which nobody can call.
ROUTINES = f"SELECT p.oid::regprocedure::text FROM pg_proc p WHERE {_ROUTINE} ORDER BY 1"
# The sequence of a column follows its table.
NOT_OWNED = f"""
    SELECT 'TABLE', c.oid::regclass::text FROM pg_class c
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relowner IS DISTINCT FROM to_regrole(%(owner)s) AND {_RELATION}
    UNION ALL
    SELECT 'SEQUENCE', c.oid::regclass::text FROM pg_class c
     WHERE c.relkind = 'S' AND c.relowner IS DISTINCT FROM to_regrole(%(owner)s) AND {_RELATION}
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                                 AND d.deptype IN ('a', 'i'))
    UNION ALL
    SELECT 'TYPE', t.oid::regtype::text FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
     WHERE (t.typtype IN ('e', 'd') OR c.relkind = 'c') AND t.typowner IS DISTINCT FROM to_regrole(%(owner)s)
       AND {_TYPE}
    UNION ALL
    SELECT 'ROUTINE', p.oid::regprocedure::text FROM pg_proc p
     WHERE p.proowner IS DISTINCT FROM to_regrole(%(owner)s) AND {_ROUTINE}
    ORDER BY 1, 2
"""
STANDING = """
    SELECT current_database(),
           (SELECT datdba IS DISTINCT FROM to_regrole(%(owner)s) FROM pg_database WHERE datname = current_database()),
           (SELECT nspowner NOT IN ('pg_database_owner'::regrole, coalesce(to_regrole(%(owner)s), 0))
              FROM pg_namespace WHERE nspname = 'public')
"""
ROLES = """
    SELECT rolname, rolsuper, pg_has_role(%(user)s, oid, 'MEMBER'),
           to_regrole(%(owner)s) IS NOT NULL AND pg_has_role(oid, to_regrole(%(owner)s), 'MEMBER')
    FROM pg_roles WHERE rolname IN (%(plain_owner)s, %(plain_serving)s)
"""


class RolesError(Exception):
    """The roles can't be as they are wanted. The message is for people, and says why."""


@dataclass(frozen=True)
class Roles:
    """The names of the two roles."""

    owner: str = "muster_owner"
    serving: str = "muster_serving"

    def statements(self) -> list[str]:
        """Return the SQL that makes the roles and grants them what they need, as the database stands now.

        Raises:
            RolesError: the serving role has rights that can't be taken here.
        """
        with connection.cursor() as cursor:
            return [
                *self._roles(cursor),
                *_extensions(cursor),
                *self._ownership(cursor),
                *self._grants(cursor),
                *self._defaults(),
            ]

    def apply(self) -> list[str]:
        """Make the roles and grant, in one transaction, and return the SQL that did it.

        To be repeated after a migration or a restore: it takes rights away too. Raises RolesError (see above).
        """
        with transaction.atomic():
            made = self.statements()
            with connection.cursor() as cursor:
                for statement in made:
                    cursor.execute(statement)
        return made

    def _roles(self, cursor: Any) -> Iterator[str]:
        """Make the roles unless they are there. They have no password: a person gives them one."""
        if self.owner == self.serving:
            raise RolesError("The two roles need two names.")
        owner = _quote(self.owner)
        cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
        user, is_superuser = cursor.fetchone()
        names = {"user": user, "owner": owner, "plain_owner": self.owner, "plain_serving": self.serving}
        cursor.execute(ROLES, names)
        standing = {name: (superuser, ours, owns) for name, superuser, ours, owns in cursor.fetchall()}
        if self.serving in standing and (standing[self.serving][0] or standing[self.serving][2]):
            raise RolesError(f"The role {self.serving} is a superuser, or belongs to {self.owner}: name another one.")
        for name in (self.owner, self.serving):
            if name not in standing:
                yield f"CREATE ROLE {_quote(name)} LOGIN"
        if not is_superuser and not standing.get(self.owner, (False, False))[1]:
            yield f"GRANT {owner} TO CURRENT_USER"

    def _ownership(self, cursor: Any) -> Iterator[str]:
        """Give the database and all in it to the owner, but what extensions brought."""
        owner = _quote(self.owner)
        cursor.execute(STANDING, {"owner": owner})
        database, database_differs, schema_differs = cursor.fetchone()
        if database_differs:
            yield f"ALTER DATABASE {_quote(database)} OWNER TO {owner}"
        if schema_differs:
            yield f"ALTER SCHEMA {SCHEMA} OWNER TO {owner}"
        cursor.execute(NOT_OWNED, {"owner": owner})
        for kind, name in cursor.fetchall():
            yield f"ALTER {kind} {name} OWNER TO {owner}"
        yield f"REVOKE ALL ON DATABASE {_quote(database)} FROM PUBLIC, {_quote(self.serving)}"
        yield f"GRANT CONNECT ON DATABASE {_quote(database)} TO {_quote(self.serving)}"

    def _grants(self, cursor: Any) -> Iterator[str]:
        """Grant the serving role what it needs of what there is, and nothing else."""
        serving = _quote(self.serving)
        yield f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC, {serving}"
        yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {serving}"
        cursor.execute(TABLES, [MIGRATED])
        tables = cursor.fetchall()
        written = [name for name, migrated, append_only in tables if not migrated and not append_only]
        yield from _only("TABLE", [name for name, _, _ in tables], serving)
        yield from _grant("SELECT, INSERT, UPDATE, DELETE", "TABLE", written, serving)
        yield from _grant("SELECT, INSERT", "TABLE", [name for name, _, append_only in tables if append_only], serving)
        yield from _grant("SELECT", "TABLE", [name for name, migrated, _ in tables if migrated], serving)
        cursor.execute(SEQUENCES)
        sequences = [name for (name,) in cursor.fetchall()]
        yield from _only("SEQUENCE", sequences, serving)
        yield from _grant("USAGE", "SEQUENCE", sequences, serving)
        cursor.execute(ROUTINES)
        routines = [name for (name,) in cursor.fetchall()]
        yield from _only("ROUTINE", routines, serving)
        yield from _grant("EXECUTE", "ROUTINE", routines, serving)

    def _defaults(self) -> Iterator[str]:
        """Grant the same of what the owner makes later, in a migration."""
        change = f"ALTER DEFAULT PRIVILEGES FOR ROLE {_quote(self.owner)}"
        serving = _quote(self.serving)
        yield f"{change} REVOKE EXECUTE ON ROUTINES FROM PUBLIC"
        yield f"{change} IN SCHEMA {SCHEMA} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {serving}"
        yield f"{change} IN SCHEMA {SCHEMA} GRANT USAGE ON SEQUENCES TO {serving}"
        yield f"{change} IN SCHEMA {SCHEMA} GRANT EXECUTE ON ROUTINES TO {serving}"


def _extensions(cursor: Any) -> Iterator[str]:
    """Make the extensions that migrations want, where they are missing: some only a superuser can make."""
    wanted = {operation.name for _, operation in Examination().operations() if isinstance(operation, CreateExtension)}
    cursor.execute("SELECT extname FROM pg_extension")
    for name in sorted(wanted - {name for (name,) in cursor.fetchall()}):
        yield f"CREATE EXTENSION {_quote(name)}"


def _quote(name: str) -> str:
    """Return a name as SQL wants it. Unlike Django's, it leaves no quote in it alone."""
    return '"' + name.replace('"', '""') + '"'


def _only(kind: str, objects: Iterable[str], serving: str) -> Iterator[str]:
    """Yield the statement that takes all rights to some objects from the serving role and from everybody."""
    if listed := ",\n    ".join(objects):
        yield f"REVOKE ALL ON {kind}\n    {listed}\nFROM PUBLIC, {serving}"


def _grant(rights: str, kind: str, objects: Iterable[str], serving: str) -> Iterator[str]:
    """Yield the statement that grants rights to some objects."""
    if listed := ",\n    ".join(objects):
        yield f"GRANT {rights} ON {kind}\n    {listed}\nTO {serving}"
