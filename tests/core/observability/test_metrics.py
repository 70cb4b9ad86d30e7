"""`/metrics`: who reads it, what it counts, and by what it counts."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agents.models import Task
from config import env
from config.postgresql.pool import close_pool
from core.models import APIKey
from core.observability import sharing, views
from core.observability.metrics import REGISTRY, note_pool
from tests.factories import make
from tests.factories.procrastinate import ProcrastinateJobFactory
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY, ApiClient
from tests.kit.server import serving
from tests.kit.waiting import PATIENCE

TOKEN = "token-of-the-metrics-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

Sample = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture(autouse=True)
def _token(settings: pytest.FixtureRequest) -> None:
    settings.METRICS_TOKEN = TOKEN  # type: ignore[attr-defined]


def parse(text: str) -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(name: str, **labels: str) -> float:
    """Return the value of a sample as `/metrics` tells it; 0 where it tells of none."""
    answer = ApiClient().get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    return parse(answer.content.decode()).get((name, frozenset(labels.items())), 0)


# --- Who reads it ----------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "credentials", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer é"]
)
def test_nobody_reads_it_without_the_token(credentials: str) -> None:
    answer = ApiClient().get("/metrics", headers={"Authorization": credentials})
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert b"muster_" not in answer.content


@pytest.mark.django_db
def test_without_a_token_configured_none_is_right(settings: pytest.FixtureRequest) -> None:
    settings.METRICS_TOKEN = ""  # type: ignore[attr-defined]
    for credentials in ("Bearer", "Bearer ", "Bearer None"):
        assert ApiClient().get("/metrics", headers={"Authorization": credentials}).status_code == 401


def test_staff_read_it_and_others_do_not(owner: Actor) -> None:
    assert owner.client.get("/metrics").status_code == 401
    assert owner.by_key.get("/metrics").status_code == 401
    owner.user.is_staff = True
    owner.user.save()
    assert owner.client.get("/metrics").status_code == 200


@pytest.mark.django_db
def test_it_is_text_that_prometheus_reads() -> None:
    answer = ApiClient().get("/metrics", headers=BEARER)
    assert answer["Content-Type"].startswith("text/plain")
    assert "no-store" in answer["Cache-Control"]
    open_metrics = ApiClient().get("/metrics", headers={**BEARER, "Accept": "application/openmetrics-text"})
    assert open_metrics.content.endswith(b"# EOF\n")


# --- Requests --------------------------------------------------------------------------------------


@pytest.fixture
def client(owner: Actor) -> ApiClient:
    """A client whose key was used just now, so that its requests go the short way."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {APIKey._meta.db_table} SET last_used_at = now() WHERE id = %s", [owner.key.pk])
    return owner.by_key


@pytest.mark.parametrize("way", [{}, ORDINARY_WAY], ids=["short", "ordinary"])
def test_both_ways_count_by_one_route(way: dict[str, str], client: ApiClient, owner: Actor) -> None:
    task = make(Task, organization=owner.organization)
    for path, route in (("/api/v1/tasks/", "/api/v1/tasks/"), (f"/api/v1/tasks/{task.pk}/", "/api/v1/tasks/<pk>/")):
        labels = {"route": route, "method": "GET"}
        before = read("muster_http_requests_total", **labels, status="2xx")
        timed = read("muster_http_request_duration_seconds_count", **labels)
        for _ in range(3):
            assert client.get(path, headers=way).status_code == 200
        assert read("muster_http_requests_total", **labels, status="2xx") == before + 3
        assert read("muster_http_request_duration_seconds_count", **labels) == timed + 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "route", "told", "status"),
    [
        ("GET", "/nothing/here", "unmatched", "GET", "4xx"),
        ("GET", "/api/v1/any/thing/", "/api/<rest>", "GET", "4xx"),
        ("GET", "/health/live", "/health/live", "GET", "2xx"),
        ("BREW", "/health/live", "/health/live", "other", "4xx"),
        ("POST", "/v1/traces", "/v1/traces", "POST", "4xx"),
        ("GET", "/static/core/admin.css", "/static/", "GET", "2xx"),
    ],
)
def test_other_requests_count_by_their_pattern(method: str, path: str, route: str, told: str, status: str) -> None:
    labels = {"route": route, "method": told, "status": status}
    before = read("muster_http_requests_total", **labels)
    ApiClient().generic(method, path)
    assert read("muster_http_requests_total", **labels) == before + 1


def test_a_made_up_record_makes_no_route(client: ApiClient) -> None:
    for _ in range(2):
        client.get("/api/v1/made-up-9f8e/")
    assert b"made-up-9f8e" not in ApiClient().get("/metrics", headers=BEARER).content


# --- Records, pool, queue --------------------------------------------------------------------------


def test_spans_and_bulk_rows_are_counted(owner: Actor) -> None:
    spans, rows = (read("muster_records_ingested_total", source=source) for source in ("telemetry", "bulk"))
    rejected = read("muster_spans_rejected_total")
    good = {"traceId": "5b" * 16, "spanId": "ee" * 8, "name": "chat", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    good["startTimeUnixNano"] = good["endTimeUnixNano"] = "1760000000000000000"
    bad = {**good, "spanId": "00" * 8}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [good, bad]}]}]}
    assert owner.by_key.post("/v1/traces", body).status_code == 200
    assert read("muster_records_ingested_total", source="telemetry") == spans + 1
    assert read("muster_spans_rejected_total") == rejected + 1
    made = owner.by_key.post("/api/v1/tasks/", [{"name": f"Task {n}", "task_type": "code"} for n in range(3)])
    assert made.status_code == 201, made.content
    assert read("muster_records_ingested_total", source="bulk") == rows + 3


@pytest.mark.django_db(transaction=True)
def test_the_pool_is_told_as_it_stands_now() -> None:
    def noted() -> float | None:
        note_pool()
        return REGISTRY.get_sample_value("muster_database_pool_connections", {"state": "maximum"})

    connection.ensure_connection()
    assert noted() == noted() == env.DB_POOL_SIZE.get() + env.DB_MAX_OVERFLOW.get()
    connection.close()
    close_pool(connection.alias)
    assert noted() == noted() == 0
    connection.ensure_connection()
    assert noted() == env.DB_POOL_SIZE.get() + env.DB_MAX_OVERFLOW.get()


@pytest.mark.django_db
def test_connections_and_queue() -> None:
    waits, failed = ProcrastinateJobFactory(queue_name="slow"), ProcrastinateJobFactory(queue_name="slow")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", [failed.pk])
        cursor.execute("UPDATE procrastinate_events SET at = now() - interval '1 minute' WHERE job_id = %s", [waits.pk])
    assert read("muster_database_up") == 1
    assert read("muster_database_connections", application="muster pytest", state="active") >= 1
    assert read("muster_database_connections_maximum") > 1
    assert read("muster_queue_jobs", queue="slow", status="todo") == 1
    assert read("muster_queue_jobs", queue="slow", status="failed") == 1
    assert 59 < read("muster_queue_oldest_seconds", queue="slow") < 600


@pytest.mark.django_db
def test_programs_that_are_not_ours_are_one_series() -> None:
    parameters = connection.get_connection_params() | {"autocommit": True}
    with (
        psycopg.connect(**parameters | {"application_name": "pgAdmin 4 - CONN:4711"}),
        psycopg.connect(**parameters | {"application_name": ""}),
    ):
        text = ApiClient().get("/metrics", headers=BEARER).content.decode()
    assert "pgAdmin" not in text
    others = frozenset({"application": "other", "state": "idle"}.items())
    assert parse(text)["muster_database_connections", others] >= 2


@pytest.mark.django_db
def test_while_the_database_is_away_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("core.observability.collectors.connection.cursor", away)
    assert read("muster_database_up") == 0


# --- Processes -------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_all_processes_of_a_server_are_told_of_by_each(tmp_path: Path) -> None:
    with serving(tmp_path, METRICS_TOKEN=TOKEN, TMPDIR=str(tmp_path), workers=2) as server:
        begun, asked = time.monotonic(), 0
        # Each on a connection of its own, which the kernel gives to either process, once it listens.
        while asked < 40 or len(list(tmp_path.glob("muster-metrics-*/counter_*.db"))) < 2:
            assert time.monotonic() < begun + PATIENCE, "One of the processes answers nothing."
            urllib.request.urlopen(server.url("/health/live"), timeout=PATIENCE).close()
            asked += 1
        urllib.request.urlopen(server.url("/health/db"), timeout=PATIENCE).close()
        [folder] = tmp_path.glob("muster-metrics-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(list(folder.glob("counter_*.db"))) == 2
        request = urllib.request.Request(server.url("/metrics"), headers=BEARER)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            told = parse(answer.read().decode())
        labels = frozenset({"route": "/health/live", "method": "GET", "status": "2xx"}.items())
        assert told["muster_http_requests_total", labels] >= 40
        assert told["muster_database_pool_connections", frozenset({("state", "maximum")})] >= 1


@pytest.fixture
def _unnamed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(sharing.VARIABLE, "")  # noted by monkeypatch, which so takes away what the test sets
    monkeypatch.delenv(sharing.VARIABLE)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.mark.usefixtures("_unnamed")
def test_the_metrics_of_dead_servers_go(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = tmp_path / f"{sharing.PREFIX}{gone.pid}-1"
    replaced = tmp_path / f"{sharing.PREFIX}{os.getpid()}-1"  # another program has its number by now
    alive = tmp_path / f"{sharing.PREFIX}{os.getpid()}-{sharing.started(os.getpid())}"
    strange = tmp_path / "muster-metrics-notes"
    for folder in (dead, replaced, alive, strange):
        folder.mkdir()
    ours = sharing.share_metrics()
    assert {*tmp_path.iterdir()} == {ours, alive, strange}


def test_a_process_that_goes_while_it_is_looked_at_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    going = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def read_text(path: Path) -> str:
        with path.open() as file:
            going.kill()
            going.wait()
            return file.read()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", read_text)
        assert sharing.started(going.pid) == -1
    assert going.stdin
    going.stdin.close()


@pytest.mark.django_db
def test_two_who_read_at_once_forget_a_dead_process_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    figures = tmp_path / f"gauge_livesum_{gone.pid}.db"
    figures.touch()
    monkeypatch.setenv(sharing.VARIABLE, str(tmp_path))
    remove = os.remove

    def remove_after_another(path: str) -> None:
        remove(path)
        remove(path)

    monkeypatch.setattr(os, "remove", remove_after_another)
    generate_latest(views.registry())
    assert not figures.exists()


@pytest.mark.usefixtures("_unnamed")
def test_a_folder_that_somebody_else_made_is_refused(tmp_path: Path) -> None:
    ours = sharing.share_metrics()
    os.environ.pop(sharing.VARIABLE)
    shutil.rmtree(ours)
    (tmp_path / "elsewhere").mkdir()
    ours.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        sharing.share_metrics()


def test_the_settings_have_no_token_by_default() -> None:
    code = "from config import settings; print(repr(settings.METRICS_TOKEN))"
    environment = {name: value for name, value in os.environ.items() if name != "METRICS_TOKEN"}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "''"
