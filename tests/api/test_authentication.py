"""Who asks: keys and sessions, good and bad."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.models import APIKey, Membership, Organization, Role, User
from core.models import api_keys as keys
from tests.factories.core import APIKeyFactory, MembershipFactory, OrganizationFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import writes_nothing

pytestmark = pytest.mark.django_db

USERS = "/api/v1/users/"


def ask(authorization: str | None) -> Any:
    headers = {"Authorization": authorization} if authorization is not None else {}
    return ApiClient(headers=headers).get(USERS)


def refusal(answer: Any) -> dict[str, Any]:
    """Return the body of a 401, which carries the challenge, without what differs from request to request."""
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="Muster"'
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    del body["request_id"]
    return body


def test_a_key_lets_in(owner: Actor) -> None:
    assert ask(f"Bearer {owner.key.text}").status_code == 200
    assert ask(f"bearer  {owner.key.text} ").status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Basic b3duZXI6cGFzc3dvcmQ=", "Token x", "mst_12345678_secret"])
def test_without_credentials_nobody_gets_in(authorization: str | None, db: None) -> None:
    assert refusal(ask(authorization))["type"] == "/api/problems/not_authenticated/"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "mst",
        "mst_",
        "mst__",
        "mst_12345678",
        "mst_12345678_",
        "mst_1234567_secret",
        "mst_123456789_secret",
        "MST_12345678_secret",
        "xyz_12345678_secret",
        "mst_12345678_sec_ret",
        "mst_12345678_sec ret",
        "mst_12345678_" + "x" * 100_000,
        "mst_12345678_s\u00e9cret",
        "mst_1234567\u00e9_secret",
        "mst_1234'--8_secret",
        "mst_123\x0045678_secret",
        "mst_1234567\x00_secret",
    ],
)
def test_a_malformed_key_is_refused(token: str, db: None) -> None:
    with writes_nothing():
        assert refusal(ask(f"Bearer {token}"))["type"] == "/api/problems/invalid_key/"


def spoilt(case: str, actor: Actor) -> str:
    """Make the actor's key unusable in one way, and return its text."""
    text: str = actor.key.text
    key = APIKey.objects.filter(pk=actor.key.pk)
    match case:
        case "unknown":
            key.delete()
        case "wrong secret":
            return text[:-1] + "y"
        case "expired":
            key.update(expires_at=timezone.now() - timedelta(seconds=1))
        case "revoked":
            key.update(revoked_at=timezone.now())
        case "inactive user":
            User.objects.filter(pk=actor.user.pk).update(is_active=False)
        case "inactive organization":
            Organization.objects.filter(pk=actor.organization.pk).update(is_active=False)
        case "removed member":
            actor.membership.delete()
        case "member elsewhere only":
            Membership.objects.filter(pk=actor.membership.pk).delete()
            MembershipFactory(user=actor.user, organization=OrganizationFactory())
    return text


UNUSABLE = [
    "unknown",
    "wrong secret",
    "expired",
    "revoked",
    "inactive user",
    "inactive organization",
    "removed member",
    "member elsewhere only",
]


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_key_is_refused_without_a_hint_why(case: str, teammate: Actor) -> None:
    assert teammate.by_key.get(USERS).status_code == 200
    text = spoilt(case, teammate)
    with writes_nothing():
        assert refusal(ask(f"Bearer {text}")) == refusal(ask("Bearer mst_nothing0_nothing"))


def test_a_key_that_expires_later_lets_in(owner: Actor) -> None:
    APIKey.objects.filter(pk=owner.key.pk).update(expires_at=timezone.now() + timedelta(minutes=1))
    assert owner.by_key.get(USERS).status_code == 200


def test_a_key_follows_the_role_of_its_user(admin: Actor) -> None:
    keys_address = "/api/v1/api-keys/"
    assert admin.by_key.get(keys_address).status_code == 200
    Membership.objects.filter(pk=admin.membership.pk).update(role=Role.VIEWER)
    assert admin.by_key.get(keys_address).status_code == 403


def test_a_key_acts_in_its_own_organization_only(owner: Actor, stranger: Actor) -> None:
    MembershipFactory(user=owner.user, organization=stranger.organization, role=Role.OWNER)
    for headers in ({}, {"Muster-Organization": "globex"}):
        [row] = owner.by_key.get("/api/v1/organizations/", headers=headers).json()["results"]
        assert row["slug"] == "acme"


def test_secrets_are_compared_in_constant_time(owner: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compare = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda *pair: compared.append(pair) or compare(*pair))
    assert owner.by_key.get(USERS).status_code == 200
    assert ask(f"Bearer {owner.key.text[:-1]}y").status_code == 401
    assert len(compared) == 2


@pytest.mark.parametrize(("seconds_ago", "written"), [(None, True), (59, False), (61, True)])
def test_last_use_is_noted_at_most_once_a_minute(seconds_ago: int | None, written: bool, owner: Actor) -> None:
    last = None if seconds_ago is None else timezone.now() - timedelta(seconds=seconds_ago)
    APIKey.objects.filter(pk=owner.key.pk).update(last_used_at=last)
    owner.by_key.get(USERS)
    stored = APIKey.objects.get(pk=owner.key.pk).last_used_at
    assert (stored != last) is written
    with CaptureQueriesContext(connection) as queries:
        owner.by_key.get(USERS)
    assert not [query for query in queries if "UPDATE" in query["sql"]]


def test_a_refused_key_is_not_noted_as_used(owner: Actor) -> None:
    ask(f"Bearer {owner.key.text[:-1]}y")
    assert APIKey.objects.get(pk=owner.key.pk).last_used_at is None


def test_a_key_stands_in_no_log_and_no_repr(owner: Actor, caplog: pytest.LogCaptureFixture) -> None:
    secret = owner.key.text.rpartition("_")[2]
    caplog.set_level(logging.DEBUG)
    owner.by_key.get(USERS)
    owner.by_key.get("/api/v1/api-keys/")
    ask(f"Bearer {owner.key.text}x")
    texts = [*(record.getMessage() for record in caplog.records), repr(owner.key), str(owner.key)]
    assert not [text for text in texts if secret in text or owner.key.digest in text]


# --- Sessions --------------------------------------------------------------------------------------


def test_a_session_lets_in_until_its_user_is_inactive(owner: Actor) -> None:
    assert owner.client.get(USERS).status_code == 200
    User.objects.filter(pk=owner.user.pk).update(is_active=False)
    assert owner.client.get(USERS).status_code == 401


def test_a_session_without_a_membership_is_refused(teammate: Actor) -> None:
    teammate.membership.delete()
    answer = teammate.client.get(USERS)
    assert answer.status_code == 403
    assert "member of no organization" in answer.json()["detail"]


def test_a_session_chooses_among_its_organizations(owner: Actor, other_organization: Organization) -> None:
    MembershipFactory(user=owner.user, organization=other_organization, role=Role.VIEWER)
    for slug in ("acme", "globex"):
        answer = owner.client.get("/api/v1/organizations/", headers={"Muster-Organization": slug})
        assert [row["slug"] for row in answer.json()["results"]] == [slug]


def test_a_session_acts_in_no_inactive_organization(owner: Actor) -> None:
    Organization.objects.update(is_active=False)
    assert owner.client.get(USERS).status_code == 403


def test_a_session_needs_the_token_against_forgery_to_write(owner: Actor) -> None:
    owner.client.handler.enforce_csrf_checks = True
    address = f"/api/v1/organizations/{owner.organization.pk}/"
    with writes_nothing():
        answer = owner.client.patch(address, {"name": "Forged"})
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    owner.by_key.handler.enforce_csrf_checks = True
    assert owner.by_key.patch(address, {"name": "By key"}).status_code == 200


def test_keys_of_one_user_in_two_organizations_stay_apart(owner: Actor, other_organization: Organization) -> None:
    MembershipFactory(user=owner.user, organization=other_organization, role=Role.OWNER)
    there = ApiClient(key=APIKeyFactory(user=owner.user, organization=other_organization).text)
    own = {row["id"] for row in owner.by_key.get("/api/v1/api-keys/").json()["results"]}
    others = {row["id"] for row in there.get("/api/v1/api-keys/").json()["results"]}
    assert own
    assert others
    assert not own & others
