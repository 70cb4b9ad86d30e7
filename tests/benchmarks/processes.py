"""Processes of a benchmark's own, that it may kill: a PostgreSQL, web servers, workers."""

import atexit
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from django.db import connections

from tests.benchmarks.serving import START_SECONDS, wait_for
from tests.kit.postgres import Postgres

# Of dead workers the rows are removed, so that their sequence says more than they do.
LAST_WORKER = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM procrastinate_workers_id_seq"
MANAGE = Path(__file__).parents[2] / "manage.py"


def serve(port: int) -> subprocess.Popen[bytes]:
    """Start the server, as production has it."""
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--workers", "2", "--blocking-threads", "3", "--no-log", "config.wsgi:application"]
    )
    wait_for(port)
    return server


def work(url: str) -> subprocess.Popen[bytes]:
    """Start a worker on the database, as an operator does, and wait until it works."""
    with psycopg.connect(url, autocommit=True) as connection:
        last = connection.execute(LAST_WORKER).fetchone()
        worker = subprocess.Popen([sys.executable, MANAGE, "worker"])
        deadline = time.monotonic() + START_SECONDS
        while not connection.execute("SELECT id FROM procrastinate_workers WHERE id > %s", last).fetchone():
            if worker.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The worker didn't start.")
            time.sleep(0.05)
    return worker


def prepare(name: str, **variables: str) -> Postgres:
    """Start a database of the benchmark's own, migrate it, and set up Django and what is started later to use it.

    Args:
        name: of the temporary folder.
        variables: further environment variables.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"muster-{name}-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "postgres").mkdir()
    database = Postgres(folder / "postgres")
    database.start()
    atexit.register(database.stop)
    os.environ |= {
        "DATABASE_URL": database.url,
        "DATA_DIR": str(folder),
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DB_POOL_TIMEOUT": "2",
        "DB_CONNECT_TIMEOUT": "2",
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings",
        "PYTHONWARNINGS": "ignore:No directory at",  # of collected static files, which nobody asks for
        **variables,
    }
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    connections.close_all()
    return database
