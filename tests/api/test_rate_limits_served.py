"""Two servers on one database admit one limit between them, by the short way and the ordinary one."""

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.limits.rates import block
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY
from tests.kit.server import Server, serving
from tests.kit.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT = 100  # twice as many requests must be answered within a window, a minute


def test_two_servers_share_a_limit(owner: Actor, tmp_path: Path) -> None:

    def ask(server: Server, headers: dict[str, str]) -> tuple[int, str]:
        request = urllib.request.Request(
            server.url("/api/v1/tasks/"),
            headers={"Authorization": f"Bearer {owner.key.text}", "Accept": "*/*", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers["RateLimit"]
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.headers["RateLimit"]

    with (
        serving(tmp_path / "one", RATE_LIMIT_KEY=str(LIMIT)) as one,
        serving(tmp_path / "two", RATE_LIMIT_KEY=str(LIMIT)) as two,
        ThreadPoolExecutor(4) as threads,
    ):
        asked = [((one, two)[number % 2], (ORDINARY_WAY, {})[number // 2 % 2]) for number in range(2 * LIMIT)]
        answers = list(threads.map(lambda each: ask(*each), asked))
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 429}
    assert LIMIT - (block(LIMIT) - 1) <= statuses.count(200) <= LIMIT
    assert all(told.startswith('"key";r=') for _, told in answers)
    assert all('"key";r=0;' in told for status, told in answers if status == 429)
