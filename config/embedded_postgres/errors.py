"""What the embedded PostgreSQL fails with."""

import psycopg


class EmbeddedPostgresError(psycopg.OperationalError):
    """The embedded server can't serve. The message is one line: why, and what to do.

    To Django it is an OperationalError, as of any database that can't be reached.
    """
