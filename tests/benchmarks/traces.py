"""Traces and statistics over HTTP, on many spans of many organizations, at rest and while more come in.

    uv run python -m tests.benchmarks.traces [--spans 5000000] [--organizations 20] [--seconds 10]

The spans come by ``POST /v1/traces``, 500 a request, of the last 30 days, each organization's in turn. Then one client
asks for the recent traces, for one trace and for the statistics by model over 30 days; and for the recent traces again
while four senders report at full speed. What is there already is kept, so that a second run only measures.
"""

import argparse
import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

import orjson
from django.core.management import call_command
from django.db import connections

from core.models import APIKey, Membership, Organization, Role, Scope, User
from tests.benchmarks import serving
from tests.benchmarks.database import unlimited_cursor
from tests.benchmarks.ingest import rows, size
from tests.benchmarks.load import Connection, at_once
from tests.benchmarks.spans import request

BATCH, SENDERS = 500, 4
DAYS = 30
RECENT, BY_MODEL = "/api/v1/traces/", "/api/v1/statistics/model-calls/?group_by=model&period=30d"


def key(number: int) -> str:
    """Return a new key of an organization, which may report and read."""
    organization, _ = Organization.objects.get_or_create(slug=f"traces-{number}", defaults={"name": f"Traces {number}"})
    user, _ = User.objects.get_or_create(email=f"traces-{number}@muster.example", username=f"traces-{number}")
    Membership.objects.get_or_create(organization=organization, user=user, defaults={"role": Role.OWNER})
    return APIKey.issue(user=user, organization_id=organization.pk, name="Benchmark", scopes=Scope.values)[1]


def report(port: int, keys: list[str], requests: int, *, spread: bool) -> None:
    """Send so many requests, of the last 30 days where they are to be spread, and else of now."""
    turn, left = threading.Lock(), requests

    def work(_: int) -> None:
        nonlocal left
        clients = [Connection(port, key) for key in keys]
        while True:
            with turn:
                if left <= 0:
                    return
                left -= 1
                number = left
            age = random.uniform(0, DAYS * 86_400) if spread else 0
            clients[number % len(keys)].post("/v1/traces", request(BATCH, age), "application/x-protobuf")
            if spread and number % 200 == 0:
                sys.stdout.write(f"\r{number * BATCH:,} spans to go    ")
                sys.stdout.flush()

    at_once(SENDERS, work)


def latencies(port: int, keys: list[str], path_of: Any, until: Any) -> tuple[float, float]:
    """Return p50 and p95, in milliseconds, of asking one after the other."""
    clients = [(Connection(port, key), key) for key in keys]
    for client, key in clients:
        client.get(path_of(key))
    took: list[float] = []
    while until():
        client, key = random.choice(clients)
        began = time.perf_counter()
        client.get(path_of(key))
        took.append((time.perf_counter() - began) * 1_000)
    cuts = quantiles(took, n=20)
    return cuts[9], cuts[18]


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=5_000_000)
    parser.add_argument("--organizations", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    keys = [key(number) for number in range(options.organizations)]
    missing = options.spans - rows()
    connections.close_all()
    with serving.served() as (port, _):
        began = time.perf_counter()
        report(port, keys, max(0, missing) // BATCH, spread=True)
        if missing >= BATCH:
            print(f"\n{missing:,} spans in {time.perf_counter() - began:,.0f} s, made and sent by the same machine")
    with unlimited_cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    print(f"{rows():,} spans of {options.organizations} organizations, {size() / 2**30:.1f} GB")
    connections.close_all()
    with serving.served() as (port, _):
        traces = {
            key: [trace["id"] for trace in orjson.loads(Connection(port, key).get(RECENT))["results"]] for key in keys
        }
        asked = {
            "recent traces": lambda key: RECENT,
            "one trace": lambda key: f"{RECENT}{random.choice(traces[key])}/",
            f"statistics by model, {DAYS} days": lambda key: BY_MODEL,
        }
        for name, path_of in asked.items():
            end = time.perf_counter() + options.seconds
            p50, p95 = latencies(port, keys, path_of, lambda end=end: time.perf_counter() < end)  # type: ignore[misc]
            print(f"  {name:32} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms")
        with ThreadPoolExecutor(1) as threads:
            began = time.perf_counter()
            sending = threads.submit(report, port, keys, 400, spread=False)
            p50, p95 = latencies(port, keys, asked["recent traces"], lambda: not sending.done())
            sending.result()
        rate = 400 * BATCH / (time.perf_counter() - began)
        print(f"  {'recent traces while spans come in':32} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms ({rate:,.0f} spans/s)")


if __name__ == "__main__":
    main()
