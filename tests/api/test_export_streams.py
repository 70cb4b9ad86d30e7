"""Exports through the server as it serves: memory, slow clients, and exports that break off."""

import csv
import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from agents.models import MetricSnapshot
from tests.factories.core import OrganizationFactory
from tests.kit.cast import Actor
from tests.kit.plans import Filling, fill
from tests.kit.server import Server, serving
from tests.kit.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

METRICS = "/api/v1/metrics/"
ROWS = 200_000  # of which a tenth is another organization's
MAY_ADD = 32 * 1024 * 1024
PIECE = 64 * 1024


def ask(server: Server, actor: Actor, path: str) -> http.client.HTTPResponse:
    client = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    client.request("GET", path, headers={"Authorization": f"Bearer {actor.key.text}"})  # type: ignore[attr-defined]
    return client.getresponse()


def rename(old: str, new: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE NONE; ALTER TABLE {old} RENAME TO {new}")


def test_200_000_rows_stream_within_32_mib_of_memory_and_hold_no_connection(
    tmp_path: Path, teammate: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    with transaction.atomic():
        columns = {"name": "'cpu ' || n", "value": "n / 7.0"}
        fill([Filling(MetricSnapshot, ROWS, columns)], teammate.organization, OrganizationFactory(), teammate.user)
    with serving(tmp_path, DB_POOL_SIZE="1", DB_MAX_OVERFLOW="0", DB_POOL_TIMEOUT="20") as server:
        for form in ("csv", "ndjson"):  # what the first requests load isn't the export's
            ask(server, teammate, f"{METRICS}?format={form}&name=none").read()
        assert ask(server, teammate, METRICS).status == 200
        for form, header in (("csv", 1), ("ndjson", 0)):
            server.forget_peak()
            before = server.resident()
            answer: Any = ask(server, teammate, f"{METRICS}?format={form}")
            assert answer.status == 200
            lines = answer.read(PIECE).count(b"\n")
            # The export waits for its client, and the one connection that there may be is free meanwhile.
            assert ask(server, teammate, f"{METRICS}?limit=1").status == 200
            while piece := answer.read(PIECE):
                lines += piece.count(b"\n")
            assert lines == ROWS * 9 // 10 + header
            grown = server.peak_memory() - before
            with capsys.disabled():
                print(f"\n{form}: {lines} lines within {grown / 1024 / 1024:.1f} MiB")
            assert grown <= MAY_ADD

        ends = {}
        for form in ("csv", "ndjson"):
            answer = ask(server, teammate, f"{METRICS}?format={form}")
            answer.read(PIECE)
            rename("agents_metricsnapshot", "hidden")
            try:
                ends[form] = answer.read().splitlines()[-2:]
            finally:
                rename("hidden", "agents_metricsnapshot")
    assert ends["csv"][1] == b"This export broke off here: rows are missing."
    assert len(next(csv.reader([ends["csv"][0].decode()]))) > 5
    whole, told = map(json.loads, ends["ndjson"])
    assert "id" in whole
    assert told["type"] == "/api/problems/broken_off/"
    assert told["request_id"] == answer.headers["X-Request-ID"]
