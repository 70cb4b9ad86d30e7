"""The table of Muster's environment variables: the one place that names, reads and checks them.

`config.settings` reads its values from here, and `.env.example` and the documentation's table are
rendered from here, so that neither can tell of a variable that isn't there. To add one, declare it below
with the others of its kind; to show the documents anew:

    python -m config.env example > .env.example
    python -m config.env markdown
"""

import sys
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import environ  # type: ignore[import-untyped]

from config.variables import (
    Variable,
    flag,
    folder,
    for_each,
    hidden,
    masked_url,
    matching,
    networks,
    one_of,
    whole_number,
    words,
)

BASE_DIR = Path(__file__).resolve().parent.parent
"""The project's root: the folder of manage.py."""


def read_dotenv(path: Path = BASE_DIR / ".env") -> None:
    """Add the variables of the file at `path`, if there is one, to the environment, which wins."""
    if path.is_file():
        environ.Env.read_env(path, overwrite=False)


_SWITCH = "1 or 0"

DEBUG = Variable(
    "DEBUG",
    flag,
    None,
    _SWITCH,
    "Development mode: error pages with source code, no demand for HTTPS. Never on a reachable machine.",
    shown_default="0; 1 when nothing is configured (no database, no EMBEDDED_POSTGRES)",
    example="0",
)
SECRET_KEY = Variable(
    "SECRET_KEY",
    matching(r".{32,}"),
    "",
    "a secret random text of at least 32 characters"
    " (make one: python -c 'import secrets; print(secrets.token_urlsafe(50))')",
    "Signs sessions and tokens. With the embedded database, one is made and kept in DATA_DIR; else needed.",
    shown_default="none",
    show=hidden,
)
ENCRYPTION_KEYS: Variable[list[str]] = Variable(
    "ENCRYPTION_KEYS",
    words(r"[A-Za-z0-9_-]{43}="),
    [],
    "keys separated by commas, each of 32 random bytes in URL-safe base64"
    " (make one: python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())')",
    "Encrypt stored secrets, such as those of webhooks: the first encrypts, all decrypt."
    " To rotate, put a new one in front and run `manage.py rotate_secrets`.",
    shown_default="one derived from SECRET_KEY",
    show=hidden,
)
ALLOWED_HOSTS = Variable(
    "ALLOWED_HOSTS",
    words(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\]"),
    None,
    "host names without scheme, port or path, separated by commas (example.org,.example.net)",
    "The host names under which Muster is reached. A leading dot means all subdomains too.",
    shown_default="none; this machine's own names with DEBUG or the embedded database",
    example="muster.example.org",
)
CSRF_TRUSTED_ORIGINS: Variable[list[str]] = Variable(
    "CSRF_TRUSTED_ORIGINS",
    words(r"https?://[^/\s*]*(\*\.)?[^/\s*]+"),
    [],
    "origins with scheme and no path, separated by commas (https://example.org)",
    "Other origins whose forms may post here, for a proxy that changes the host name.",
    example="https://muster.example.org",
)
SECURE_SSL_REDIRECT = Variable(
    "SECURE_SSL_REDIRECT",
    flag,
    None,
    _SWITCH,
    "Serve over HTTPS only: redirect plain HTTP (health and metrics excepted) and keep cookies to HTTPS.",
    shown_default="1; 0 with DEBUG or the embedded database",
    example="1",
)
SECURE_HSTS_SECONDS = Variable(
    "SECURE_HSTS_SECONDS",
    whole_number(0, 100_000_000),
    31_536_000,
    "a whole number of seconds from 0 to 100000000",
    "How long, in seconds, browsers shall insist on HTTPS. Counts only where SECURE_SSL_REDIRECT does.",
)
TRUSTED_PROXY_COUNT = Variable(
    "TRUSTED_PROXY_COUNT",
    whole_number(0, 10),
    0,
    "a whole number from 0 to 10",
    "How many proxies of yours stand in front: so many X-Forwarded-For and X-Forwarded-Proto are believed.",
)
LOG_LEVEL = Variable(
    "LOG_LEVEL",
    one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "INFO",
    "one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
    "The least important messages that are logged, to standard error.",
)
DATA_DIR = Variable(
    "DATA_DIR",
    folder(BASE_DIR),
    BASE_DIR / ".data",
    "the path of a folder",
    "The folder of uploaded files, the embedded database and the generated secret key."
    " A relative path starts at the project's root.",
    shown_default=".data",
)

DATABASE_URL = Variable(
    "DATABASE_URL",
    matching(r"postgres(ql)?://.+"),
    "",
    "postgresql://USER:PASSWORD@HOST:5432/NAME (special characters in the password percent-encoded)",
    "The PostgreSQL database in one line; libpq's parameters may follow a question mark.",
    shown_default="none: the embedded database",
    example="postgresql://muster:password@localhost:5432/muster",
    show=masked_url,
)
DB_HOST = Variable(
    "DB_HOST",
    matching(r"\S+"),
    "",
    "a host name, an address, or the folder of a Unix socket",
    "Instead of DATABASE_URL: the database's host.",
    shown_default="none: the embedded database",
    example="localhost",
)
DB_PORT = Variable("DB_PORT", whole_number(1, 65535), 5432, "a port number from 1 to 65535", "The database's port.")
DB_USER = Variable("DB_USER", matching(r".{1,63}"), "muster", "a role's name", "The database's role.")
DB_PASSWORD = Variable(
    "DB_PASSWORD",
    matching(r".+"),
    "",
    "the role's password",
    "The role's password. Empty: libpq looks into ~/.pgpass.",
    shown_default="none",
    show=hidden,
)
DB_NAME = Variable(
    "DB_NAME",
    matching(r".{1,57}"),
    "muster",
    "a database's name of at most 57 characters",  # test databases are prefixed by "test_"
    "The database's name.",
)
DB_SSL_MODE = Variable(
    "DB_SSL_MODE",
    one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "prefer",
    "one of disable, allow, prefer, require, verify-ca, verify-full",
    "Whether the connection to the database is encrypted and its server's certificate checked.",
)
DB_POOL_SIZE = Variable(
    "DB_POOL_SIZE",
    whole_number(1, 1000),
    4,
    "a whole number from 1 to 1000",
    "Connections that each process keeps open. The threads of a web process are a good measure.",
)
DB_MAX_OVERFLOW = Variable(
    "DB_MAX_OVERFLOW",
    whole_number(0, 1000),
    8,
    "a whole number from 0 to 1000",
    "Connections a process may open beyond DB_POOL_SIZE when busy; the pool's maximum is their sum.",
)
DB_POOL_TIMEOUT = Variable(
    "DB_POOL_TIMEOUT",
    whole_number(1, 600),
    10,
    "a whole number of seconds from 1 to 600",
    "How long, in seconds, a request waits for a free connection.",
)
DB_CONNECT_TIMEOUT = Variable(
    "DB_CONNECT_TIMEOUT",
    whole_number(1, 600),
    5,
    "a whole number of seconds from 1 to 600",
    "How long, in seconds, opening a connection may take.",
)
PURGE_AFTER_DAYS = Variable(
    "PURGE_AFTER_DAYS",
    whole_number(0, 36_500),
    0,
    "a whole number of days from 0 (never) to 36500",
    "After how long a worker removes for good what was deleted softly, as `manage.py purge` does.",
)
OUTBOUND_ALLOW: Variable[list[IPv4Network | IPv6Network]] = Variable(
    "OUTBOUND_ALLOW",
    networks,
    [],
    "networks or addresses, separated by commas (10.1.0.0/16,127.0.0.1)",
    "Networks that aren't public, and that webhooks may reach all the same, by plain HTTP too.",
    shown_default="none",
    example="10.1.0.0/16",
)
PLAN_TIERS = ("free", "pro", "enterprise")
_BY_TIER = "whole numbers from 0 (no limit) to 1000000: one for all plan tiers, or free=N,pro=N,enterprise=N"
RATE_LIMIT_KEY = Variable(
    "RATE_LIMIT_KEY",
    for_each(PLAN_TIERS, 0, 1_000_000),
    {"free": 200_000, "pro": 500_000, "enterprise": 0},
    _BY_TIER,
    "How many requests a minute one API key, or one user by session, may make of the API, by its organization's tier.",
)
RATE_LIMIT_ORGANIZATION = Variable(
    "RATE_LIMIT_ORGANIZATION",
    for_each(PLAN_TIERS, 0, 1_000_000),
    {"free": 400_000, "pro": 1_000_000, "enterprise": 0},
    _BY_TIER,
    "How many requests a minute all keys and users of an organization together may make of the API.",
)
TELEMETRY_RATE_LIMIT_KEY = Variable(
    "TELEMETRY_RATE_LIMIT_KEY",
    for_each(PLAN_TIERS, 0, 1_000_000),
    {"free": 200_000, "pro": 500_000, "enterprise": 0},
    _BY_TIER,
    "How many requests of telemetry a minute one API key may send. They count apart from those of the API.",
)
TELEMETRY_RATE_LIMIT_ORGANIZATION = Variable(
    "TELEMETRY_RATE_LIMIT_ORGANIZATION",
    for_each(PLAN_TIERS, 0, 1_000_000),
    {"free": 400_000, "pro": 1_000_000, "enterprise": 0},
    _BY_TIER,
    "How many requests of telemetry a minute all keys of an organization together may send.",
)
CACHE_URL = Variable(
    "CACHE_URL",
    matching(r"(rediss?|unix)://\S+"),
    "",
    "redis://USER:PASSWORD@HOST:6379/0, rediss:// for TLS, or unix://PATH?db=0",
    "The Redis or Valkey in which processes count requests together. Without one, the database does.",
    shown_default="none: the database counts",
    example="redis://localhost:6379/0",
    show=masked_url,
)
LOGIN_FAILURE_LIMIT = Variable(
    "LOGIN_FAILURE_LIMIT",
    whole_number(0, 1_000),
    5,
    "a whole number from 0 (no limit) to 1000",
    "After how many failures to log in with one email from one address no more are taken, for LOGIN_LOCK_SECONDS."
    " Ten times as many lock an address for all emails, and twenty times as many an email from all addresses.",
)
LOGIN_LOCK_SECONDS = Variable(
    "LOGIN_LOCK_SECONDS",
    whole_number(1, 86_400),
    900,
    "a whole number of seconds from 1 to 86400",
    "How long, in seconds, logins stay locked after too many failures, and failures count.",
)
DB_STATEMENT_TIMEOUT = Variable(
    "DB_STATEMENT_TIMEOUT",
    whole_number(0, 86_400_000),
    30_000,
    "a whole number of milliseconds from 0 (none) to 86400000",
    "How long, in milliseconds, one SQL statement may run; 0: no limit."
    " Migrating, seeding, loading, dumping and workers have none.",
)
DB_ECHO = Variable(
    "DB_ECHO",
    flag,
    False,
    _SWITCH,
    "Log every SQL statement with its duration, but not its values, which may be secret.",
)
EMBEDDED_POSTGRES = Variable(
    "EMBEDDED_POSTGRES",
    flag,
    None,
    _SWITCH,
    "1: use the embedded PostgreSQL even with DEBUG off. 0: never use it.",
    shown_default="the embedded PostgreSQL serves DEBUG mode when no database is configured",
    example="1",
)

STORAGE_URL = Variable(
    "STORAGE_URL",
    matching(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?(\?[^\s#]*)?"),
    "",
    "s3://BUCKET/FOLDER, and perhaps ?endpoint=https://HOST&region=REGION",
    "Keep uploaded files in an S3-compatible store, not in DATA_DIR. Needs the extra `s3` (uv sync --extra s3); the"
    " credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or whatever else the AWS SDK finds.",
    shown_default="none: the folder media in DATA_DIR",
    example="s3://muster/files?endpoint=https://s3.example.org&region=eu-central-1",
)
ARTIFACT_MAX_BYTES = Variable(
    "ARTIFACT_MAX_BYTES",
    whole_number(1, 1_099_511_627_776),
    1_073_741_824,
    "a whole number of bytes from 1 to 1099511627776",
    "How large an uploaded artifact may be.",
)
TELEMETRY_MAX_BYTES = Variable(
    "TELEMETRY_MAX_BYTES",
    whole_number(1, 1_073_741_824),
    16_777_216,
    "a whole number of bytes from 1 to 1073741824",
    "How large a request of telemetry may be, as it comes.",
)
TELEMETRY_MAX_DECOMPRESSED_BYTES = Variable(
    "TELEMETRY_MAX_DECOMPRESSED_BYTES",
    whole_number(1, 1_073_741_824),
    67_108_864,
    "a whole number of bytes from 1 to 1073741824",
    "How large a request of telemetry may be when decompressed.",
)
ARTIFACT_MAX_TEXT_BYTES = Variable(
    "ARTIFACT_MAX_TEXT_BYTES",
    whole_number(1, 104_857_600),
    1_048_576,
    "a whole number of bytes from 1 to 104857600",
    "How large a text may be that an artifact keeps inline, in the database. Larger ones are to be uploaded.",
)

DOCUMENT_MAX_BYTES = Variable(
    "DOCUMENT_MAX_BYTES",
    whole_number(1, 2**28),
    50 * 2**20,
    "a whole number of bytes from 1 to 268435456",
    "How large a file may be that is taken as a document.",
)
DOCUMENT_MAX_CHARACTERS = Variable(
    "DOCUMENT_MAX_CHARACTERS",
    whole_number(1, 10**8),
    5_000_000,
    "a whole number from 1 to 100000000",
    "How long a document's text may be, in characters. 5 million are some 2,000 pages, and half an hour of embedding.",
)
EXTRACTION_MEMORY_BYTES = Variable(
    "EXTRACTION_MEMORY_BYTES",
    whole_number(2**27, 2**36),
    2**30,
    "a whole number of bytes from 134217728 to 68719476736",
    "How much memory the process may take that reads a document's file.",
)
EXTRACTION_SECONDS = Variable(
    "EXTRACTION_SECONDS",
    whole_number(1, 3600),
    60,
    "a whole number of seconds from 1 to 3600",
    "How much processor time that process may take, and half of how long it may last.",
)

EMBEDDING_MODELS = Variable(
    "EMBEDDING_MODELS",
    words(
        r"all-MiniLM-L6-v2|multilingual-e5-small|openai:[^\s,]+@[1-9][0-9]{0,3}"
        r"|sentence-transformers:[^\s,]+|onnx:[A-Za-z0-9_-][A-Za-z0-9_.-]*"
    ),
    ["all-MiniLM-L6-v2"],
    "names separated by commas: all-MiniLM-L6-v2, multilingual-e5-small, openai:NAME@DIMENSIONS,"
    " sentence-transformers:NAME or onnx:FOLDER",
    "The embedding models that collections may have; the first is the default of new ones.",
)
EMBEDDING_MODELS_DIR = Variable(
    "EMBEDDING_MODELS_DIR",
    folder(BASE_DIR),
    None,
    "the path of a folder",
    "Where the folders of onnx:FOLDER models are, each with a model.onnx and a tokenizer.json.",
    shown_default="the folder models in DATA_DIR",
    example="/srv/models",
)
EMBEDDING_THREADS = Variable(
    "EMBEDDING_THREADS",
    whole_number(1, 256),
    2,
    "a whole number from 1 to 256",
    "How many threads of each process embed at once, with the models that run on this machine.",
)
EMBEDDING_API_URL = Variable(
    "EMBEDDING_API_URL",
    matching(r"https?://[^\s/?#]+(/[^\s?#]*)?"),
    "https://api.openai.com/v1",
    "http:// or https://, a host, and the path to which /embeddings is added",
    "The OpenAI-compatible server of the models openai:NAME@DIMENSIONS.",
    show=masked_url,
)
EMBEDDING_API_KEY = Variable(
    "EMBEDDING_API_KEY",
    matching(r"\S+"),
    "",
    "a key without blanks",
    "The key for EMBEDDING_API_URL, sent as a bearer token.",
    shown_default="none",
    show=hidden,
)
EMBEDDING_API_BATCH = Variable(
    "EMBEDDING_API_BATCH",
    whole_number(1, 2048),
    64,
    "a whole number from 1 to 2048",
    "How many texts one request to EMBEDDING_API_URL holds.",
)
EMBEDDING_API_TIMEOUT = Variable(
    "EMBEDDING_API_TIMEOUT",
    whole_number(1, 600),
    30,
    "a whole number of seconds from 1 to 600",
    "How long, in seconds, an answer of EMBEDDING_API_URL is waited for.",
)

GROUPS: dict[str, tuple[Variable, ...]] = {
    "The application": (
        DEBUG,
        SECRET_KEY,
        ENCRYPTION_KEYS,
        ALLOWED_HOSTS,
        CSRF_TRUSTED_ORIGINS,
        SECURE_SSL_REDIRECT,
        SECURE_HSTS_SECONDS,
        TRUSTED_PROXY_COUNT,
        LOG_LEVEL,
        DATA_DIR,
    ),
    "The database": (
        DATABASE_URL,
        DB_HOST,
        DB_PORT,
        DB_USER,
        DB_PASSWORD,
        DB_NAME,
        DB_SSL_MODE,
        EMBEDDED_POSTGRES,
    ),
    "Files": (
        STORAGE_URL,
        ARTIFACT_MAX_BYTES,
        ARTIFACT_MAX_TEXT_BYTES,
        TELEMETRY_MAX_BYTES,
        TELEMETRY_MAX_DECOMPRESSED_BYTES,
    ),
    "Documents": (
        DOCUMENT_MAX_BYTES,
        DOCUMENT_MAX_CHARACTERS,
        EXTRACTION_MEMORY_BYTES,
        EXTRACTION_SECONDS,
    ),
    "Embedding": (
        EMBEDDING_MODELS,
        EMBEDDING_MODELS_DIR,
        EMBEDDING_THREADS,
        EMBEDDING_API_URL,
        EMBEDDING_API_KEY,
        EMBEDDING_API_BATCH,
        EMBEDDING_API_TIMEOUT,
    ),
    "Background work": (PURGE_AFTER_DAYS, OUTBOUND_ALLOW),
    "Limits": (
        RATE_LIMIT_KEY,
        RATE_LIMIT_ORGANIZATION,
        TELEMETRY_RATE_LIMIT_KEY,
        TELEMETRY_RATE_LIMIT_ORGANIZATION,
        CACHE_URL,
        LOGIN_FAILURE_LIMIT,
        LOGIN_LOCK_SECONDS,
    ),
    "Connections and statements": (
        DB_POOL_SIZE,
        DB_MAX_OVERFLOW,
        DB_POOL_TIMEOUT,
        DB_CONNECT_TIMEOUT,
        DB_STATEMENT_TIMEOUT,
        DB_ECHO,
    ),
}
"""Every variable, by heading, in the order in which documents show them."""


def as_example() -> str:
    """The text of `.env.example`: every variable commented out, with its help and its default."""
    lines = [
        "# Muster's settings. Copy to .env and uncomment what you change; the environment wins over .env.",
        "# Made by: python -m config.env example > .env.example",
    ]
    for heading, variables in GROUPS.items():
        lines += ["", f"# --- {heading} ---"]
        for variable in variables:
            lines += ["", f"# {variable.help}", f"# Wants {variable.wants}."]
            if variable.shown_default is not None:
                lines.append(f"# Default: {variable.shown_default}.")
            lines.append(f"#{variable.name}={variable.example or _plain_default(variable)}")
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The documentation's tables of variables, one a heading."""
    lines: list[str] = []
    for heading, variables in GROUPS.items():
        lines += [f"### {heading}", "", "| variable | what for | wants | default |", "|---|---|---|---|"]
        for variable in variables:
            default = variable.shown_default or (f"`{text}`" if (text := variable.default_text()) else "none")
            lines.append(f"| `{variable.name}` | {variable.help} | {variable.wants} | {default} |")
        lines.append("")
    return "\n".join(lines)


def _plain_default(variable: Variable) -> str:
    """Its default as a value to write behind `NAME=`; empty where the default is told in words."""
    return "" if variable.show is hidden else variable.default_text()


if __name__ == "__main__":
    renderers = {"example": as_example, "markdown": as_markdown}
    wanted = sys.argv[1] if len(sys.argv) == 2 else ""
    if wanted not in renderers:
        sys.exit(f"usage: python -m config.env {'|'.join(renderers)}")
    sys.stdout.write(renderers[wanted]())
