"""Too many requests are a 429 that says whose, until when, and changes nothing; on both ways, and for telemetry."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agents.models import Task
from config.env import PLAN_TIERS
from core.models import APIKey, Membership, Organization, PlanTier, Role, Scope
from tests.agents.telemetry.otlp_kit import add_span
from tests.factories.core import APIKeyFactory
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY, ApiClient
from tests.kit.database import writes_nothing

pytestmark = pytest.mark.django_db

TASKS = "/api/v1/tasks/"
NONE = dict.fromkeys(PLAN_TIERS, 0)
ITEM = re.compile(r'"(\w+)";(\w)=(\d+);(\w)=(\d+)')


def per_tier(free: int, pro: int = 1000) -> dict[str, int]:
    return {"free": free, "pro": pro, "enterprise": 0}


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    """Five requests a key, eight an organization; and of telemetry three a key."""
    settings.RATE_LIMITS = {
        "api": {"principal": per_tier(5), "organization": per_tier(8)},
        "telemetry": {"principal": per_tier(3), "organization": NONE},
    }


@pytest.fixture
def client(owner: Actor) -> ApiClient:
    """A client whose key was used just now, and is known: it goes the short way. One request is spent on that."""
    APIKey.objects.filter(pk=owner.key.pk).update(last_used_at=timezone.now())
    assert owner.by_key.get(TASKS).status_code == 200
    return owner.by_key


def told(answer: Any, header: str) -> dict[str, dict[str, int]]:
    """Return the items of a header, by policy."""
    items = ITEM.findall(answer.headers[header])
    assert ", ".join(f'"{name}";{a}={x};{b}={y}' for name, a, x, b, y in items) == answer.headers[header]
    return {name: {a: int(x), b: int(y)} for name, a, x, b, y in items}


def left(answer: Any) -> dict[str, int]:
    return {name: item["r"] for name, item in told(answer, "RateLimit").items()}


def test_both_ways_count_and_tell(client: ApiClient) -> None:
    with CaptureQueriesContext(connection) as queries:
        short = client.get(TASKS)
    assert any('"allowed"' in query["sql"] for query in queries)
    ordinary = client.get(TASKS, headers=ORDINARY_WAY)
    assert [left(answer) for answer in (short, ordinary)] == [
        {"key": 3, "organization": 6},
        {"key": 2, "organization": 5},
    ]
    for answer in (short, ordinary):
        policy = {"key": {"q": 5, "w": 60}, "organization": {"q": 8, "w": 60}}
        assert told(answer, "RateLimit-Policy") == policy
        assert all(0 < item["t"] <= 60 for item in told(answer, "RateLimit").values())


@pytest.mark.parametrize("headers", [{}, ORDINARY_WAY], ids=["short", "ordinary"])
def test_one_too_many_is_refused(client: ApiClient, headers: dict[str, str]) -> None:
    for _ in range(4):
        assert client.get(TASKS, headers=headers).status_code == 200
    with writes_nothing():
        answer = client.post(TASKS, {"name": "Never"}, headers=headers)
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == "/api/problems/throttled/"
    assert body["violated-policies"] == ["key"]
    assert "5 for each key" in body["detail"]
    assert left(answer) == {"key": 0, "organization": 3}
    assert told(answer, "RateLimit")["key"]["t"] <= int(answer.headers["Retry-After"]) <= 61
    assert ApiClient().get(body["type"]).status_code == 200
    assert not Task.objects.exists()


def test_writes_count_too(client: ApiClient) -> None:
    made = [client.post(TASKS, {"name": f"Task {number}"}) for number in range(6)]
    assert [answer.status_code for answer in made] == [201] * 4 + [429] * 2
    assert [left(answer)["key"] for answer in made] == [3, 2, 1, 0, 0, 0]
    assert Task.objects.count() == 4


def test_what_is_handed_from_the_short_way_to_the_ordinary_counts_once(client: ApiClient) -> None:
    answer = client.get(f"{TASKS}01a20512-52b1-7395-aaa5-10fcd31160d4/")
    assert answer.status_code == 404
    assert left(answer)["key"] == 3


def test_the_organization_s_keys_share_its_limit(owner: Actor, admin: Actor, stranger: Actor) -> None:
    assert [owner.by_key.get(TASKS).status_code for _ in range(5)] == [200] * 5
    answers = [admin.by_key.get(TASKS) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["violated-policies"] == ["organization"]
    assert left(answers[-1]) == {"key": 2, "organization": 0}
    assert stranger.by_key.get(TASKS).status_code == 200


def test_a_session_counts_by_user_and_with_its_organization(owner: Actor) -> None:
    answer = owner.client.get(TASKS)
    assert left(answer) == {"user": 4, "organization": 7}
    assert left(owner.by_key.get(TASKS)) == {"key": 4, "organization": 6}
    refused = [owner.client.get(TASKS) for _ in range(5)][-1]
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["user"])


def test_the_plan_tier_sets_the_limit(owner: Actor, stranger: Actor) -> None:
    Organization.objects.filter(pk=owner.organization.pk).update(plan_tier="pro")
    assert told(owner.by_key.get(TASKS), "RateLimit-Policy")["key"]["q"] == 1000
    assert told(owner.client.get(TASKS), "RateLimit-Policy")["user"]["q"] == 1000
    assert told(stranger.by_key.get(TASKS), "RateLimit-Policy")["key"]["q"] == 5


def test_the_tiers_are_the_settings_own() -> None:
    assert set(PLAN_TIERS) == set(PlanTier.values)


def test_zero_is_no_limit(owner: Actor, settings: Any) -> None:
    Organization.objects.filter(pk=owner.organization.pk).update(plan_tier="enterprise")
    for answer in [owner.by_key.get(TASKS) for _ in range(10)]:
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers
    settings.RATE_LIMITS = {}
    assert "RateLimit" not in owner.client.get(TASKS).headers


def test_refused_requests_count(owner: Actor) -> None:
    reader = owner.with_scopes([Scope.CORE_READ])
    statuses = [reader.get(TASKS).status_code for _ in range(7)]
    assert statuses == [403] * 5 + [429] * 2


def test_who_hasn_t_the_secret_spends_nothing(client: ApiClient, owner: Actor) -> None:
    forged = ApiClient(key=f"mst_{owner.key.prefix}_{'x' * 43}")
    for _ in range(10):
        answer = forged.get(TASKS)
        assert answer.status_code == 401
        assert "RateLimit" not in answer.headers
    assert left(client.get(TASKS))["key"] == 3


def test_a_revoked_key_is_refused_as_such(client: ApiClient, owner: Actor) -> None:
    APIKey.objects.filter(pk=owner.key.pk).update(revoked_at=timezone.now())
    assert client.get(TASKS).status_code == 401


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_short_way_asks_nothing_more(client: ApiClient, settings: Any, method: str) -> None:
    settings.RATE_LIMITS = {"api": {"principal": per_tier(600), "organization": per_tier(1200)}}
    key = APIKeyFactory(
        organization=Organization.objects.get(), user=APIKey.objects.get().user, last_used_at=timezone.now()
    )
    other = ApiClient(key=key.text)
    answers = []
    found = []
    for number in range(8):
        with CaptureQueriesContext(connection) as queries:
            answers.append(getattr(other, method)(TASKS, {"name": f"Task {number}"} if method == "post" else None))
        own = ("SAVEPOINT", "RELEASE", "SELECT set_config")  # the test's transaction's
        found.append([query["sql"] for query in queries if not query["sql"].startswith(own)])
    assert sum("muster_reserve" in sql for each in found for sql in each) == 1
    assert [len(each) for each in found[1:]] == [1] * 7
    assert [left(answer)["key"] for answer in answers] == [*range(599, 591, -1)]


def test_telemetry_counts_apart(client: ApiClient, owner: Actor) -> None:
    request = ExportTraceServiceRequest()
    add_span(request)
    body = request.SerializeToString()
    answers = [client.post("/v1/traces", body, "application/x-protobuf") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [left(answer) for answer in answers] == [{"key": 2}, {"key": 1}, {"key": 0}, {"key": 0}]
    refused = answers[-1]
    assert refused.headers["Content-Type"] == "application/x-protobuf"
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    status = Status.FromString(refused.content)
    assert status.code == 8, "google.rpc.Code.RESOURCE_EXHAUSTED"
    assert "3 for each key" in status.message
    assert left(client.get(TASKS))["key"] == 3, "The API's own requests are as they were."


def test_a_member_of_two_organizations_counts_in_each(owner: Actor, other_organization: Organization) -> None:
    Membership.objects.create(user=owner.user, organization=other_organization, role=Role.MEMBER)
    there = {"Muster-Organization": other_organization.slug}
    assert left(owner.client.get(TASKS))["organization"] == 7
    assert left(owner.client.get(TASKS, headers=there))["organization"] == 7
