"""What a webhook's receiver can rely on: changes told of while web server and worker are killed at random moments.

    uv run python -m tests.benchmarks.deliveries [--changes 2000] [--rate 40] [--seed 1]

Clients change projects over HTTP and by SQL; some changes are refused or rolled back. A receiver fails a third of the
time: it answers 500 or 429, breaks the connection, or lets the worker wait. Web server and worker are killed with
SIGKILL every few seconds, each, and started again. Waits between tries are cut short, in the database, so that ten
tries take minutes and not days; leases of deliveries under way are not.

In the end each committed change must have been taken (2xx), none that was rolled back may have come, each signature
must hold, and each object's events must have been taken in the order of its changes, for which each event's old value
must be the new one of the event before. ``--control order`` (and ``once``, ``signature``, ``rollback``) breaks Muster,
or the story, so that the check must fail.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from uuid import UUID

import psycopg
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.benchmarks.changes import Client, Ledger, Plan
from tests.benchmarks.processes import prepare, serve, work
from tests.core.receiver import DROP, Received, receiving
from tests.kit.postgres import free_port
from tests.kit.processes import kill_family

CONTROLS = ("order", "once", "signature", "rollback")
FAILING_SHARE = 1 / 3
MOST_FAILURES = 8  # of one message: after ten Muster rightly gives up
OVERLONG_SECONDS = 10.5  # the worker waits for 10
PROJECTS, CLIENTS = 40, 4
PATIENCE_SECONDS = 300
# What waits for its next try goes at once: its time is that of the last try and a wait, and no lease of 30 seconds.
SHORTEN = """
    UPDATE core_webhookdelivery SET next_attempt_at = now()
     WHERE status = 'pending' AND next_attempt_at > now() AND attempt_count > 0
       AND (next_attempt_at > now() + interval '31 seconds'
            OR next_attempt_at < (attempts -> -1 ->> 'at')::timestamptz + interval '7 seconds')
"""
EVENTS = """
    SELECT id, resource_id, new_value ->> 'description', extract(epoch FROM timestamp)::float
      FROM core_auditevent WHERE organization_id = %s AND event_type LIKE 'project.%%' ORDER BY id
"""
PENDING = "SELECT count(*) FROM core_webhookdelivery WHERE status = 'pending'"


@dataclass(frozen=True)
class Arrival:
    """A message that came: which event, what it says, when, and whether it was taken."""

    event: UUID
    content: dict[str, Any]
    at: float
    taken: bool


@dataclass
class Hook:
    """The receiver: fails as chance wants it, and remembers."""

    secret: str
    seed: int
    arrivals: list[Arrival] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    unsigned: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Received) -> tuple[int, dict[str, str], bytes]:
        """Take the message, or fail."""
        message = request.headers["webhook-id"]
        with self.lock:
            self.tries[message] += 1
            tries = self.tries[message]
            failure = self.failure(message, tries)
            try:
                Verifier(self.secret).verify(request.body, request.headers)
            except WebhookVerificationError:
                self.unsigned += 1
            content = json.loads(request.body)
            event = UUID(content["data"]["event"]["id"])
            assert message == f"evt_{event.hex}"
            self.arrivals.append(Arrival(event, content, time.time(), not failure))
            if failure:
                self.failures[failure] += 1
        if failure == "too late":
            time.sleep(OVERLONG_SECONDS)
        return {"500": (500, {}, b"Oops"), "429": (429, {"Retry-After": "1"}, b"")}.get(
            failure, (DROP if failure else 204, {}, b"")
        )

    def failure(self, message: str, tries: int) -> str:
        """Return how to fail this time; nothing: not at all."""
        chance = random.Random(f"{self.seed}:{message}:{tries}")
        if tries > MOST_FAILURES or chance.random() >= FAILING_SHARE:
            return ""
        return chance.choices(["500", "429", "dropped", "too late"], [48, 20, 30, 2])[0]


class Killer(threading.Thread):
    """Runs a process; kills it a while after it is ready, and starts it again, until told to stop."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]], seed: int, pause: float) -> None:
        super().__init__(name=name)
        self.start_one, self.pause = start, pause
        self.chance = random.Random(f"{seed}:{name}")
        self.running = start()
        self.kills = 0
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.wait(self.pause * self.chance.uniform(0.3, 1.7)):
            kill_family(self.running)
            self.kills += 1
            self.running = self.start_one()

    def stop(self) -> None:
        """Kill no more."""
        self.enough.set()
        if self.is_alive():
            self.join()


def subscribe(url: str) -> tuple[UUID, str, str]:
    """Make an organization with a webhook; return its id, an API key, and the webhook's secret."""
    from core.models import APIKey, Membership, Organization, Role, Scope, User
    from core.services import webhooks

    organization = Organization.objects.create(slug="deliveries", name="Deliveries")
    user = User.objects.create(email="deliveries@muster.example", username="deliveries")
    Membership.objects.create(organization=organization, user=user, role=Role.OWNER)
    scopes = [Scope.AGENTS_READ.value, Scope.AGENTS_WRITE.value]
    key = APIKey.issue(user=user, organization_id=organization.pk, name="Benchmark", scopes=scopes)[1]
    _, secret = webhooks.register(organization_id=organization.pk, url=url, event_types=["project.*"])
    return organization.pk, key, secret


def story(plan: Plan, ledger: Ledger, pause: float) -> tuple[dict[str, int], float]:
    """Make the changes while processes are killed, wait until all is told; return the kills and the last wait."""
    clients = [Client(plan, ledger, number) for number in range(plan.clients)]
    starts = {"web": lambda: serve(plan.port), "worker": lambda: work(plan.database)}
    killers = [Killer(name, start, plan.seed, pause) for name, start in starts.items()]
    try:
        for _ in range(PROJECTS):
            clients[0].create()
        for thread in (*clients, *killers):
            thread.start()
        with psycopg.connect(plan.database, autocommit=True) as connection:
            while any(client.is_alive() for client in clients):
                if not all(killer.is_alive() for killer in killers):
                    raise SystemExit("A process didn't start again.")
                connection.execute(SHORTEN)
                time.sleep(0.2)
            for killer in killers:
                killer.stop()
            ended = time.monotonic()
            while connection.execute(PENDING).fetchone() != (0,):
                if time.monotonic() > ended + PATIENCE_SECONDS:
                    print(f"After {PATIENCE_SECONDS} s deliveries wait still.")
                    break
                connection.execute(SHORTEN)
                time.sleep(0.2)
            return {killer.name: killer.kills for killer in killers}, time.monotonic() - ended
    finally:
        for killer in killers:
            killer.stop()
            kill_family(killer.running)


def check(organization: UUID, database: str, ledger: Ledger, hook: Hook) -> list[str]:
    """Print what came, and return what shouldn't be."""
    with psycopg.connect(database) as connection:
        events = connection.execute(EVENTS, [organization]).fetchall()
        states = dict(connection.execute("SELECT status, count(*) FROM core_webhookdelivery GROUP BY 1").fetchall())
    taken: dict[UUID, Arrival] = {}
    for arrival in hook.arrivals:
        if arrival.taken:
            taken.setdefault(arrival.event, arrival)
    known, marks = {event for event, *_ in events}, {mark for _, _, mark, _ in events}
    told = {mark_of(arrival) for arrival in hook.arrivals}
    findings = {
        "committed changes never taken": len(known - taken.keys()),
        "acknowledged changes that aren't there": len(ledger.confirmed - marks),
        "messages of what was rolled back": len(ledger.refused & told),
        "messages of no event": len({arrival.event for arrival in hook.arrivals} - known),
        "signatures that don't hold": hook.unsigned,
        "messages whose tries differ": differing(hook.arrivals),
        "events out of order": out_of_order(list(taken.values())),
        "deliveries given up or waiting": sum(states.values()) - states.get("delivered", 0),
        "answers that no kill explains": len(ledger.surprises),
    }
    waits = sorted(taken[event].at - at for event, _, _, at in events if event in taken)
    print(
        f"{len(ledger.confirmed):,} changes acknowledged, {len(ledger.refused):,} refused or rolled back, "
        f"{len(ledger.unknown):,} never answered; {len(events):,} events of {len({row[1] for row in events})} objects"
    )
    print(f"  answers to clients {dict(ledger.answers)}")
    print(
        f"  {len(hook.arrivals):,} messages came, {sum(hook.failures.values()):,} were failed {dict(hook.failures)}; "
        f"{sum(arrival.taken for arrival in hook.arrivals) - len(taken):,} were taken again"
    )
    print(f"  from change to taken: median {median(waits):.1f} s, longest {waits[-1]:.1f} s")
    for finding, count in findings.items():
        print(f"  {finding}: {count}")
    for surprise in ledger.surprises[:5]:
        print(f"    {surprise}")
    return [finding for finding, count in findings.items() if count]


def mark_of(arrival: Arrival) -> str | None:
    """Return the mark of the change that a message tells of."""
    mark: str | None = arrival.content["data"]["event"]["new_value"].get("description")
    return mark


def differing(arrivals: list[Arrival]) -> int:
    """Return how many messages said different things at different tries."""
    first: dict[UUID, dict[str, Any]] = {}
    return sum(first.setdefault(arrival.event, arrival.content) != arrival.content for arrival in arrivals)


def out_of_order(taken: list[Arrival]) -> int:
    """Return how many of these don't go on where the one before of their object ended."""
    last: dict[str, str | None] = defaultdict(lambda: None)
    broken = 0
    for arrival in taken:
        event = arrival.content["data"]["event"]
        before = (event["old_value"] or {}).get("description")
        broken += before != last[event["resource_id"]]
        last[event["resource_id"]] = mark_of(arrival)
    return broken


def main() -> None:
    """Run the story."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=40, help="changes a second (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=12, help="seconds between kills, mean (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", choices=CONTROLS, default="")
    options = parser.parse_args()
    tasks = {"BENCHMARK_TASKS": "tests.benchmarks.sabotage", "BENCHMARK_CONTROL": options.control}
    database = prepare(
        "deliveries", OUTBOUND_ALLOW="127.0.0.1", LOG_LEVEL="ERROR", **(tasks if options.control else {})
    )
    hook = Hook("", options.seed)
    with receiving(hook.answer) as receiver:
        organization, key, hook.secret = subscribe(receiver.url())
        plan = Plan(
            free_port(),
            key,
            database.url,
            options.changes,
            options.rate,
            CLIENTS,
            options.seed,
            commit_all=options.control == "rollback",
        )
        ledger, began = Ledger(), time.monotonic()
        kills, waited = story(plan, ledger, options.pause)
        spent = time.monotonic() - began
        print(
            f"{spent:.0f} s, the last {waited:.0f} after the last change; killed {kills}; "
            f"load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores; seed {options.seed}"
        )
        violations = check(organization, database.url, ledger, hook)
    print("VIOLATED: " + ", ".join(violations) if violations else "All of it holds.")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
