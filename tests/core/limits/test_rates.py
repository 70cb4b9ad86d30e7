"""No more than the limit, whatever number of processes and threads; and little less. In PostgreSQL and in Redis."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from threading import Barrier
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from core.limits import cache
from core.limits.cache import PREFIX, CacheStore
from core.limits.models import RateWindow
from core.limits.rates import LARGEST_BLOCK, Limiter, Quota, Store, Verdict, block
from core.limits.stores import DatabaseStore
from core.limits.tasks import forget_counts
from tests.core.limits.conftest import CacheServer
from tests.kit.races import errors, race, values
from tests.kit.server import database_url
from tests.kit.sql import refused, run
from tests.kit.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store that is slow, as on a busy machine, not count as away."""
    monkeypatch.setattr(cache, "TIMEOUT_SECONDS", PATIENCE)


@pytest.fixture(params=["database", "cache"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each store in turn."""
    if request.param == "database":
        return DatabaseStore()
    return CacheStore(request.getfixturevalue("cache_server").url, DatabaseStore())


def quota(limit: int, bucket: str = "api:key:a") -> Quota:
    return Quota("key", bucket, limit)


def admitted(limiter: Limiter, *quotas: Quota, attempts: int) -> int:
    return sum(limiter.take(quotas).admitted for _ in range(attempts))


# --- One process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_exactly_the_limit_is_admitted(store: Store, limit: int) -> None:
    limiter = Limiter(store)
    verdicts = [limiter.take([quota(limit)]) for _ in range(limit + 5)]
    assert [verdict.admitted for verdict in verdicts] == [True] * limit + [False] * 5
    assert [verdict.standings[0].remaining for verdict in verdicts] == [*range(limit - 1, -1, -1), 0, 0, 0, 0, 0]
    assert 0 < verdicts[-1].exceeded[0].seconds <= 60


def test_a_refusal_names_the_quota_and_costs_the_others_nothing(store: Store) -> None:
    limiter = Limiter(store)
    small, large = quota(2), Quota("organization", "api:organization:b", 10)
    for _ in range(2):
        assert limiter.take([small, large]).admitted
    for _ in range(20):
        refusal = limiter.take([small, large])
        assert [standing.quota for standing in refusal.exceeded] == [small]
    assert admitted(limiter, large, attempts=20) == 8


class Counting:
    """A store that notes how often it is asked."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked = 0

    def reserve(self, quotas: Any) -> Any:
        self.asked += 1
        return self.store.reserve(quotas)


def test_the_store_is_asked_by_the_block_and_not_at_all_when_nothing_is_left(store: Store) -> None:
    counting = Counting(store)
    limiter = Limiter(counting)
    assert admitted(limiter, quota(1000), attempts=1000 // 2) == 500
    assert counting.asked == 500 // block(1000)
    assert admitted(limiter, quota(1000), attempts=600) == 500
    asked = counting.asked
    assert asked < 100
    assert admitted(limiter, quota(1000), attempts=600) == 0
    assert counting.asked == asked


def test_blocks_are_a_fiftieth_of_the_limit() -> None:
    assert [block(limit) for limit in (1, 99, 100, 600, 60_000)] == [1, 1, 2, 12, LARGEST_BLOCK]


def test_a_new_window_begins_when_the_last_is_over(store: Store, request: pytest.FixtureRequest) -> None:
    ahead = 0.0
    limiter = Limiter(store, clock=lambda: time.monotonic() + ahead)
    assert admitted(limiter, quota(100), attempts=99) == 99
    if isinstance(store, DatabaseStore):
        RateWindow.objects.update(ends_at="2020-01-01T00:00:00Z")
    else:
        request.getfixturevalue("cache_server").client.flushall()
    ahead = 61
    assert admitted(limiter, quota(100), attempts=110) == 100, "What was left of the last window went with it."


def test_a_window_ends_after_a_minute(store: Store, request: pytest.FixtureRequest) -> None:
    Limiter(store).take([quota(10)])
    if isinstance(store, DatabaseStore):
        left = run("SELECT extract(epoch FROM ends_at - clock_timestamp())::float FROM limits_ratewindow")[0][0]
    else:
        left = request.getfixturevalue("cache_server").client.pttl(f"{PREFIX}{quota(10).bucket}") / 1000
    assert 30 < left <= 60


def test_a_smaller_limit_holds_at_once(store: Store) -> None:
    assert admitted(Limiter(store), quota(50), attempts=30) == 30
    assert admitted(Limiter(store), quota(20), attempts=5) == 0
    assert admitted(Limiter(store), quota(40), attempts=20) == 10


# --- Several processes -----------------------------------------------------------------------------


def test_threads_of_two_processes_are_admitted_the_limit_together(store: Store) -> None:
    limit, limiters = 600, [Limiter(store), Limiter(store)]
    quotas = [Quota("key", "api:key:a", limit), Quota("organization", "api:organization:b", 2 * limit)]

    def contender(limiter: Limiter) -> Callable[[], int]:
        return lambda: admitted(limiter, *quotas, attempts=limit)

    outcomes = race(*(contender(limiters[number % 2]) for number in range(6)))
    assert not errors(outcomes)
    # All go on until they are refused, so nobody keeps a token to itself.
    assert sum(values(outcomes)) == limit
    assert not any(limiter.take(quotas).admitted for limiter in limiters)


def test_an_idle_process_holds_back_less_than_a_block(store: Store) -> None:
    limit = 600
    idle, busy = Limiter(store), Limiter(store)
    assert idle.take([quota(limit)]).admitted
    assert admitted(busy, quota(limit), attempts=limit) == limit - block(limit)
    assert not busy.take([quota(limit)]).admitted
    assert admitted(idle, quota(limit), attempts=limit) == block(limit) - 1


SPEND = """
import json, sys, django
django.setup()
from core.api.throttling import limiter
from core.limits import cache
from core.limits.rates import Quota
limit, cache.TIMEOUT_SECONDS = int(sys.argv[1]), float(sys.argv[2])
quota = Quota("key", "api:key:a", limit)
limiter()
print("ready", flush=True)
sys.stdin.readline()
first = limiter().take([quota]).admitted
print("first", flush=True)
sys.stdin.readline()
print(json.dumps([first, *(limiter().take([quota]).admitted for _ in range(limit))]))
"""


@pytest.mark.parametrize("kind", ["database", "cache"])
def test_real_processes_are_admitted_the_limit_together(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("cache_server").url if kind == "cache" else ""
    limit = 2000
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database_url(),
        "SECRET_KEY": settings.SECRET_KEY,
        "CACHE_URL": url,
    }
    environment.pop("EMBEDDED_POSTGRES", None)
    command = [sys.executable, "-c", SPEND, str(limit), str(PATIENCE)]
    processes = [
        subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for stage in ("ready\n", "first\n"):  # together: a window is a minute
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == stage
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=PATIENCE)[0]) for process in processes]
    total = sum(sum(answer) for answer in answers)
    assert limit - 2 * (block(limit) - 1) <= total <= limit
    assert all(answer[0] for answer in answers), "Each had its first before any had all."
    for answer in answers:
        assert answer == sorted(answer, reverse=True), "Who is refused is refused until the window ends."
        assert not answer[-1]


# --- What can be away ------------------------------------------------------------------------------


def test_the_database_counts_while_the_cache_is_away(
    cache_server: CacheServer, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = Limiter(CacheStore(cache_server.url, DatabaseStore()))
    assert admitted(limiter, quota(20), attempts=5) == 5
    assert not RateWindow.objects.exists()
    cache_server.stop()
    assert admitted(limiter, quota(20), attempts=50) == 20
    assert RateWindow.objects.get().used == 20
    assert [record.levelname for record in caplog.records if record.name == "core.limits.cache"] == ["WARNING"]
    assert str(cache_server.socket) not in caplog.text


# --- The table -------------------------------------------------------------------------------------


def test_the_table_is_unlogged_and_its_count_never_negative() -> None:
    assert run("SELECT relpersistence FROM pg_class WHERE relname = 'limits_ratewindow'") == [("u",)]
    insert = "INSERT INTO limits_ratewindow (bucket, used, ends_at) VALUES ('a', -1, now())"
    assert refused(insert) == "limits_ratewindow_used"


def test_windows_that_are_over_are_forgotten() -> None:
    run("INSERT INTO limits_ratewindow VALUES ('old', 1, now() - interval '1 hour'), ('new', 1, now())")
    forget_counts()
    assert list(RateWindow.objects.values_list("bucket", flat=True)) == ["new"]


def test_without_the_lock_more_would_be_admitted() -> None:
    """The control: what a process does that reads the count and writes it back."""
    limit, together = 20, Barrier(4, timeout=PATIENCE)

    def careless() -> int:
        with connection.cursor() as cursor:
            total = 0
            for _ in range(limit):
                cursor.execute("SELECT used FROM limits_ratewindow WHERE bucket = 'careless'")
                used = cursor.fetchone()[0]
                together.wait()
                if used < limit:
                    cursor.execute("UPDATE limits_ratewindow SET used = %s WHERE bucket = 'careless'", [used + 1])
                    total += 1
                together.wait()
            return total

    run("INSERT INTO limits_ratewindow VALUES ('careless', 0, now() + interval '1 minute')")
    assert sum(values(race(*[careless] * 4))) == 4 * limit


def test_a_verdict_without_quotas_is_an_admission() -> None:
    assert Verdict(()).admitted
