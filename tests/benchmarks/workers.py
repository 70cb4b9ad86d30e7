"""What a job can rely on: two workers on one database, killed in turn every second.

    uv run python -m tests.benchmarks.workers [--jobs 1000] [--seconds 60]

Each second one of the two is killed with SIGKILL and another one started at once, so each lives for two seconds. Jobs
take 0.3 s on average; another one is on a schedule of every two seconds, beside Muster's own of every minute. When the
killing ends, the last workers go on, and find the jobs of dead ones.

In the end each job must have succeeded and have had its effect, and no time of a schedule may have led to two jobs, or
to two effects. ``--control once`` (jobs that aren't tried again) and ``--control doubled`` (a schedule without its
constraint) must fail.
"""

import argparse
import multiprocessing
import os
import sys
import time
from multiprocessing.process import BaseProcess
from typing import Any

import psycopg

from tests.benchmarks.processes import prepare

CONTEXT = multiprocessing.get_context("forkserver")
CONTROLS = ("once", "doubled")
PATIENCE_SECONDS = 240  # what a dead worker ran is started again after 90 seconds at most, and may wait for its turn
LEFT = "SELECT count(*) FROM procrastinate_jobs WHERE task_name LIKE '%.probe' AND status IN ('todo', 'doing')"
DONE = "SELECT count(DISTINCT details ->> 'number') FROM core_auditevent WHERE event_type = 'probe.done'"
FIGURES = {
    "effects": "SELECT count(*) FROM core_auditevent WHERE event_type = 'probe.done'",
    "workers": "SELECT max(id) FROM procrastinate_workers",
    "retried": "SELECT count(*) FROM procrastinate_jobs WHERE task_name LIKE '%.probe' AND attempts > 1",
    "attempts": "SELECT max(attempts) FROM procrastinate_jobs WHERE task_name LIKE '%.probe'",
    "scheduled": "SELECT count(*) FROM procrastinate_jobs WHERE args ? 'timestamp'",
    "ticks": "SELECT count(*) FROM core_auditevent WHERE event_type = 'probe.tick'",
    "cut": "SELECT count(*) FROM procrastinate_jobs WHERE args ? 'timestamp' AND status = 'failed'",
}
DOUBLED = {
    "times of a schedule with two jobs": """
        SELECT count(*) FROM (SELECT FROM procrastinate_jobs WHERE args ? 'timestamp'
         GROUP BY task_name, args ->> 'timestamp' HAVING count(*) > 1) AS doubled""",
    "times of a schedule noted twice": """
        SELECT count(*) FROM (SELECT FROM procrastinate_periodic_defers
         GROUP BY task_name, periodic_id, defer_timestamp HAVING count(*) > 1) AS doubled""",
    "scheduled jobs with two effects": """
        SELECT count(*) FROM (SELECT FROM core_auditevent WHERE event_type = 'probe.tick'
         GROUP BY details ->> 'job' HAVING count(*) > 1) AS doubled""",
}


class Campaign:
    """Workers in two places, and what they leave in the database."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.places: list[BaseProcess] = [start_worker(), start_worker()]

    def one(self, query: str) -> Any:
        """Return the value that a query gives."""
        [value] = self.connection.execute(query).fetchone() or [None]
        return value

    def kill_in_turn(self, seconds: int) -> None:
        """Kill a worker each second, and start another one in its place."""
        began = time.monotonic()
        for second in range(seconds):
            time.sleep(max(0, began + second + 1 - time.monotonic()))
            killed = self.places[second % 2]
            killed.kill()
            killed.join()
            self.places[second % 2] = start_worker()

    def finish(self) -> float:
        """Wait until no job is left, stop the workers, and return how long that took, in seconds."""
        began = time.monotonic()
        while self.one(LEFT) and time.monotonic() < began + PATIENCE_SECONDS:
            time.sleep(0.5)
        took = time.monotonic() - began
        for worker in self.places:
            worker.terminate()
            worker.join()
        return took


def start_worker() -> BaseProcess:
    """Start a worker, forked from one process that has loaded everything."""
    from tests.benchmarks.probes import run_worker

    worker = CONTEXT.Process(target=run_worker)
    worker.start()
    return worker


def check(campaign: Campaign, jobs: int) -> list[str]:
    """Print what the jobs came to, and return what shouldn't be."""
    figures = {name: campaign.one(query) for name, query in FIGURES.items()}
    states = campaign.connection.execute(
        "SELECT status::text, count(*) FROM procrastinate_jobs WHERE task_name LIKE '%.probe' GROUP BY 1"
    ).fetchall()
    print(
        "  {workers} workers came to work; {retried} jobs lost theirs, and took up to {attempts} attempts; "
        "{effects} effects\n  {scheduled} jobs by schedule, {ticks} ticks among their effects, "
        "{cut} lost their worker and waited for their next time".format(**figures)
    )
    findings = {
        "jobs that didn't succeed": jobs - dict(states).get("succeeded", 0),
        "jobs without effect": jobs - campaign.one(DONE),
        **{name: campaign.one(query) for name, query in DOUBLED.items()},
    }
    for finding, count in findings.items():
        print(f"  {finding}: {count}")
    return [finding for finding, count in findings.items() if count]


def main() -> None:
    """Run the story."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--control", choices=CONTROLS, default="")
    options = parser.parse_args()
    database = prepare(
        "workers", BENCHMARK_TASKS="tests.benchmarks.probes", BENCHMARK_CONTROL=options.control, LOG_LEVEL="CRITICAL"
    )
    CONTEXT.set_forkserver_preload(["tests.benchmarks.probes"])
    from tests.benchmarks.probes import probe

    for number in range(options.jobs):
        probe.enqueue(number)
    campaign = Campaign(database.url)
    if options.control == "doubled":
        constraint = "procrastinate_periodic_defers_unique"
        campaign.connection.execute(f"ALTER TABLE procrastinate_periodic_defers DROP CONSTRAINT {constraint}")
    campaign.kill_in_turn(options.seconds)
    print(f"{campaign.one(DONE)} of {options.jobs} jobs done when {options.seconds} workers were killed", end="")
    print(f", the last {campaign.finish():.0f} s later; load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")
    violations = check(campaign, options.jobs)
    print("VIOLATED: " + ", ".join(violations) if violations else "All of it holds.")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
