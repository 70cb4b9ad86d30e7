"""Spans a second that are durably stored, as OpenTelemetry's exporters send them.

    uv run python -m tests.benchmarks.ingest [--spans 100000] [--batch 500] [--senders 4]

Traces of eight spans with 2.3 KB of messages a model call, over HTTP to two workers, with authentication, tenancy,
prices, links and statistics on; each request is one durable commit. The requests are made before the clock starts.
Database, server and senders share the machine.
"""

import argparse
import os
import threading
import time
from pathlib import Path
from statistics import quantiles

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections

from core.models import APIKey, Membership, Organization, Role, Scope, User
from tests.benchmarks import serving
from tests.benchmarks.load import Connection, at_once
from tests.benchmarks.spans import request
from tests.kit.processes import family

TABLES = ("agents_agentexecution", "agents_modelcall", "agents_toolexecution")
KEPT = (*TABLES, "agents_trace", "agents_spanstatistic")


def key() -> str:
    """Return a new key that may report."""
    organization, _ = Organization.objects.get_or_create(slug="telemetry", defaults={"name": "Telemetry"})
    user, _ = User.objects.get_or_create(email="telemetry@muster.example", defaults={"username": "telemetry"})
    Membership.objects.get_or_create(organization=organization, user=user, defaults={"role": Role.OWNER})
    scopes = [Scope.TELEMETRY_WRITE.value]
    return APIKey.issue(user=user, organization_id=organization.pk, name="Benchmark", scopes=scopes)[1]


def measure(query: str) -> int:
    """Return the number that a query gives."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def rows() -> int:
    """Return how many spans are stored."""
    return sum(measure(f"SELECT count(*) FROM {table}") for table in TABLES)


def size() -> int:
    """Return the bytes on disk of spans and all that follows from them."""
    return sum(measure(f"SELECT pg_total_relation_size('{table}')") for table in KEPT)


def send(port: int, text: str, bodies: list[bytes], senders: int) -> list[float]:
    """Post the bodies over so many connections at once, and return how long each took, in seconds."""
    took: list[float] = []
    waiting = iter(bodies)
    turn = threading.Lock()

    def work(_: int) -> None:
        client = Connection(port, text)
        while True:
            with turn:
                body = next(waiting, None)
            if body is None:
                return
            began = time.perf_counter()
            client.post("/v1/traces", body, "application/x-protobuf")
            took.append(time.perf_counter() - began)

    at_once(senders, work)
    return took


def main() -> None:
    """Prepare, send, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500, help="spans a request (default: %(default)s)")
    parser.add_argument("--senders", type=int, default=4)
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    text = key()
    bodies = [request(options.batch) for _ in range(options.spans // options.batch)]
    before, bytes_before = rows(), size()
    connections.close_all()
    with serving.served() as (port, server):
        send(port, text, [request(options.batch) for _ in range(20)], options.senders)  # warm
        warm = rows() - before
        database = Path(settings.DATABASES["default"]["EMBEDDED_IN"]) / "data"
        processes = [*family(server), *serving.postgres(database)]
        cpu, began = serving.cpu_seconds(processes), time.perf_counter()
        took = send(port, text, bodies, options.senders)
        wall = time.perf_counter() - began
        processes = [*family(server), *serving.postgres(database)]
        cpu = serving.cpu_seconds(processes) - cpu
        above, *workers = (serving.resident_bytes(process) / 2**20 for process in family(server))
    sent = options.batch * len(bodies)
    stored = rows() - before - warm
    cuts = quantiles((each * 1_000 for each in took), n=100)
    print(f"{sent:,} spans sent, {stored:,} stored, {options.batch} a request, {options.senders} senders")
    print(f"  {sent / wall:10,.0f} spans/s      p50 {cuts[49]:.0f} ms   p99 {cuts[98]:.0f} ms a request")
    print(f"  {cpu / sent * 1_000:10.3f} CPU seconds a thousand spans, PostgreSQL's share with them")
    print(f"  {(size() - bytes_before) / (stored + warm):10,.0f} bytes a span on disk")
    print(f"  {sum(workers):10,.0f} MB of memory in the workers, {above:.0f} in the process that starts them")


if __name__ == "__main__":
    main()
