"""The program as it serves: a granian of its own, on the database of the test.

For what only a real server shows: memory, broken connections. Tests that start one are marked
``@pytest.mark.django_db(transaction=True)``, so that it sees what the test has committed.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from tests.kit.postgres import free_port
from tests.kit.processes import children, kill_family
from tests.kit.waiting import PATIENCE

GRACE_SECONDS = 30  # a process that is told to stop while it starts doesn't hear it, and is killed then
UNLIMITED = dict.fromkeys(
    (
        "RATE_LIMIT_KEY",
        "RATE_LIMIT_ORGANIZATION",
        "TELEMETRY_RATE_LIMIT_KEY",
        "TELEMETRY_RATE_LIMIT_ORGANIZATION",
    ),
    "0",
)


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, where it keeps files, and its worker process."""

    host: str
    port: int
    media: Path
    worker: int

    def url(self, path: str) -> str:
        """Return an address of the server."""
        return f"http://{self.host}:{self.port}{path}"

    def peak_memory(self) -> int:
        """Return the most memory that the worker had since ``forget_peak``, in bytes, with the files it maps."""
        return self._status("VmHWM")

    def resident(self) -> int:
        """Return how much memory the worker has now, in bytes, with the files it maps."""
        return self._status("VmRSS")

    def forget_peak(self) -> None:
        """Begin to note the peak anew."""
        Path(f"/proc/{self.worker}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.worker}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(name)


def database_url() -> str:
    """Return the test's database as DATABASE_URL wants it."""
    parameters = connection.get_connection_params()
    place = {key: parameters[key] for key in ("host", "port", "user", "password", "dbname") if parameters.get(key)}
    known = make_conninfo("", **place)
    assert known, "The test has a database."
    pairs = "&".join(f"{key}={value}" for key, value in place.items() if key != "dbname")
    return f"postgresql:///{place['dbname']}?{pairs}"


def environment(folder: Path, *, url: str = "", **variables: str) -> dict[str, str]:
    """Return the environment of a program that serves a database as production does, but by plain HTTP.

    ``url`` is another database than the test's.
    """
    return {
        **{name: value for name, value in os.environ.items() if name != "EMBEDDED_POSTGRES"},
        "DATABASE_URL": url or database_url(),
        "SECRET_KEY": settings.SECRET_KEY,
        "DATA_DIR": str(folder),
        "DEBUG": "0",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SECURE_SSL_REDIRECT": "0",
        "LOG_LEVEL": "WARNING",
        **UNLIMITED,
        **variables,
    }


@contextmanager
def serving(folder: Path, *, workers: int = 1, url: str = "", **variables: str) -> Iterator[Server]:
    """Serve while the block runs, from processes of its own, ``workers`` of two threads each.

    ``url`` is another database than the test's; ``variables`` are the server's environment.
    """
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "config.wsgi:application"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers), "--blocking-threads", "2"]
    command += ["--workers-kill-timeout", str(GRACE_SECONDS)]
    process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment(folder, url=url, **variables))
    try:
        wait_for(f"http://127.0.0.1:{port}/health/live", process)
        yield Server("127.0.0.1", port, folder / "media", max(children(process.pid)))
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            kill_family(process)
            raise


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the address answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"The server ended with {process.returncode}."
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise TimeoutError(url)
