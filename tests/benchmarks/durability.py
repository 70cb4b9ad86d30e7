"""What an acknowledgement is worth: spans sent while the server is killed and PostgreSQL stops.

    uv run python -m tests.benchmarks.durability [--seconds 30] [--outage 10]

A PostgreSQL and a server of its own take spans from four senders, which do as exporters do: what is refused with 429 or
503, or isn't answered, they send again. A third of the way the server is killed with SIGKILL and started again; at
two thirds PostgreSQL is stopped at once, and started again after the outage. In the end each acknowledged span must be
stored, each once, and traces and statistics must say what counting all spans says.
"""

import argparse
import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

import psycopg
from django.db import connections
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.benchmarks.processes import prepare, serve
from tests.benchmarks.spans import request
from tests.kit.postgres import free_port
from tests.kit.processes import kill_family

SENDERS, BATCH = 4, 100


@dataclass
class Told:
    """What the senders were told."""

    acknowledged: set[tuple[bytes, bytes]] = field(default_factory=set)
    refusals: dict[str, int] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    stop: bool = False


def send(port: int, key: str, told: Told, lock: threading.Lock) -> None:
    """Send batch after batch, each until it is acknowledged."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-protobuf"}
    while not told.stop:
        body = request(BATCH)
        spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
        ids = {(span.trace_id, span.span_id) for span in spans}
        for _ in itertools.count():
            try:
                client = HTTPConnection("127.0.0.1", port, timeout=60)
                client.request("POST", "/v1/traces", body, headers)
                answer = client.getresponse()
                answer.read()
                outcome = str(answer.status)
            except (OSError, HTTPException) as error:
                outcome = type(error).__name__
            with lock:
                if outcome == "200":
                    told.acknowledged |= ids
                    told.times.append(time.monotonic())
                    break
                told.refusals[outcome] = told.refusals.get(outcome, 0) + 1
            if told.stop:
                return
            time.sleep(0.1)


def check(told: Told, url: str) -> None:
    """Compare what stands with what was acknowledged; end the program with 1 where they differ."""
    tables = ("agents_agentexecution", "agents_modelcall", "agents_toolexecution")
    with psycopg.connect(url) as connection:
        union = " UNION ALL ".join(f"SELECT trace_id, span_id FROM {table}" for table in tables)
        stored = connection.execute(union).fetchall()
    distinct = {(bytes(trace), bytes(span)) for trace, span in stored}
    print(f"{len(told.acknowledged):,} spans acknowledged, {len(stored):,} stored")
    missing, doubled = len(told.acknowledged - distinct), len(stored) - len(distinct)
    print(f"  missing {missing}   doubled {doubled}")
    print(f"  refusals {told.refusals}")
    if missing or doubled:
        sys.exit(1)
    from tests.agents.telemetry.recount import assert_kept

    assert_kept()
    print("  traces and statistics equal a full recount")


def main() -> None:
    """Run the story."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--outage", type=float, default=10)
    options = parser.parse_args()
    database = prepare("durability")
    from tests.benchmarks.ingest import key

    text = key()
    connections.close_all()
    port, told, lock = free_port(), Told(), threading.Lock()
    server = serve(port)
    try:
        with ThreadPoolExecutor(SENDERS) as threads:
            senders = [threads.submit(send, port, text, told, lock) for _ in range(SENDERS)]
            try:
                time.sleep(options.seconds / 3)
                kill_family(server)
                server = serve(port)
                time.sleep(options.seconds / 3)
                database.stop()
                time.sleep(options.outage)
                database.start()
                back = time.monotonic()
                time.sleep(options.seconds / 3)
            finally:
                told.stop = True
            for sender in senders:
                sender.result()
        after = [moment - back for moment in told.times if moment > back]
        print(f"first acknowledgement {min(after):.1f} s after PostgreSQL was back")
        check(told, database.url)
    finally:
        kill_family(server)
        connections.close_all()


if __name__ == "__main__":
    main()
