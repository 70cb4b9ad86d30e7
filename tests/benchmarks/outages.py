"""What an acknowledgement is worth, and how long anybody waits, while the database goes away in four ways.

    uv run python -m tests.benchmarks.outages [--clients 20] [--before 5] [--outage 8] [--after 5]

A server as production has it (two workers of three threads) and a PostgreSQL of its own. The clients make tasks, each
with an Idempotency-Key of its own, and send again, after Retry-After, what was refused or not answered, as long as it
takes. Meanwhile PostgreSQL is killed, stopped, frozen, and out of connections, for a while each, and `/health/live` is
asked all the time. In the end each acknowledged task must be there, and none twice.
"""

import argparse
import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psycopg

from tests.benchmarks.serving import served
from tests.kit.postgres import FAULTS, Postgres

WEB = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'muster web'"


@dataclass
class Told:
    """What the clients were told. Times are of the monotonic clock, in seconds."""

    acknowledged: dict[str, float] = field(default_factory=dict)
    answers: list[tuple[float, float, str]] = field(default_factory=list)  # when asked, when answered, what
    live: list[tuple[float, float, str]] = field(default_factory=list)
    stop: bool = False


def ask(port: int, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[str, str]:
    """Return the status of the answer, or the name of what went wrong; and its Retry-After."""
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
    except (OSError, HTTPException) as error:
        return type(error).__name__, ""
    return str(answer.status), answer.headers.get("Retry-After", "")


def write(port: int, key: str, told: Told) -> None:
    """Make task after task, each until it is acknowledged."""
    while not told.stop:
        name = uuid.uuid4().hex
        body = json.dumps({"name": name, "task_type": "code"})
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Idempotency-Key": name}
        for _ in itertools.count():
            began = time.monotonic()
            outcome, retry_after = ask(port, "POST", "/api/v1/tasks/", body, headers)
            ended = time.monotonic()
            told.answers.append((began, ended, outcome))
            if outcome == "201":
                told.acknowledged[name] = ended
                break
            if told.stop:
                return
            time.sleep(min(float(retry_after or 1), 1.0))  # sooner than told, to see when it is back


def look(port: int, told: Told) -> None:
    """Ask whether the process lives, again and again."""
    while not told.stop:
        began = time.monotonic()
        outcome, _ = ask(port, "GET", "/health/live", None, {})
        told.live.append((began, time.monotonic(), outcome))
        time.sleep(0.1)


def report(name: str, told: Told, began: float, mended: float) -> None:
    """Print how one outage went."""
    meant = [(start, end, outcome) for start, end, outcome in told.answers if end > began]
    during = [each for each in meant if each[0] < mended]
    first = min((end for _, end, outcome in meant if end > mended and outcome == "201"), default=float("inf"))
    longest = max((end - start for start, end, _ in meant), default=0)
    live = [(end - start, outcome) for start, end, outcome in told.live if end > began and start < mended]
    kinds = dict(Counter(outcome for _, _, outcome in during))
    print(
        f"{name:20} back after {first - mended:4.1f} s   longest request {longest:4.1f} s"
        f"   live: {len(live)} asked, {sum(outcome != '200' for _, outcome in live)} failed,"
        f" slowest {max(seconds for seconds, _ in live):.2f} s   answers {kinds}",
        flush=True,
    )


def check(told: Told, url: str, clients: int) -> None:
    """Compare what stands with what was acknowledged; end the program with 1 where they differ."""
    with psycopg.connect(url) as connection:
        stored = Counter(name for (name,) in connection.execute("SELECT name FROM agents_task").fetchall())
        [web] = connection.execute(WEB).fetchone() or (0,)
    acknowledged = set(told.acknowledged)
    print(f"{len(acknowledged):,} tasks acknowledged to {clients} clients, {sum(stored.values()):,} stored")
    missing, doubled = len(acknowledged - set(stored)), sum(count > 1 for count in stored.values())
    print(f"  missing {missing}   doubled {doubled}")
    print(f"  the server holds {web} connections afterwards")
    if missing or doubled:
        sys.exit(1)


def main() -> None:
    """Run the story."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--before", type=float, default=5)
    parser.add_argument("--outage", type=float, default=8)
    parser.add_argument("--after", type=float, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="muster-outages-"))
    postgres = Postgres(folder, max_connections=40)
    postgres.start()
    os.environ |= {
        "DATABASE_URL": postgres.url,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings",
    }
    try:
        made = subprocess.run([sys.executable, "-m", "tests.kit.cluster"], stdout=subprocess.PIPE, check=True)
        told = Told()
        with served() as (port, _):
            run(port, json.loads(made.stdout)["key"], postgres, told, options)
            check(told, postgres.url, options.clients)
    finally:
        postgres.stop()
        shutil.rmtree(folder)


def run(port: int, key: str, postgres: Postgres, told: Told, options: argparse.Namespace) -> None:
    """Let the clients write, and the faults happen."""
    with ThreadPoolExecutor(options.clients + 1) as threads:
        working = [threads.submit(write, port, key, told) for _ in range(options.clients)]
        working.append(threads.submit(look, port, told))
        try:
            trouble(postgres, told, options)
        finally:
            told.stop = True
        for each in working:
            each.result()


def trouble(postgres: Postgres, told: Told, options: argparse.Namespace) -> None:
    """Let the faults happen, one after the other, and print how each went."""
    for fault in FAULTS:
        time.sleep(options.before)
        mend = fault(postgres)
        began = time.monotonic()
        time.sleep(options.outage)
        mend()
        mended = time.monotonic()
        time.sleep(options.after)
        report(fault.__name__.replace("_", " "), told, began, mended)


if __name__ == "__main__":
    main()
