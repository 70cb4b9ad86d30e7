"""Processes of a benchmark's own, that it may kill: a PostgreSQL, web servers, workers."""

import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections

from tests.benchmarks.serving import START_SECONDS, family, wait_for

# Of dead workers the rows are removed, so that their sequence says more than they do.
LAST_WORKER = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM procrastinate_workers_id_seq"
MANAGE = Path(__file__).parents[2] / "manage.py"


class Database:
    """A PostgreSQL of the benchmark's own."""

    def __init__(self, folder: Path) -> None:
        from config.embedded_postgres.server import binaries

        self.programs, self.data, self.port = binaries(), folder / "data", free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            folder.parent.chmod(0o755)
            self.user = {"user": "nobody"}
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "--auth", "trust", "-E", "UTF8")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **self.user
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data.parent}"
        self._run("pg_ctl", "-D", str(self.data), "-o", options, "-l", str(self.data.parent / "log"), "-w", "start")

    def stop(self) -> None:
        """Stop it at once, as if the machine had lost its power."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a server or a worker, and all processes below it, with SIGKILL."""
    for each in family(process.pid):
        with suppress(ProcessLookupError):  # it was ending by itself, as one whose parent is killed may
            os.kill(each, signal.SIGKILL)
    process.wait()


def prepare(name: str, **variables: str) -> Database:
    """Start a database of the benchmark's own, migrate it, and set up Django and what is started later to use it.

    Args:
        name: of the temporary folder.
        variables: further environment variables.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"muster-{name}-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "postgres").mkdir()
    database = Database(folder / "postgres")
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
