"""Muster's settings: one file, driven by the environment.

Each variable is declared in `config.env`, with what it wants; this file says what Django makes of it.
"""

from typing import Any

from corsheaders.defaults import default_headers
from csp.constants import NONE, SELF

from config import database, env, storage
from config.secret_key import kept_secret_key

env.read_dotenv()

BASE_DIR = env.BASE_DIR
DATA_DIR = env.DATA_DIR.get()

# --- Where this runs -------------------------------------------------------------------------------

# With no database configured, a machine is a developer's own: PostgreSQL is embedded, DEBUG is on.
# Configuring one, or EMBEDDED_POSTGRES=1, is to choose, and then the defaults are those of production.
EMBEDDED = not database.is_configured()
_debug = env.DEBUG.get()
DEBUG: bool = (EMBEDDED and not env.EMBEDDED_POSTGRES.is_set()) if _debug is None else _debug
_local = DEBUG or EMBEDDED

# --- The database ----------------------------------------------------------------------------------

if EMBEDDED:
    database.refuse_embedded_in_production(debug=DEBUG)
    DATABASES = {"default": database.connect_to_embedded(DATA_DIR)}
else:
    DATABASES = {"default": database.connect_to_configured()}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The library's own migrations don't reverse; ours apply the same statements, and do.
MIGRATION_MODULES = {"procrastinate": "core.queue.migrations"}

# --- The application -------------------------------------------------------------------------------

CORS_ALLOWED_ORIGINS = env.CORS_ALLOWED_ORIGINS.get()

INSTALLED_APPS = [
    "core",  # first, since its templates take the place of the admin's
    "catalog",
    "core.admin_config.MusterAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",  # runserver serves static files as production does
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "csp",
    *(["corsheaders"] if CORS_ALLOWED_ORIGINS else []),
    "agents",
    "knowledge",
    "core.limits",
    "core.queue.apps.QueueConfig",  # behind the apps whose tasks it looks for
]

MIDDLEWARE = [
    "core.observability.middleware.ObservabilityMiddleware",
    # What sets headers on all answers, those of the middleware below too.
    "core.middleware.ContentSecurityPolicyMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    *(["corsheaders.middleware.CorsMiddleware"] if CORS_ALLOWED_ORIGINS else []),
    "django.middleware.security.SecurityMiddleware",
    "core.api.shortcut.middleware.ShortcutMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "core.middleware.RequestContextMiddleware",  # behind what knows the user
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# What `manage.py serve` starts.
WEB_HOST = env.WEB_HOST.get()
WEB_PORT = env.WEB_PORT.get()
WEB_WORKERS = env.WEB_WORKERS.get()
WEB_THREADS = env.WEB_THREADS.get()
WEB_GRACE_SECONDS = env.WEB_GRACE_SECONDS.get()

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = True
FORMAT_MODULE_PATH = ["core.formats"]

# --- Who comes in ----------------------------------------------------------------------------------

AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = ["core.backends.EmailBackend"]
# The login is unique without regard to case, by a constraint over an expression, which the check can't see.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",  # reads hashes that were brought from elsewhere
]
_VALIDATORS = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"{_VALIDATORS}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_VALIDATORS}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_VALIDATORS}.CommonPasswordValidator"},
    {"NAME": f"{_VALIDATORS}.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_FAILURE_LIMIT = env.LOGIN_FAILURE_LIMIT.get()
LOGIN_LOCK_SECONDS = env.LOGIN_LOCK_SECONDS.get()

# --- Security --------------------------------------------------------------------------------------

SECRET_KEY = env.SECRET_KEY.get()
if not SECRET_KEY:
    if not EMBEDDED:
        raise env.SECRET_KEY.refusal()
    SECRET_KEY = kept_secret_key(DATA_DIR)

ENCRYPTION_KEYS = env.ENCRYPTION_KEYS.get()

_hosts = env.ALLOWED_HOSTS.get()
ALLOWED_HOSTS: list[str] = _hosts if _hosts is not None else [".localhost", "127.0.0.1", "[::1]"] if _local else []
CSRF_TRUSTED_ORIGINS = env.CSRF_TRUSTED_ORIGINS.get()
TRUSTED_PROXY_COUNT = env.TRUSTED_PROXY_COUNT.get()
# Without a proxy of ours in front, the header is the client's own word.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None

_redirect = env.SECURE_SSL_REDIRECT.get()
SECURE_SSL_REDIRECT: bool = not _local if _redirect is None else _redirect
# Probes and scrapers come by plain HTTP from inside.
SECURE_REDIRECT_EXEMPT = [r"^health(/|$)", r"^api/agents/health", r"^metrics$"]
SECURE_HSTS_SECONDS = env.SECURE_HSTS_SECONDS.get() if SECURE_SSL_REDIRECT else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = "core.observability.error_pages.DiscreetReporterFilter"

# By key only: a page of another origin can't make a browser send the session's cookie.
CORS_ALLOW_CREDENTIALS = False
CORS_URLS_REGEX = r"^/(api|v1)/"
CORS_ALLOW_HEADERS = [*default_headers, "idempotency-key", "if-match", "if-none-match", "x-request-id"]
CORS_EXPOSE_HEADERS = ["ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

# --- Files -----------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
MEDIA_ROOT = DATA_DIR / "media"
MEDIA_URL = "media/"
STORAGES = {
    **storage.backends(),
    "staticfiles": {
        # Names with a content hash, for which `collectstatic` must have run; locally files serve as they are.
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if _local
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
ARTIFACT_MAX_BYTES = env.ARTIFACT_MAX_BYTES.get()
TELEMETRY_MAX_BYTES = env.TELEMETRY_MAX_BYTES.get()
TELEMETRY_MAX_DECOMPRESSED_BYTES = env.TELEMETRY_MAX_DECOMPRESSED_BYTES.get()
ARTIFACT_MAX_TEXT_BYTES = env.ARTIFACT_MAX_TEXT_BYTES.get()
DOCUMENT_MAX_BYTES = env.DOCUMENT_MAX_BYTES.get()
DOCUMENT_MAX_CHARACTERS = env.DOCUMENT_MAX_CHARACTERS.get()
EXTRACTION_MEMORY_BYTES = env.EXTRACTION_MEMORY_BYTES.get()
EXTRACTION_SECONDS = env.EXTRACTION_SECONDS.get()
WHITENOISE_USE_FINDERS = _local
WHITENOISE_AUTOREFRESH = DEBUG

# The demo story: each app's part is a demo.json, and they load in this order.
FIXTURE_DIRS = [BASE_DIR / "fixtures" / app for app in ("core", "catalog", "agents", "knowledge")]

# --- Background work -------------------------------------------------------------------------------

PURGE_AFTER_DAYS = env.PURGE_AFTER_DAYS.get()
OUTBOUND_ALLOW = env.OUTBOUND_ALLOW.get()

# --- The API ---------------------------------------------------------------------------------------

# Requests a minute: by what is asked, whose they are, and the plan tier. What has no limits at all isn't there.
RATE_LIMITS: dict[str, dict[str, dict[str, int]]] = {
    budget: limits
    for budget, limits in {
        "api": {"principal": env.RATE_LIMIT_KEY.get(), "organization": env.RATE_LIMIT_ORGANIZATION.get()},
        "telemetry": {
            "principal": env.TELEMETRY_RATE_LIMIT_KEY.get(),
            "organization": env.TELEMETRY_RATE_LIMIT_ORGANIZATION.get(),
        },
    }.items()
    if any(limit for by_tier in limits.values() for limit in by_tier.values())
}

CACHE_URL = env.CACHE_URL.get()
DATA_UPLOAD_MAX_MEMORY_SIZE = env.REQUEST_MAX_BYTES.get()

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "core.api.authentication.KeyAuthentication",
        "core.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["core.api.permissions.ScopeAndRole"],
    "DEFAULT_RENDERER_CLASSES": ["core.api.renderers.JSONRenderer", "core.api.renderers.BrowsableRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.api.renderers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["core.api.filters.FilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "core.api.pagination.KeysetPagination",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS would tell of choices; the schema tells of all that is public
    "DEFAULT_SCHEMA_CLASS": "core.api.schema.MusterSchema",
    "EXCEPTION_HANDLER": "core.api.problems.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Muster",
    "DESCRIPTION": "The system of record for teams that run AI agents.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "core.api.schema.add_problem",
        "core.api.schema.allow_narrowed_rows",
    ],
    "ENUM_NAME_OVERRIDES": {
        "RoleEnum": "core.models.Role",
        "SquadRoleEnum": "agents.models.SquadRole",
        "SpanStatusEnum": "agents.models.SpanStatus",
        "WorkStatusEnum": "agents.models.TaskStatus",  # tasks and runs have the same
    },
}

# --- Embedding -------------------------------------------------------------------------------------

EMBEDDING_MODELS = env.EMBEDDING_MODELS.get()
EMBEDDING_MODELS_DIR = env.EMBEDDING_MODELS_DIR.get() or DATA_DIR / "models"
EMBEDDING_THREADS = env.EMBEDDING_THREADS.get()
EMBEDDING_API_URL = env.EMBEDDING_API_URL.get()
EMBEDDING_API_KEY = env.EMBEDDING_API_KEY.get()
EMBEDDING_API_BATCH = env.EMBEDDING_API_BATCH.get()
EMBEDDING_API_TIMEOUT = env.EMBEDDING_API_TIMEOUT.get()

# --- Logs and metrics ------------------------------------------------------------------------------------------

LOG_LEVEL = env.LOG_LEVEL.get()
LOG_FORMAT = env.LOG_FORMAT.get() or ("plain" if DEBUG else "json")
ACCESS_LOG = env.ACCESS_LOG.get()
METRICS_TOKEN = env.METRICS_TOKEN.get()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "core.observability.logs.RequestFilter"}},
    "formatters": {
        "plain": {"()": "core.observability.logs.PlainFormatter"},
        "json": {"()": "core.observability.logs.JSONFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["request"]}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Django gives it handlers of its own, by which each line would come twice.
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        # Never below INFO: its DEBUG lines hold the statements' values. DB_ECHO logs to muster.sql instead.
        "django.db.backends": {"level": "INFO"},
        "muster.sql": {"level": "INFO"},
        # Nor these: all that a template is given, headers, signatures, addresses.
        "django.template": {"level": "INFO"},
        "botocore": {"level": "INFO"},
        "httpcore": {"level": "INFO"},
        "urllib3": {"level": "INFO"},
        # They tell at each start of any command what tasks there are, and of each job that is enqueued.
        "procrastinate.blueprints": {"level": "WARNING"},
        "procrastinate.periodic": {"level": "WARNING"},
        "procrastinate.jobs": {"level": "WARNING"},
    },
}
