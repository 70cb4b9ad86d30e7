"""`manage.py serve`: the server of production, its processes, its end, and the static files it has."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.staticfiles import storage
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from whitenoise.storage import CompressedManifestStaticFilesStorage

from core.management.commands.serve import server_command
from tests.factories.agents import TaskFactory
from tests.kit.cast import Actor
from tests.kit.postgres import free_port
from tests.kit.processes import command_line, kill_family, web_workers
from tests.kit.server import environment, wait_for
from tests.kit.sql import run
from tests.kit.waiting import PATIENCE, eventually

# On this test's database: others test on the same server.
WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'muster web' AND wait_event_type = 'Lock'"
)
LOG = "server.log"
MANIFEST_STORAGE = "whitenoise.storage.CompressedManifestStaticFilesStorage"


@contextmanager
def served(folder: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve the test's database by the command itself, and give the process and its address."""
    port = free_port()
    command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "serve"]
    # Plain static files: to gather those of production takes longer than all of this.
    variables = {"DEBUG": "1", "WEB_PORT": str(port), "LOG_LEVEL": "INFO", **variables}
    address = f"http://127.0.0.1:{port}"
    with (folder / LOG).open("w") as log:
        process = subprocess.Popen(command, env=environment(folder, **variables), stdout=log, stderr=log)
    try:
        wait_for(f"{address}/health/live", process)
        yield process, address
    finally:
        kill_family(process)
        print((folder / LOG).read_text())


def workers(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the ids of the processes that serve."""
    return web_workers(process.pid)


@pytest.mark.django_db(transaction=True)
def test_it_serves_by_so_many_processes_and_lets_requests_end_when_told_to_stop(owner: Actor, tmp_path: Path) -> None:
    task = TaskFactory(organization=owner.organization, name="Before")

    def rename(address: str) -> int:
        headers = {"Authorization": f"Bearer {owner.key.text}", "Content-Type": "application/json"}
        url = f"{address}/api/v1/tasks/{task.pk}/"
        request = urllib.request.Request(url, b'{"name": "After"}', headers, method="PATCH")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status

    variables = {"WEB_WORKERS": "2", "WEB_THREADS": "1", "WEB_GRACE_SECONDS": "300", "DB_STATEMENT_TIMEOUT": "300"}
    with served(tmp_path, **variables) as (process, address), ThreadPoolExecutor(1) as threads:
        # The command became the server, so a signal to it is one to the server.
        assert "granian" in command_line(process.pid)
        assert len(workers(process)) == 2
        # One that is told to stop before doesn't hear it.
        eventually(lambda: (tmp_path / LOG).read_text().count("Started worker") == 2, "the start of both processes")

        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute("SELECT FROM agents_task WHERE id = %s FOR UPDATE", [task.pk])
            answer = threads.submit(rename, address)
            eventually(lambda: run(WAITING), "the request's wait for the row")
            process.send_signal(signal.SIGTERM)
            eventually(lambda: len(workers(process)) == 1, "the end of the process that had nothing to do")
            assert process.poll() is None, "It didn't wait for the request."
            assert not answer.done()
        assert answer.result(timeout=PATIENCE) == 200
        assert process.wait(timeout=PATIENCE) == 0
    task.refresh_from_db()
    assert task.name == "After"


@pytest.mark.django_db(transaction=True)
def test_it_does_not_wait_forever(owner: Actor, tmp_path: Path) -> None:
    task = TaskFactory(organization=owner.organization)
    variables = {"WEB_WORKERS": "1", "WEB_THREADS": "1", "WEB_GRACE_SECONDS": "1"}
    with served(tmp_path, **variables) as (process, address), ThreadPoolExecutor(1) as threads:
        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute("SELECT FROM agents_task WHERE id = %s FOR UPDATE", [task.pk])
            headers = {"Authorization": f"Bearer {owner.key.text}"}
            request = urllib.request.Request(f"{address}/api/v1/tasks/{task.pk}/", headers=headers, method="DELETE")
            answer = threads.submit(urllib.request.urlopen, request, timeout=PATIENCE)
            eventually(lambda: run(WAITING), "the request's wait for the row")
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=PATIENCE)
        with pytest.raises(OSError, match=r"closed connection|reset"):
            answer.result(timeout=PATIENCE)
    task.refresh_from_db()  # what wasn't answered wasn't done


@pytest.mark.django_db(transaction=True)
def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    with served(tmp_path, WEB_WORKERS="1") as (process, address):
        [killed] = workers(process)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: workers(process) not in ([], [killed]), "another process")
        wait_for(f"{address}/health/live", process)


def test_its_command_line_says_what_the_variables_say(settings: Any) -> None:
    settings.WEB_HOST, settings.WEB_PORT, settings.WEB_WORKERS, settings.WEB_THREADS = "::", 9000, 5, 7
    settings.WEB_GRACE_SECONDS = 12
    line = " ".join(server_command())
    assert "--interface wsgi --host :: --port 9000 --workers 5 --blocking-threads 7 --workers-kill-timeout 12" in line


def test_it_refuses_more_threads_than_connections(settings: Any) -> None:
    settings.WEB_THREADS = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] + 1
    with pytest.raises(CommandError, match=r"WEB_THREADS is 13, .* DB_POOL_SIZE and DB_MAX_OVERFLOW allow 12"):
        call_command("serve", "--print")


@pytest.fixture
def static_files(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Static files as production has them, in a folder of the test's own."""
    settings.STATIC_ROOT = str(tmp_path / "static")
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": MANIFEST_STORAGE}}
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = False
    assert isinstance(storages["staticfiles"], CompressedManifestStaticFilesStorage)
    return tmp_path / "static"


def test_it_refuses_to_start_without_static_files(static_files: Path) -> None:
    with pytest.raises(CommandError, match=r"no static files of this version. Run “manage.py collectstatic"):
        call_command("serve", "--print")
    assert storage.staticfiles_storage.manifest_hash == ""


@pytest.mark.django_db
def test_pages_name_static_files_by_content_and_browsers_keep_them(static_files: Path) -> None:
    call_command("collectstatic", "--no-input", "--ignore", "drf_spectacular_sidecar", verbosity=0)
    client = Client()
    page = client.get("/admin/login/").content.decode()
    address = re.search(r'href="(/static/admin/css/base\.[0-9a-f]{12}\.css)"', page)
    assert address, page
    answer = client.get(address[1], headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "max-age=315360000, public, immutable"
    assert (answer["Content-Encoding"], answer["Vary"]) == ("gzip", "Accept-Encoding")
    assert answer["Content-Type"] == 'text/css; charset="utf-8"'
    unhashed = client.get("/static/admin/css/base.css")
    assert unhashed["Cache-Control"] == "max-age=60, public"
