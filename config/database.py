"""Which database Muster uses, and how it connects: from the environment to Django's `DATABASES`."""

import re
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from config import env
from config.variables import ConfigurationError, Variable

# What is as long as the data are is not cut off by the limit that guards requests.
UNLIMITED_COMMANDS = frozenset({"migrate", "seed", "loaddata", "dumpdata", "flush", "backup", "restore", "worker"})

# Variables that state the database's place piece by piece, under libpq's names for the pieces.
_PIECES: dict[str, Variable] = {
    "host": env.DB_HOST,
    "port": env.DB_PORT,
    "user": env.DB_USER,
    "password": env.DB_PASSWORD,
    "dbname": env.DB_NAME,
    "sslmode": env.DB_SSL_MODE,
}

# As the server reads its options: any case, and hyphens for underscores.
_STATEMENT_TIMEOUT = re.compile(r"(-c\s*|--)statement[-_]timeout\s*=", re.IGNORECASE)


def process_name() -> str:
    """What this process is: a command's name, "web" or "pytest".

    Connections carry it as `application_name`, and the audit log names by it the source of a change that
    no request made.
    """
    program = Path(sys.argv[0]).name
    if program in {"manage.py", "django-admin"} and len(sys.argv) > 1:
        return sys.argv[1]
    if "config.wsgi" in sys.modules or "config.asgi" in sys.modules:
        return "web"
    if "pytest" in sys.modules:
        return "pytest"
    return program or "python"


def is_configured() -> bool:
    """Whether the environment names a database of its own, so that the embedded one isn't wanted.

    Raises:
        ConfigurationError: pieces of an address stand there, but no host; or a database is named and the
            embedded one is asked for too.
    """
    named = [variable for variable in (env.DATABASE_URL, env.DB_HOST) if variable.is_set()]
    if named:
        if env.EMBEDDED_POSTGRES.get():
            raise env.EMBEDDED_POSTGRES.refusal(f"0 or nothing while {named[0].name} names a database")
        return True
    strays = [variable.name for variable in (*_PIECES.values(),) if variable.is_set()]
    if strays:
        raise env.DB_HOST.refusal(f"{env.DB_HOST.wants}, because {strays[0]} is set")
    return False


def connect_to_configured() -> dict[str, Any]:
    """The entry of `DATABASES` for the database that the environment names.

    Raises:
        ConfigurationError: a variable is wrong, or two of them disagree.
    """
    place = _parse_url() if env.DATABASE_URL.is_set() else {}
    for piece, variable in _PIECES.items():
        if variable.is_set():
            value = str(variable.get())
            if place.setdefault(piece, value) != value:
                raise variable.refusal("the same as in DATABASE_URL, or nothing")
        elif variable.default:
            place.setdefault(piece, str(variable.default))
    return {
        "ENGINE": "config.postgresql",
        "NAME": place.pop("dbname"),
        "USER": place.pop("user"),
        "PASSWORD": place.pop("password", ""),
        "HOST": place.pop("host"),
        "PORT": place.pop("port"),
        **_connecting(place),
    }


def connect_to_embedded(data_dir: Path) -> dict[str, Any]:
    """The entry of `DATABASES` for the embedded PostgreSQL, which keeps its data under `data_dir`.

    Raises:
        ConfigurationError: there is none for this system.
    """
    if sys.platform == "win32":
        raise env.DATABASE_URL.refusal(f"{env.DATABASE_URL.wants}: the embedded database needs Linux or macOS")
    return {
        "ENGINE": "config.embedded_postgres",
        "NAME": env.DB_NAME.default,
        "EMBEDDED_IN": data_dir / "postgres",
        **_connecting({}),
    }


def _parse_url() -> dict[str, str]:
    """DATABASE_URL's pieces, under libpq's names, as libpq itself reads them."""
    url = env.DATABASE_URL.get()
    try:
        place = {key: str(value) for key, value in conninfo_to_dict(url).items() if value not in (None, "")}
        port = int(place.get("port", 5432))
    except (psycopg.Error, ValueError):
        # Without the cause: libpq's message may quote the password.
        raise env.DATABASE_URL.refusal() from None
    if not place.get("host") or not place.get("dbname") or not 0 < port < 65536:
        raise env.DATABASE_URL.refusal()
    if _STATEMENT_TIMEOUT.search(place.get("options", "")):
        # The last one counts on the server, and here the other: statements would be given up that may go on there.
        raise env.DATABASE_URL.refusal(f"no statement_timeout in its options, but {env.DB_STATEMENT_TIMEOUT.name}")
    return place


def _connecting(extra: dict[str, str]) -> dict[str, Any]:
    """How connections are made and kept, whichever the database.

    Args:
        extra: more parameters of libpq; `options` among them are added to ours.
    """
    name = process_name()
    limit: int = 0 if name in UNLIMITED_COMMANDS else env.DB_STATEMENT_TIMEOUT.get()
    # jit costs more than it saves on the short queries of a web application.
    options = f"-c jit=off -c statement_timeout={limit}"
    if name == "migrate":
        options += f" -c lock_timeout={env.MIGRATE_LOCK_TIMEOUT.get()}"
    options = f"{options} {extra.pop('options', '')}".strip()
    size = env.DB_POOL_SIZE.get()
    # A machine that vanished says nothing: after so long its connections count as broken. Not over Unix sockets.
    keepalive = {"keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
    return {
        "OPTIONS": {
            "connect_timeout": env.DB_CONNECT_TIMEOUT.get(),
            "tcp_user_timeout": "25000",
            **keepalive,
            **extra,
            "application_name": f"muster {name}"[:63],  # PostgreSQL cuts names at 63 bytes, with a notice
            "options": options,
            "prepare_threshold": 5,  # lets statements be prepared; only those are that ask for it
            "pool": {
                "min_size": size,
                "max_size": size + env.DB_MAX_OVERFLOW.get(),
                "timeout": env.DB_POOL_TIMEOUT.get(),
            },
        },
        "ECHO": env.DB_ECHO.get(),
        "SLOW_SECONDS": env.DB_SLOW_STATEMENT_MS.get() / 1000,
        "LIMIT_SECONDS": limit / 1000,
        "CONN_MAX_AGE": 0,  # the pool keeps connections; Django refuses both
        "CONN_HEALTH_CHECKS": False,  # the backend looks at a connection without asking the server
    }


def refuse_embedded_in_production(debug: bool) -> None:
    """Refuse to fall back on the embedded database where nobody asked for it.

    Args:
        debug: whether development mode is on.

    Raises:
        ConfigurationError: no database is configured and the embedded one may not step in.
    """
    allowed = env.EMBEDDED_POSTGRES.get()
    if allowed is None:
        allowed = debug
    if not allowed:
        raise ConfigurationError(
            env.DATABASE_URL.name,
            "nothing",
            f"{env.DATABASE_URL.wants}, or {env.EMBEDDED_POSTGRES.name}=1 for the embedded database",
        )
