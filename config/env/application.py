"""The application's own variables."""

from config.variables import BASE_DIR, Variable, folder, hidden, matching, number, switch, words

DEBUG = switch(
    "DEBUG",
    None,
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
CORS_ALLOWED_ORIGINS: Variable[list[str]] = Variable(
    "CORS_ALLOWED_ORIGINS",
    words(r"https?://[^/\s*]+"),
    [],
    "origins with scheme and no path, separated by commas (https://app.example.org)",
    "Other origins whose pages may ask the API by an API key. Sessions serve none but Muster's own pages.",
    shown_default="none",
    example="https://app.example.org",
)
SECURE_SSL_REDIRECT = switch(
    "SECURE_SSL_REDIRECT",
    None,
    "Serve over HTTPS only: redirect plain HTTP (health and metrics excepted) and keep cookies to HTTPS.",
    shown_default="1; 0 with DEBUG or the embedded database",
    example="1",
)
REQUEST_MAX_BYTES = number(
    "REQUEST_MAX_BYTES",
    1,
    1_073_741_824,
    67_108_864,
    "How large a request's body may be. Uploaded files and telemetry have limits of their own.",
    unit="bytes",
)
SECURE_HSTS_SECONDS = number(
    "SECURE_HSTS_SECONDS",
    0,
    100_000_000,
    31_536_000,
    "How long, in seconds, browsers shall insist on HTTPS. Counts only where SECURE_SSL_REDIRECT does.",
    unit="seconds",
)
TRUSTED_PROXY_COUNT = number(
    "TRUSTED_PROXY_COUNT",
    0,
    10,
    0,
    "How many proxies of yours stand in front: so many X-Forwarded-For and X-Forwarded-Proto are believed.",
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
