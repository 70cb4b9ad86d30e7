"""What tests need of the database beyond Django: proofs that nothing was written, and a way to start afresh."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.db import connection, transaction

from core.connections import prepared_cursor

# What a refused request may leave behind: its own event, and the time that a key was used. No row changes without
# another column than updated_at and row_version.
REFUSALS = ("request.refuse", "login.fail", "integration.refuse")
TRACES = ("last_used_at", "last_login", "updated_at", "row_version")
# Django fills these once, when it migrates.
UNOBSERVED = {"django_migrations", "django_content_type", "auth_permission"}


@cache
def tables() -> list[str]:
    """Return the names of the database's tables that tests write to."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname"
        )
        return [name for (name,) in cursor.fetchall() if name not in UNOBSERVED]


def digests() -> dict[str, tuple[int, str]]:
    """Return the number of rows of each table, and a digest of all they hold."""
    text = "(to_jsonb(each) - %(traces)s::text[])::text"
    parts = []
    for table in tables():
        rows = f"{table} WHERE event_type <> ALL (%(refusals)s)" if table == "core_auditevent" else table
        digest = f"sum(hashtextextended({text}, 0))::text"
        parts.append(f"SELECT '{table}', count(*), {digest} FROM (SELECT * FROM {rows}) AS each")
    with prepared_cursor() as cursor:  # to plan it takes longer than to read what a test has made
        cursor.execute(" UNION ALL ".join(parts), {"refusals": list(REFUSALS), "traces": list(TRACES)})
        return {table: (count, digest) for table, count, digest in cursor.fetchall()}


@contextmanager
def writes_nothing() -> Iterator[None]:
    """Fail if anything in the database differs afterwards, but for the traces of a refusal (see above)."""
    before = digests()
    yield
    after = digests()
    changed = [
        f"{table} ({before[table][0]} rows, now {after[table][0]})" for table in after if after[table] != before[table]
    ]
    assert not changed, f"Written to: {', '.join(changed)}"


@contextmanager
def triggers_off() -> Iterator[None]:
    """Let the block write past triggers and foreign keys, in one transaction. Needs a superuser, as tests have."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_user)")
        (role,) = cursor.fetchone()
        cursor.execute("SET LOCAL ROLE NONE; SET LOCAL session_replication_role = replica")
        yield
        cursor.execute(f"SET LOCAL session_replication_role = origin; SET LOCAL ROLE {role}")


def empty_all_tables() -> None:
    """Delete every row, of append-only tables too: what Django's flush can't do, and quicker."""
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute("; ".join(f"DELETE FROM {table}" for table in tables()))
