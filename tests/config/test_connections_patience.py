"""How long anybody waits for a server, and what they hear meanwhile."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from config.postgresql import patience
from config.postgresql.patience import Lifeline, PatientConnection, is_silence
from tests.kit.listening import deaf_port
from tests.kit.postgres import Postgres
from tests.kit.waiting import PATIENCE, eventually

from .conftest import Project


class Attempt:
    """An attempt that lasts until it is let go, and succeeds."""

    def __init__(self) -> None:
        self.begun, self.done = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.done.wait(PATIENCE)


def refused() -> None:
    raise psycopg.OperationalError("refused")


def forbidden() -> None:
    raise AssertionError("Another thread has asked.")


@contextmanager
def another_asks() -> Iterator[tuple[Lifeline, ThreadPoolExecutor]]:
    """Give a lifeline that knows of a failure, while another thread asks it again, and succeeds afterwards."""
    lifeline, attempt = Lifeline(), Attempt()
    with pytest.raises(psycopg.OperationalError):
        lifeline.ask(refused)
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(lifeline.ask, attempt)
        assert attempt.begun.wait(PATIENCE)
        yield lifeline, threads
        attempt.done.set()
        asking.result()


def test_while_one_asks_again_the_others_hear_of_the_failure_just_now() -> None:
    with another_asks() as (lifeline, _), pytest.raises(psycopg.OperationalError, match="refused"):
        lifeline.ask(forbidden)


def test_they_hear_nothing_of_a_failure_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "NEWS", 0.0)  # by the next moment, it is long ago
    begun = threading.Event()

    with another_asks() as (lifeline, threads):

        def ask() -> None:
            begun.set()
            lifeline.ask(forbidden)

        waiting = threads.submit(ask)
        assert begun.wait(PATIENCE)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=1)
    waiting.result()


# --- What counts as an answer ----------------------------------------------------------------------

# No address of any machine: the kernel says at once that there is no way to it, and sends nothing.
NOWHERE = "224.0.0.1"


@pytest.mark.parametrize(("hosts", "silent"), [(NOWHERE, True), (f"{NOWHERE},{NOWHERE}", True), ("127.0.0.1", False)])
def test_a_machine_without_a_way_to_it_is_silent_and_one_that_refuses_is_not(hosts: str, silent: bool) -> None:
    with deaf_port() as port, pytest.raises(psycopg.OperationalError) as refusal:
        psycopg.connect(host=hosts, port=port, connect_timeout=60)
    assert is_silence(refusal.value) is silent


@pytest.mark.parametrize("hosts", [f"{NOWHERE},127.0.0.1", f"127.0.0.1,{NOWHERE}"])
def test_of_several_machines_one_that_answers_is_enough(hosts: str) -> None:
    with deaf_port() as port, pytest.raises(psycopg.OperationalError) as refusal:
        psycopg.connect(host=hosts, port=port, connect_timeout=60)
    assert not is_silence(refusal.value)


# --- Statements ------------------------------------------------------------------------------------


@contextmanager
def patient(sign_of_life: Callable[[], None]) -> Iterator[tuple[PatientConnection, int]]:
    """Give a connection to the test's database, and its process; no limit of the server's ends its statements."""
    with (
        pytest.MonkeyPatch.context() as patch,
        PatientConnection.connect(**connection.get_connection_params(), autocommit=True) as direct,
    ):
        direct.execute("SET statement_timeout = 0")
        patch.setattr(patience, "PATIENCE", 0.1)
        direct.sign_of_life = sign_of_life
        process = direct.info.backend_pid
        try:
            yield direct, process
        finally:  # what is given up at this end may go on at the other
            with psycopg.connect(**connection.get_connection_params()) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [process])


def test_a_statement_that_is_given_up_ends_on_the_server_too(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "GRACE", 0.1)
    monkeypatch.setattr(patience, "CANCEL", PATIENCE)
    with patient(lambda: None) as (direct, process):
        direct.limit = 0.1
        with pytest.raises(psycopg.OperationalError, match="gave no answer within"):
            direct.execute("SELECT pg_sleep(600)")
        assert direct.closed
        eventually(lambda: not is_there(process), "the statement's end")


def test_a_statement_is_given_up_when_there_is_no_way_to_the_server(db: None) -> None:
    def ask() -> None:
        psycopg.connect(host=NOWHERE, connect_timeout=5).close()

    with patient(ask) as (direct, _):
        with pytest.raises(psycopg.OperationalError, match="no sign of life"):
            direct.execute("SELECT pg_sleep(600)")
        assert direct.closed


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server on a TCP port."""
    folder = Path(tempfile.mkdtemp(prefix="muster-patience-"))  # which the server's user can enter
    server = Postgres(folder, fsync="off")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.mark.parametrize("resolved", [f'[(2, 1, 6, "", ("{NOWHERE}", 0))]', '(_ for _ in ()).throw(OSError("away"))'])
def test_a_statement_goes_on_wherever_the_server_s_name_leads(
    resolved: str, postgres: Postgres, project: Project
) -> None:
    """The sign of life comes from the connection's own server, whatever the name service says by now."""
    code = f"""
import socket
from django.db import connection
from config.postgresql import patience
patience.PATIENCE = 0.1
connection.ensure_connection()
socket.getaddrinfo = lambda *_, **__: {resolved}
asked = []
alive = connection.connection.sign_of_life
connection.connection.sign_of_life = lambda: asked.append(alive())
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_sleep(3)")
print(asked[:1])
"""
    address = postgres.url.replace("127.0.0.1", "localhost")
    result = project.run("-c", code, DATABASE_URL=address, SECRET_KEY="k" * 60, DEBUG="1")
    assert result.stdout.splitlines() == ["[None]"], result.stderr


def is_there(process: int) -> bool:
    """Tell whether the server has this process."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        return other.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [process]).fetchone() is not None


@pytest.mark.parametrize(
    "options", ["-c statement_timeout=0", "-c work_mem=8MB -cStatement_Timeout=60s", "--statement-timeout=0"]
)
def test_a_limit_for_statements_in_the_url_is_refused(options: str, project: Project) -> None:
    """The server would go by it, and the client by DB_STATEMENT_TIMEOUT."""
    address = f"postgresql://clerk:hunter2@db/books?options={options.replace(' ', '%20').replace('=', '%3D')}"
    line = project.refusal(DATABASE_URL=address)
    assert line.startswith("DATABASE_URL: got 'postgresql://clerk:***@db")
    assert line.endswith("; wants no statement_timeout in its options, but DB_STATEMENT_TIMEOUT")
