"""The project's settings, as a server has them, over a database of the benchmarks' own."""

import os

os.environ["DEBUG"] = "0"
os.environ.setdefault("LOG_LEVEL", "WARNING")
if not (os.environ.get("DATABASE_URL") or os.environ.get("DB_HOST")):
    os.environ["EMBEDDED_POSTGRES"] = "1"
    os.environ["DATA_DIR"] = os.environ.get("BENCHMARK_DATA_DIR", ".data/benchmarks")

from config.settings import *  # noqa: F403

ALLOWED_HOSTS = ["127.0.0.1"]
SECURE_SSL_REDIRECT = False
RATE_LIMITS = {}
ROOT_URLCONF = "tests.benchmarks.urls"
PROCRASTINATE_IMPORT_PATHS = os.environ.get("BENCHMARK_TASKS", "").split()
