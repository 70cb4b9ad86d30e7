"""The database goes away under a running server, in four ways, and comes back.

One server and one PostgreSQL serve all of these tests, in one process.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from tests.kit.postgres import FAULTS, Postgres
from tests.kit.server import Server, serving
from tests.kit.waiting import eventually

pytestmark = pytest.mark.xdist_group("outages")

BOUND = 20.0  # seconds that an answer may take: patience, a connection's timeout, and a busy machine's share
BACK = 60.0  # seconds in which it must be back
POOL = 2


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Site:
    """The server and its database, and ways in."""

    server: Server
    postgres: Postgres
    key: str
    session: str

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None) -> Answer:
        began = time.monotonic()
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=4 * BOUND)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, content, time.monotonic() - began)

    def by_key(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask(method, path, {"Authorization": f"Bearer {self.key}", **headers}, body)

    def connections(self) -> int:
        with psycopg.connect(self.postgres.url) as connection:
            found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'muster web'")
            [count] = found.fetchone() or (0,)
            return int(count)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # The server's user can't enter pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="muster-outage-"))
    postgres = Postgres(folder, max_connections=12, superuser_reserved_connections=0, fsync="off")
    postgres.start()
    try:
        environment = {**os.environ, "DATABASE_URL": postgres.url, "SECRET_KEY": settings.SECRET_KEY, "DEBUG": "0"}
        command = [sys.executable, "-m", "tests.kit.cluster"]
        made = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        limits = {"DB_POOL_SIZE": str(POOL), "DB_MAX_OVERFLOW": "2", "DB_POOL_TIMEOUT": "1", "DB_CONNECT_TIMEOUT": "2"}
        with serving(tmp_path_factory.mktemp("server"), url=postgres.url, **limits) as server:
            yield Site(server, postgres, **json.loads(made.stdout))
    finally:
        postgres.stop()
        shutil.rmtree(folder)


@contextmanager
def away(site: Site, fault: Callable[[Postgres], Callable[[], None]]) -> Iterator[None]:
    """Let the fault happen, and end it with the block."""
    mend = fault(site.postgres)
    try:
        yield
    finally:
        mend()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_server_outlives_a_database_that_is(fault: Callable[[Postgres], Callable[[], None]], site: Site) -> None:
    spans: dict[str, Any] = {"resourceSpans": []}
    for _ in range(2):  # the second time by the short way, and all connections of the pool are there
        assert site.by_key("GET", "/api/v1/tasks/").status == 200
    assert site.by_key("POST", "/v1/traces", spans).status == 200
    with away(site, fault):
        for way in ({}, {"Cookie": "any=one"}):
            check_problem(site.by_key("GET", "/api/v1/tasks/", **way))
        check_problem(site.by_key("POST", "/api/v1/tasks/", {"name": "Lost", "task_type": "code"}))
        check_page(site.ask("GET", "/admin/", {"Cookie": f"sessionid={site.session}"}))
        check_telemetry(site.by_key("POST", "/v1/traces", spans))
        lives = [site.ask("GET", "/health/live", {"Cookie": f"sessionid={site.session}"}) for _ in range(5)]
        assert all((live.status, live.json()) == (200, {"status": "ok"}) for live in lives)
        assert min(live.seconds for live in lives) < 1, "It waits for the database."
        check_ready(site.ask("GET", "/health/ready"))
        assert site.ask("GET", "/health/db").status == 503
    back = time.monotonic()
    while (answer := site.by_key("GET", "/api/v1/tasks/")).status != 200:
        assert answer.status == 503, answer
        assert time.monotonic() - back < BACK
        time.sleep(0.1)
    assert site.ask("GET", "/health/ready").json()["components"]["database"]["status"] == "up"
    assert [task["name"] for task in answer.json()["results"]] == []
    check_connections(site)


def check_unavailable(answer: Answer) -> None:
    assert answer.status == 503, answer
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-request-id"]
    assert answer.headers["content-security-policy"]
    assert answer.seconds < BOUND
    assert b"127.0.0.1" not in answer.body


def check_problem(answer: Answer) -> None:
    check_unavailable(answer)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/api/problems/unavailable/"


def check_page(answer: Answer) -> None:
    check_unavailable(answer)
    assert answer.headers["content-type"].startswith("text/html")
    assert b"The database is out of reach" in answer.body


def check_telemetry(answer: Answer) -> None:
    check_unavailable(answer)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["code"] == 14  # google.rpc.Code.UNAVAILABLE


def check_ready(answer: Answer) -> None:
    check_unavailable(answer)
    assert answer.json()["components"]["database"]["status"] == "down"
    assert answer.json()["components"]["storage"]["status"] == "up"


def check_connections(site: Site) -> None:
    """Wait until the pool has what it should have, and no more, in its own eyes and the server's."""

    def it_has() -> bool:
        pool = site.ask("GET", "/health/db").json()["pool"]
        assert pool["size"] <= POOL + 2
        # One is the request's own.
        return pool["waiting"] == 0 and pool["size"] == pool["available"] + 1 == site.connections()

    eventually(it_has, "a pool that both see alike")
