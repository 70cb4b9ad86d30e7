"""Workers as operators start them, on the test's database."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from core.models import AuditEvent
from tests.kit.server import database_url
from tests.kit.sql import run
from tests.kit.waiting import PATIENCE, eventually

MANAGE = Path(settings.BASE_DIR) / "manage.py"


def notes(event_type: str) -> list[AuditEvent]:
    """Return the traces that tasks left, oldest first."""
    return list(AuditEvent.objects.filter(event_type=event_type).order_by("timestamp"))


def statuses(task: str) -> list[tuple[str, int]]:
    """Return the status and the number of attempts of the jobs of a task."""
    name = f"%.{task}"
    return run("SELECT status::text, attempts FROM procrastinate_jobs WHERE task_name LIKE %s ORDER BY id", name)  # type: ignore[return-value]


class Workers:
    """The workers of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a worker of the tests' queue, and wait until it works."""
        [(known,)] = run("SELECT coalesce(max(id), 0) FROM procrastinate_workers")
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.core.jobs.settings",
            "PYTHONPATH": str(settings.BASE_DIR),
            "DATABASE_URL": database_url(),
            "SECRET_KEY": settings.SECRET_KEY,
            "DATA_DIR": str(self.folder),
            "DEBUG": "1",
            "LOG_LEVEL": "INFO",
        }
        log = self.folder / f"worker-{len(self.processes)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, str(MANAGE), "worker", "--queues", "probes", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=output,
                text=True,
            )
        self.processes.append(process)
        eventually(
            lambda: process.poll() is not None or run("SELECT id FROM procrastinate_workers WHERE id > %s", known),
            "the worker's start",
        )
        assert process.poll() is None, log.read_text()
        return process

    def log(self, number: int = 0) -> str:
        """Return what a worker logged."""
        return (self.folder / f"worker-{number}.log").read_text()

    def stop(self) -> None:
        """End those that run."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        run("DELETE FROM procrastinate_workers")


@pytest.fixture
def workers(transactional_db: None, tmp_path: Path) -> Iterator[Workers]:
    """Workers, none of which outlives its test."""
    started = Workers(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def word(tmp_path: Path) -> Path:
    """The file that ``wait_for`` waits for."""
    return tmp_path / "word"


def silence_workers() -> None:
    """Let it be long ago that workers were heard of, as if the clock had gone on."""
    run("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - interval '1 hour'")


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal, and return the status with which the process ends."""
    process.send_signal(number)
    return process.wait(PATIENCE)
