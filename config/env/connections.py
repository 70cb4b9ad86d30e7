"""The database's connections and statements."""

from config.variables import number, switch

DB_POOL_SIZE = number(
    "DB_POOL_SIZE",
    1,
    1000,
    4,
    "Connections that each process keeps open. The threads of a web process are a good measure.",
)
DB_MAX_OVERFLOW = number(
    "DB_MAX_OVERFLOW",
    0,
    1000,
    8,
    "Connections a process may open beyond DB_POOL_SIZE when busy; the pool's maximum is their sum.",
)
DB_POOL_TIMEOUT = number(
    "DB_POOL_TIMEOUT", 1, 600, 10, "How long, in seconds, a request waits for a free connection.", unit="seconds"
)
DB_CONNECT_TIMEOUT = number(
    "DB_CONNECT_TIMEOUT", 1, 600, 5, "How long, in seconds, opening a connection may take.", unit="seconds"
)
DB_STATEMENT_TIMEOUT = number(
    "DB_STATEMENT_TIMEOUT",
    0,
    86_400_000,
    30_000,
    "How long, in milliseconds, one SQL statement may run; 0: no limit."
    " Migrating, seeding, loading, dumping and workers have none.",
    unit="milliseconds",
    zero="none",
)
MIGRATE_LOCK_TIMEOUT = number(
    "MIGRATE_LOCK_TIMEOUT",
    0,
    3_600_000,
    5_000,
    "How long, in milliseconds, a statement of `manage.py migrate` waits for a table that others use; 0: forever."
    " Whoever comes after it waits behind it.",
    unit="milliseconds",
    zero="forever",
)
DB_ECHO = switch(
    "DB_ECHO",
    False,
    "Log every SQL statement with its duration, but not its values, which may be secret.",
)
