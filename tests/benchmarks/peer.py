"""Muster beside the stack its ancestors were built on: FastAPI, async SQLAlchemy and asyncpg.

    uv run python -m tests.benchmarks.peer FOLDER [--seconds 5] [--rounds 3] [--executions 1000000]

FOLDER holds the peer: a package ``app`` and its requirements.txt, which are installed into an environment of its own.
Both sides are served by two workers, in turn, from one PostgreSQL with as many executions in 20 organizations, and do
equal work: the same columns, the same hashed-key check, a pool of 10 and 20 more.
"""

import argparse
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"
os.environ.setdefault("DB_POOL_SIZE", "10")
os.environ.setdefault("DB_MAX_OVERFLOW", "20")

import django

django.setup()

import orjson
from django.core.management import call_command
from django.db import connections

from agents.sql.rows import LINK, signed
from agents.sql.statistics import statistics_of
from config.embedded_postgres.server import server_uri
from core.models import APIKey, Membership, Organization, Role, Scope, User
from tests.benchmarks.database import unlimited_cursor
from tests.benchmarks.load import Connection, Figures, measure
from tests.benchmarks.read_path import report
from tests.benchmarks.serving import WORKERS, served, wait_for

ORGANIZATIONS = 20
AGENTS = 12
PEER, MUSTER = "FastAPI and SQLAlchemy", "Muster"
COLUMNS = (
    "id,agent_name,status,input,result,input_tokens,output_tokens,cost,duration,correlation_id,started_at,created_at"
)

LIST, DETAIL, CREATE = "List: the newest 50 completed executions", "Detail: one task", "Create a task"
BULK, STATISTICS = "500 executions in one request", "Statistics by agent over 30 days"
FIRST, DEEP = "Page 1 of 20", "Page 2,000 of 20"

EXECUTIONS = """
INSERT INTO agents_agentexecution (id, created_at, updated_at, organization_id, name, status, agent_name, session_id,
    correlation_id, started_at, completed_at, error_type, error_message, attributes, input_tokens, output_tokens, cost,
    execution_id, agent_type, user_name, input, result, model_provider, model_name, usage_below)
SELECT gen_random_uuid(), made, made, o.id, 'agent-' || i %% %(agents)s, (ARRAY['completed', 'completed', 'completed',
       'completed', 'failed'])[1 + i %% 5], 'agent-' || i %% %(agents)s, '', gen_random_uuid()::text, made,
       made + (i %% 9000 + 50) * interval '1 millisecond', '', '', '{}', i %% 4000, i %% 600, (i %% 1000) / 10000.0,
       gen_random_uuid()::text, 'agent', '', to_json('Summarize the open invoices of customer ' || i),
       jsonb_build_object('answer', 'All settled', 'steps', i %% 7), 'openai', 'gpt-4o', false
  FROM generate_series(1, %(number)s) AS i
  CROSS JOIN LATERAL (SELECT now() - (i::float8 / %(number)s) * interval '60 days' AS made) AS times
  JOIN benchmark_organization AS o ON o.k = i %% 20
"""
PEERS = """
INSERT INTO agent_executions (id, organization_id, agent_name, status, prompt, result, input_tokens, output_tokens,
    cost, duration_ms, correlation_id, started_at, created_at)
SELECT e.id, o.k + 1, e.agent_name, e.status, e.input #>> '{}', e.result, e.input_tokens, e.output_tokens, e.cost,
       (e.duration * 1000)::bigint, e.correlation_id::uuid, e.started_at, e.created_at
  FROM agents_agentexecution AS e JOIN benchmark_organization AS o ON o.id = e.organization_id
"""


def prepare(number: int, folder: Path) -> tuple[str, str]:
    """Fill both sides' tables, unless they are, and return a key for each."""
    call_command("migrate", verbosity=0)
    organizations = [
        Organization.objects.get_or_create(slug=f"peer-{k}", defaults={"name": f"Peer {k}"})[0]
        for k in range(ORGANIZATIONS)
    ]
    user, _ = User.objects.get_or_create(email="peer@muster.example", defaults={"username": "peer"})
    for organization in organizations:
        Membership.objects.get_or_create(organization=organization, user=user, defaults={"role": Role.OWNER})
    with unlimited_cursor() as cursor:
        cursor.execute("SELECT to_regclass('agent_executions') IS NOT NULL")
        if not cursor.fetchone()[0]:
            _fill(cursor, number, organizations, folder)
        key = "peer_" + secrets.token_urlsafe(24)
        cursor.execute(
            "INSERT INTO api_keys (id, organization_id, name, key_hash, is_active, created_at)"
            " VALUES (%s, 4, 'benchmark', %s, true, now())",
            [uuid4(), hashlib.sha256(key.encode()).hexdigest()],
        )
    scopes = [Scope.AGENTS_READ.value, Scope.AGENTS_WRITE.value]
    ours = APIKey.issue(user=user, organization_id=organizations[3].pk, name="Benchmark", scopes=scopes)[1]
    return key, ours


def _fill(cursor: Any, number: int, organizations: list[Organization], folder: Path) -> None:
    print(f"Making {number:,} executions …", flush=True)
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS benchmark_organization (k int, id uuid); TRUNCATE benchmark_organization"
    )
    cursor.executemany(
        "INSERT INTO benchmark_organization VALUES (%s, %s)", [(k, each.pk) for k, each in enumerate(organizations)]
    )
    cursor.execute("SET session_replication_role = replica")
    cursor.execute(EXECUTIONS, {"agents": AGENTS, "number": number})
    table = next(iter(LINK))
    cursor.execute(
        "INSERT INTO agents_spanstatistic (organization_id, kind, dimension, width, start, value, count, failures,"
        " open, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, unpriced, durations) "
        + statistics_of(signed(table, table, 1))
    )
    cursor.execute("SET session_replication_role = DEFAULT")
    tables = (
        "import asyncio\n"
        "from app.db import engine\n"
        "from app.models import Base\n"
        "async def make():\n"
        "    async with engine.begin() as connection:\n"
        "        await connection.run_sync(Base.metadata.create_all)\n"
        "asyncio.run(make())\n"
    )
    subprocess.run([_python(folder), "-c", tables], check=True, cwd=folder, env=_environment())
    cursor.execute(
        "INSERT INTO organizations (name, slug, created_at) SELECT k, k, now() FROM generate_series(1, 20) AS k"
    )
    cursor.execute(PEERS)
    cursor.execute("CREATE INDEX ON agent_executions (organization_id, created_at, id)")
    cursor.execute("CREATE INDEX ON agent_executions (organization_id, status, created_at, id)")
    cursor.execute("VACUUM (ANALYZE)")


def _environment() -> dict[str, str]:
    return os.environ | {"PEER_DATABASE_URL": _url()}


def _url() -> str:
    """Return the address by which asyncpg reaches the database."""
    host = server_uri().partition("host=")[2].partition("&")[0]
    return f"postgresql://postgres@/muster?host={host}&port=5432"


def _python(folder: Path) -> Path:
    """Return the interpreter of the peer's environment, made if need be."""
    place = Path(os.environ.get("BENCHMARK_DATA_DIR", ".data/benchmarks")).resolve() / "peer"
    if not place.exists():
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, place], check=True)
        requirements = ["-r", str(folder / "requirements.txt")]
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", place / "bin/python", *requirements], check=True)
    return place / "bin/python"


@contextmanager
def peer(folder: Path) -> Iterator[int]:
    """Serve the peer, and give its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [_python(folder), "-m", "uvicorn", "app.main:app", "--port", str(port), "--workers", str(WORKERS)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=folder, env=_environment())
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def _post(rows: int, *, muster: bool) -> bytes:
    """Return the body of so many executions, as each side takes them."""
    made = [
        {
            "agent_name": f"agent-{number % AGENTS}",
            "status": "completed",
            ("input" if muster else "prompt"): f"Summarize the open invoices of customer {number}",
            "result": {"answer": "All settled", "steps": number % 7},
            "input_tokens": number % 4000,
            "output_tokens": number % 600,
            "cost": "0.0123",
            ("duration" if muster else "duration_ms"): 1.25 if muster else 1250,
            "correlation_id": str(uuid4()),
            "started_at": "2026-11-01T12:00:00Z",
        }
        | ({"name": "answer"} if muster else {})
        for number in range(rows)
    ]
    return orjson.dumps(made if muster else {"items": made})


def questions(port: int, key: str, *, muster: bool) -> dict[str, tuple[list[str], bytes | None]]:
    """Return what a side is asked, by what it is called: the addresses, and the body of a POST."""
    client = Connection(port, key)
    task = orjson.dumps({"name": "Look", "description": "At it", "config": {"a": 1}})
    if not muster:
        made = orjson.loads(client.post("/api/v1/tasks", task, "application/json"))["id"]
        return {
            LIST: (["/api/v1/executions?status=completed&limit=50"], None),
            DETAIL: ([f"/api/v1/tasks/{made}"], None),
            CREATE: (["/api/v1/tasks"], task),
            BULK: (["/api/v1/executions/bulk"], _post(500, muster=False)),
            STATISTICS: (["/api/v1/executions/stats?days=30"], None),
            FIRST: (["/api/v1/executions?limit=20"], None),
            DEEP: (["/api/v1/executions?limit=20&offset=39980"], None),
        }
    plural, fields = "/api/v1/agent-executions/", f"fields={COLUMNS}"
    made = orjson.loads(client.post("/api/v1/tasks/", task, "application/json"))["id"]
    return {
        LIST: ([f"{plural}?status=completed&limit=50&{fields}"], None),
        DETAIL: ([f"/api/v1/tasks/{made}/"], None),
        CREATE: (["/api/v1/tasks/"], task),
        BULK: ([f"{plural}?fields=id"], _post(500, muster=True)),
        STATISTICS: (["/api/v1/statistics/executions/?group_by=agent&period=30d"], None),
        FIRST: ([f"{plural}?limit=20&{fields}"], None),
        DEEP: ([_deep(client, f"{plural}?limit=200&{fields}")], None),
    }


def _deep(client: Connection, address: str) -> str:
    """Return the address of page 2,000 of 20 rows, reached by steps of 200."""
    for _ in range(199):
        following = orjson.loads(client.get(address))["next"]
        address = following.partition("127.0.0.1")[2]
    return address.replace("limit=200", "limit=20")


def main() -> None:
    """Prepare, race, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--executions", type=int, default=1_000_000)
    options = parser.parse_args()
    folder = options.folder.resolve()
    began = time.monotonic()
    theirs, ours = prepare(options.executions, folder)
    connections.close_all()
    print(f"Ready after {time.monotonic() - began:.0f} s")
    with peer(folder) as peer_port, served() as (port, _):
        sides = {
            PEER: (peer_port, theirs, questions(peer_port, theirs, muster=False)),
            MUSTER: (port, ours, questions(port, ours, muster=True)),
        }
        for title in sides[PEER][2]:
            best: dict[str, list[Figures]] = {name: [] for name in sides}
            for turn in range(options.rounds + 1):
                for name, (side_port, key, asked) in sides.items():
                    paths, body = asked[title]
                    figures = measure(side_port, key, paths, 1 if turn == 0 else options.seconds, body)
                    if turn:  # the first is to warm up
                        best[name].append(figures)
            report(title, {name: sorted(runs, key=lambda run: run.rate)[len(runs) // 2] for name, runs in best.items()})


if __name__ == "__main__":
    main()
