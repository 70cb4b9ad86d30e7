"""What the doctor asks the database server: whether it answers, what it is, what it was given."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.postgres.operations import CreateExtension
from django.db import DatabaseError, OperationalError, connection
from django.utils import timezone

from config.unreachable import explanation
from core.doctor.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    from core.doctor.examination import Examination

OLDEST_SERVER = 15
# Seconds by which the two clocks may differ before the expiry of keys and sessions becomes a matter of luck.
CLOCK_TOLERANCE = 5


def check_connection() -> Iterator[Finding]:
    """Connect."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        reason = explanation(error) if isinstance(error, OperationalError) else None
        yield problem(reason or " ".join(str(error).split()), _way_to_reach())
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_user")
        yield ok("database {}, role {}".format(*cursor.fetchone()))


def _way_to_reach() -> str:
    database = settings.DATABASES["default"]
    if settings.EMBEDDED:
        return f"Read {settings.DATA_DIR / 'postgres' / 'server.log'}; it says why the server doesn't start."
    return f"pg_isready -h {database['HOST']} -p {database['PORT']} -d {database['NAME']} tells whether it listens."


def check_version() -> Iterator[Finding]:
    """Compare the server's version with the oldest that Muster knows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000")
        name, major = cursor.fetchone()
    if major < OLDEST_SERVER:
        yield problem(
            f"PostgreSQL {name} is older than {OLDEST_SERVER}.",
            f"Upgrade the server to PostgreSQL {OLDEST_SERVER} or newer (pg_upgrade, or dump and restore).",
        )
    else:
        yield ok(f"PostgreSQL {name}")


def check_extensions(examination: "Examination") -> Iterator[Finding]:
    """Look for the extensions that migrations create."""
    wanted = sorted({op.name for _, op in examination.operations() if isinstance(op, CreateExtension)})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, installed_version FROM pg_available_extensions WHERE name = ANY (%s)"
            " UNION SELECT extname, extversion FROM pg_extension WHERE extname = ANY (%s)",
            [wanted, wanted],
        )
        found = dict(sorted(cursor.fetchall(), key=lambda row: row[1] is not None))
    missing = [name for name in wanted if not found.get(name)]
    for name in missing:
        if name in found:
            command = f'psql -c "CREATE EXTENSION {name}" {connection.settings_dict["NAME"]}'
            yield problem(f"The extension {name} isn't there.", f"manage.py migrate; or, as a superuser: {command}")
        else:
            yield problem(
                f"The server doesn't know the extension {name}.",
                "Install it beside the server: postgresql-contrib holds PostgreSQL's own extensions.",
            )
    yield ok(", ".join(f"{name} {found[name]}" for name in wanted) or "none is needed")


def may_compare() -> bool:
    """Return whether the role may make the temporary tables by which definitions are compared."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
        return bool(cursor.fetchone()[0])


def check_settings() -> Iterator[Finding]:
    """See that the database stores all letters, that triggers fire, and that the two clocks agree."""
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_encoding'), current_setting('TimeZone'),"
            " current_setting('session_replication_role'), clock_timestamp()"
        )
        encoding, zone, replication_role, clock = cursor.fetchone()
    name = connection.settings_dict["NAME"]
    if encoding != "UTF8":
        yield problem(
            f"The database's encoding is {encoding}: it refuses many letters.",
            f"Dump it and restore it into a new one: createdb --encoding=UTF8 --template=template0 {name}_utf8",
        )
    if zone != "UTC":
        yield problem(f"Sessions run in the time zone {zone}.", f"ALTER DATABASE {name} SET timezone TO 'UTC'")
    if replication_role != "origin":
        yield problem(
            f"session_replication_role is {replication_role}: no rule that a trigger keeps is in force.",
            "Reset it where it is set: ALTER ROLE … RESET session_replication_role, or for the database.",
        )
    skew = abs((clock - before).total_seconds())
    if skew > CLOCK_TOLERANCE:
        yield warning(f"The server's clock and this machine's differ by {skew:.0f} s.", "Synchronize both by NTP.")
    yield ok(f"{encoding}, {zone}, clocks agree")
