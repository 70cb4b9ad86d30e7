"""How long anybody waits for a server, and what they hear meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from config.postgresql import patience
from config.postgresql.patience import Lifeline


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
