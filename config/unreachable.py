"""A database that can't be reached, or has no lock for a migration, told in one line."""

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError
from psycopg.errors import LockNotAvailable

from config import env
from config.database import process_name
from config.embedded_postgres.errors import EmbeddedPostgresError


def explanation(error: OperationalError) -> str | None:
    """One line on what couldn't be reached, why, and what to check.

    Args:
        error: what a command failed with.

    Returns:
        None where the database was reached, and the error came from it: but for a migration that waited too long.
    """
    cause = error.__cause__
    if isinstance(cause, LockNotAvailable) and process_name() == "migrate":
        return (
            f"A table is in use, and wasn't free within {env.MIGRATE_LOCK_TIMEOUT.name}"
            f" ({env.MIGRATE_LOCK_TIMEOUT.get()} ms). The migration under way is undone, those before it stand:"
            " run “manage.py migrate” again, when long transactions have ended."
        )
    if isinstance(cause, EmbeddedPostgresError):
        return str(cause)
    if getattr(cause, "sqlstate", None) is not None:  # the server's own word: it was reached
        return None
    database = settings.DATABASES[DEFAULT_DB_ALIAS]
    place = f"{database['HOST']}:{database['PORT']}/{database['NAME']} as {database['USER']}"
    # libpq's hints stand in lines of their own, indented; ours says more.
    reason = "; ".join(line for line in str(error).splitlines() if line and not line[0].isspace())
    return (
        f"The database {place} can't be reached ({reason}): see that it runs and takes connections from here,"
        " and that DATABASE_URL, or DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME, are right."
    )
