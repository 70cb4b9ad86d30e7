"""Workers at work, killed, stopped, cut off: real processes on the test's database."""

import signal
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from core import audit
from core.jobs import app
from tests.core.jobs import tasks
from tests.core.jobs.conftest import Workers, end, notes, silence_workers, statuses
from tests.factories.core import UserFactory
from tests.kit.sql import run
from tests.kit.waiting import PATIENCE, eventually

pytestmark = pytest.mark.xdist_group("workers")


def test_two_workers_share_a_hundred_jobs(workers: Workers, word: Path) -> None:
    first, second = workers.start("--concurrency", "2"), workers.start("--concurrency", "2")
    for _ in range(3):  # more than either of them has threads
        tasks.wait_for.enqueue(str(word))
    eventually(lambda: len(notes("probe.begin")) == 3, "the start of jobs that need both")
    assert {event.details["process"] for event in notes("probe.begin")} == {first.pid, second.pid}
    word.touch()
    user = UserFactory(email="ada@acme.example")
    with audit.context("api", user=user.pk, email=user.email, request_id="r-1"):
        for number in range(100):
            tasks.note.enqueue(number)
    eventually(lambda: len(notes("probe.note")) >= 100, "a hundred jobs")
    assert (end(first), end(second)) == (0, 0)

    events = notes("probe.note")
    assert sorted(event.details["number"] for event in events) == list(range(100))
    assert {event.details["process"] for event in events} <= {first.pid, second.pid}
    assert statuses("note") == [("succeeded", 1)] * 100
    # Who caused the job is who the audit log names.
    assert {(event.user_id, event.user_email, event.request_id) for event in events} == {(user.pk, user.email, "r-1")}
    assert {(event.details["source"], event.details["task"]) for event in events} == {("job", tasks.note.name)}
    assert run("SELECT count(*) FROM procrastinate_workers") == [(0,)]


BOTH = ("--queues", "probes", tasks.LONG, "--concurrency", "2")


def test_long_jobs_leave_a_thread_to_others(workers: Workers, word: Path) -> None:
    worker = workers.start(*BOTH)
    for _ in range(3):
        tasks.wait_long_for.enqueue(str(word))
    eventually(lambda: notes("probe.begin"), "the first long job's start")
    tasks.note.enqueue(1)
    eventually(lambda: notes("probe.note"), "the short job")
    assert sorted(statuses("wait_long_for")) == [("doing", 0), ("todo", 0), ("todo", 0)]
    word.touch()
    eventually(lambda: len(notes("probe.end")) == 3, "the other long jobs")
    assert end(worker) == 0


def test_a_worker_of_long_jobs_alone_gives_them_all_its_threads(workers: Workers, word: Path) -> None:
    worker = workers.start("--queues", tasks.LONG, "--concurrency", "2")
    for _ in range(2):
        tasks.wait_long_for.enqueue(str(word))
    eventually(lambda: len(notes("probe.begin")) == 2, "both long jobs' start")
    word.touch()
    assert end(worker) == 0


def test_long_jobs_follow_one_another_without_a_pause(workers: Workers) -> None:
    """A worker that looked for them every few seconds only would take minutes for these."""
    for number in range(60):
        tasks.note_in_long_queue.enqueue(number)
    worker = workers.start(*BOTH)
    eventually(lambda: len(notes("probe.note")) == 60, "sixty jobs")
    assert end(worker) == 0


def test_the_job_of_a_killed_worker_is_done_by_another_one(workers: Workers, word: Path) -> None:
    killed = workers.start()
    tasks.wait_for.enqueue(str(word))
    eventually(lambda: notes("probe.begin"), "the job's start")
    assert end(killed, signal.SIGKILL) == -signal.SIGKILL
    assert statuses("wait_for") == [("doing", 0)]

    word.touch()
    silence_workers()
    app.configure_task("core.tasks.retry_stalled_jobs", queue="probes").defer(timestamp=0)
    another = workers.start()
    eventually(lambda: notes("probe.end"), "the job's end")
    assert end(another) == 0
    assert [event.details["process"] for event in notes("probe.begin")] == [killed.pid, another.pid]
    assert [event.details["process"] for event in notes("probe.end")] == [another.pid]
    assert statuses("wait_for") == [("succeeded", 2)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_told_to_stop_finishes_what_it_runs_and_takes_no_more(
    workers: Workers, word: Path, number: signal.Signals
) -> None:
    worker = workers.start("--concurrency", "1")
    tasks.wait_for.enqueue(str(word))
    eventually(lambda: notes("probe.begin"), "the job's start")
    worker.send_signal(number)
    eventually(lambda: "Stop requested" in workers.log(), "the stop")
    tasks.note.enqueue(1)
    word.touch()
    assert worker.wait(PATIENCE) == 0
    assert statuses("wait_for") == [("succeeded", 1)]
    assert statuses("note") == [("todo", 0)]


def test_a_job_that_outlasts_the_grace_is_given_back(workers: Workers, word: Path) -> None:
    worker = workers.start("--grace", "0.1")
    tasks.wait_for.enqueue(str(word))
    eventually(lambda: notes("probe.begin"), "the job's start")
    assert end(worker) == 0
    assert (statuses("wait_for"), notes("probe.end")) == ([("todo", 1)], [])


def test_a_second_signal_does_not_wait(workers: Workers, word: Path) -> None:
    worker = workers.start("--grace", "600")
    tasks.wait_for.enqueue(str(word))
    eventually(lambda: notes("probe.begin"), "the job's start")
    worker.send_signal(signal.SIGINT)
    eventually(lambda: "Stop requested" in workers.log(), "the stop")
    assert end(worker, signal.SIGINT) == 0
    assert statuses("wait_for") == [("todo", 1)]


def test_a_worker_outlives_the_database(workers: Workers) -> None:
    """No connection stays, and none is let in for a while: so it looks while a server restarts."""
    worker = workers.start()
    tasks.note.enqueue(1)
    eventually(lambda: len(notes("probe.note")) == 1, "the first job")
    place = connection.get_connection_params()
    name = sql.Identifier(place["dbname"])
    with psycopg.connect(host=place["host"], port=place["port"], user=place["user"], dbname="postgres") as server:
        server.autocommit = True
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND application_name = 'muster worker'",
                [place["dbname"]],
            )
            tasks.note.enqueue(2)
            eventually(lambda: "can't be reached" in workers.log(), "the worker's complaint")
        finally:
            server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    eventually(lambda: len(notes("probe.note")) == 2, "the second job")
    assert end(worker) == 0
