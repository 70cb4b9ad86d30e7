"""How long anybody waits for a server, and what they hear meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from config.postgresql import patience
from config.postgresql.patience import Lifeline, PatientConnection

from .conftest import Project


class Attempt:
    """An attempt that lasts until it is let go, and succeeds."""

    def __init__(self) -> None:
        self.begun, self.done = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.done.wait(10)


def refused() -> None:
    raise psycopg.OperationalError("refused")


def forbidden() -> None:
    raise AssertionError("Another thread has asked.")


def test_while_one_asks_again_the_others_hear_of_the_failure_just_now() -> None:
    lifeline, attempt = Lifeline(), Attempt()
    with pytest.raises(psycopg.OperationalError):
        lifeline.ask(refused)
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(lifeline.ask, attempt)
        assert attempt.begun.wait(10)
        with pytest.raises(psycopg.OperationalError, match="refused"):
            lifeline.ask(forbidden)
        attempt.done.set()
        asking.result()


def test_they_hear_nothing_of_a_failure_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "NEWS", 0.0)  # by the next moment, it is long ago
    lifeline, attempt = Lifeline(), Attempt()
    with pytest.raises(psycopg.OperationalError):
        lifeline.ask(refused)
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(lifeline.ask, attempt)
        assert attempt.begun.wait(10)
        waiting = threads.submit(lifeline.ask, forbidden)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        attempt.done.set()
        for each in (asking, waiting):
            each.result()


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
        yield direct, direct.info.backend_pid


def test_a_statement_that_is_given_up_ends_on_the_server_too(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "GRACE", 0.1)
    with patient(lambda: None) as (direct, process):
        direct.limit = 0.1
        with pytest.raises(psycopg.OperationalError, match="gave no answer within"):
            direct.execute("SELECT pg_sleep(30)")
        assert direct.closed
    deadline = time.monotonic() + 5
    while is_there(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
