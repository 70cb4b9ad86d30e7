"""Lists and details of a million orders: Muster's read path beside REST framework as usual, in turn.

    uv run python -m tests.benchmarks.read_path [--seconds 5] [--rounds 3]

One server (granian, WSGI, two workers of three threads) and one database serve both. The first run fills the
database, under .data/benchmarks, which takes some minutes; later ones find it there.
"""

import argparse
import json
import os
from datetime import datetime
from statistics import median
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

from django.db import connections

from tests.benchmarks import database
from tests.benchmarks.load import Connection, Figures, measure
from tests.benchmarks.serving import served

SMALL, LARGE = 3, 0  # organizations: one of 19 with 39,000 orders each, and the one with 250,000
LISTS = ((SMALL, "paid", "4,000"), (LARGE, "delivered", "125,000"))  # how many orders have the status
DEEP = 2000
USUAL, MUSTER = "REST framework as usual", "Muster"


def plain(value: Any) -> Any:
    """Return JSON with its times as times: the same moment is written in more than one way."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str) and len(value) > 18 and value[10:11] == "T":
        return datetime.fromisoformat(value)
    return value


def turns(port: int, key: str, sides: dict[str, list[str]], rounds: int, seconds: float) -> dict[str, Figures]:
    """Measure each side ``rounds`` times, by turns, and return each side's median figures."""
    runs: dict[str, list[Figures]] = {name: [] for name in sides}
    for paths in sides.values():
        measure(port, key, paths, min(seconds, 2))
    for _ in range(rounds):
        for name, paths in sides.items():
            runs[name].append(measure(port, key, paths, seconds))
    return {
        name: Figures(*(median(getattr(run, figure) for run in measured) for figure in ("rate", "p50", "p99")))
        for name, measured in runs.items()
    }


def report(title: str, figures: dict[str, Figures]) -> None:
    """Print a table of the sides, each beside the first."""
    print(f"\n{title}\n  {'':28}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>8}")
    first = next(iter(figures.values()))
    for name, side in figures.items():
        print(f"  {name:28}{side.rate:11.1f}{side.p50:9.1f}{side.p99:9.1f}{side.rate / first.rate:7.1f}x")


def page_at(client: Connection, path: str, number: int) -> str:
    """Return the address of page ``number``, reached by following “next”, 200 rows a step."""
    reached, step = 50, 200
    address = f"{path}&limit=50"
    while reached < (number - 1) * 50:
        following = json.loads(client.get(address))["next"]
        address = following.partition("127.0.0.1")[2].replace("limit=50", f"limit={step}")
        reached += step
    return address.replace(f"limit={step}", "limit=50")


def lists(port: int, keys: dict[int, str], rounds: int, seconds: float) -> None:
    """Compare lists, of few and of many rows: page numbers count them all."""
    for organization, status, rows in LISTS:
        sides = {
            USUAL: [f"/ordinary/orders/?status={status}"],
            MUSTER: [f"/api/v1/orders/?status={status}"],
        }
        client = Connection(port, keys[organization])
        usual, muster = (plain(json.loads(client.get(paths[0]))["results"]) for paths in sides.values())
        assert usual == muster, "The two sides answer differently."
        title = f"List: the newest 50 of {rows} {status} orders, with customer and lines"
        report(title, turns(port, keys[organization], sides, rounds, seconds))


def details(port: int, key: str, rounds: int, seconds: float) -> None:
    """Compare details."""
    rows = json.loads(Connection(port, key).get("/api/v1/orders/?fields=id"))["results"]
    sides = {
        USUAL: [f"/ordinary/orders/{row['id']}/" for row in rows],
        MUSTER: [f"/api/v1/orders/{row['id']}/" for row in rows],
    }
    report("Detail: one order, with customer and lines", turns(port, key, sides, rounds, seconds))


def depth(port: int, key: str, rounds: int, seconds: float) -> None:
    """Compare a page far behind with the first."""
    every = "/api/v1/orders/?ordering=-created_at"
    sides = {
        "Muster, page 1": [f"{every}&limit=50"],
        f"Muster, page {DEEP:,}": [page_at(Connection(port, key), every, DEEP)],
    }
    report("Depth: all orders of an organization with 250,000", turns(port, key, sides, rounds, seconds))


def main() -> None:
    """Prepare, compare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="how long a run takes (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side (default: %(default)s)")
    options = parser.parse_args()
    database.prepare()
    keys = {number: database.key_of(number) for number in (SMALL, LARGE)}
    connections.close_all()
    with served() as (port, _):
        lists(port, keys, options.rounds, options.seconds)
        details(port, keys[SMALL], options.rounds, options.seconds)
        depth(port, keys[LARGE], options.rounds, options.seconds)


if __name__ == "__main__":
    main()
