"""What those who ask may do: scopes, roles, and that nobody makes more of what they have."""

import json
from typing import Any

import pytest

from core.models import APIKey, AuditEvent, Membership, Role, Scope, User
from tests.factories.core import APIKeyFactory, MembershipFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import writes_nothing
from tests.kit.sql import run

pytestmark = pytest.mark.django_db

KEYS = "/api/v1/api-keys/"
MEMBERSHIPS = "/api/v1/memberships/"


# --- Scopes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "address", "allowed"),
    [
        (["core:read"], "/api/v1/users/", True),
        (["core:write"], "/api/v1/users/", False),
        (["catalog:read"], "/api/v1/users/", False),
        (["catalog:read"], "/api/v1/products/", True),
        (["core:read"], "/api/v1/products/", False),
        (["audit:read"], "/api/v1/audit-events/", True),
        (["core:read", "core:write", "catalog:read", "catalog:write"], "/api/v1/audit-events/", False),
    ],
)
def test_a_key_reads_what_its_scopes_say(scopes: list[str], address: str, allowed: bool, owner: Actor) -> None:
    answer = owner.with_scopes(scopes).get(address)
    assert answer.status_code == (200 if allowed else 403)
    if not allowed:
        assert answer.json()["type"] == "/api/problems/missing_scope/"


def test_a_key_that_only_reads_writes_nothing(owner: Actor) -> None:
    client = owner.with_scopes([Scope.CORE_READ])
    with writes_nothing():
        answer = client.patch(f"/api/v1/organizations/{owner.organization.pk}/", {"name": "No"})
    assert answer.status_code == 403
    assert "core:write" in answer.json()["detail"]


def test_a_session_has_no_scopes_and_is_limited_by_its_role_only(owner: Actor, viewer: Actor) -> None:
    address = f"/api/v1/organizations/{owner.organization.pk}/"
    assert owner.client.patch(address, {"name": "Yes"}).status_code == 200
    assert viewer.client.patch(address, {"name": "No"}).json()["type"] == "/api/problems/missing_role/"


# --- Keys ------------------------------------------------------------------------------------------


def new_key(client: ApiClient, **fields: Any) -> Any:
    return client.post(KEYS, {"name": "New", "scopes": ["core:read"]} | fields)


def test_a_new_key_works_and_is_shown_once(owner: Actor) -> None:
    made = new_key(owner.client)
    assert made.status_code == 201
    body = made.json()
    text = body.pop("key")
    assert text.startswith(f"mst_{body['prefix']}_")
    assert made["Location"].endswith(f"{KEYS}{body['id']}/")
    assert ApiClient(key=text).get("/api/v1/users/").status_code == 200

    secret = text.rpartition("_")[2]
    for answer in (
        owner.client.get(KEYS),
        owner.client.get(f"{KEYS}{body['id']}/"),
        owner.client.post(f"{KEYS}{body['id']}/revoke/"),
        owner.client.get("/api/v1/audit-events/", {"limit": 200}),
    ):
        assert answer.status_code == 200
        assert secret not in answer.content.decode()
        assert "digest" not in json.dumps(answer.json().get("results", answer.json())).replace(
            '"digest": "[redacted]"', ""
        )
    for table in ("core_apikey", "core_auditevent", "django_session"):
        [(everything,)] = run(f"SELECT string_agg(to_jsonb(each)::text, ' ') FROM {table} AS each")
        assert secret not in everything


def test_a_new_key_belongs_to_who_made_it(admin: Actor, owner: Actor) -> None:
    made = new_key(admin.client).json()
    assert made["user"] == str(admin.user.pk)
    refused = new_key(admin.client, user=str(owner.user.pk))
    assert refused.status_code == 400 or refused.json()["user"] == str(admin.user.pk)


@pytest.mark.parametrize("wanted", [["catalog:write"], ["core:read", "audit:read"], list(Scope.values)])
def test_a_key_makes_no_key_with_scopes_it_lacks(wanted: list[str], owner: Actor) -> None:
    client = owner.with_scopes([Scope.CORE_READ, Scope.CORE_WRITE])
    with writes_nothing():
        answer = new_key(client, scopes=wanted)
    assert answer.status_code == 403
    assert answer.json()["type"] == "/api/problems/missing_scope/"
    assert new_key(client, scopes=["core:read", "core:write"]).status_code == 201


@pytest.mark.parametrize("scopes", [[], ["everything"], [None], None, "core:read", {"core": "read"}, [["core:read"]]])
def test_a_key_has_known_scopes(scopes: Any, owner: Actor) -> None:
    with writes_nothing():
        answer = new_key(owner.client, scopes=scopes)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith("scopes")


@pytest.mark.parametrize("field", ["prefix", "digest", "revoked_at", "last_used_at", "organization", "id"])
def test_what_makes_a_key_is_not_for_clients_to_choose(field: str, owner: Actor) -> None:
    before = APIKey.objects.count()
    answer = new_key(owner.client, **{field: "00000000"})
    if answer.status_code == 201:
        assert answer.json().get(field) != "00000000"
    else:
        assert answer.status_code == 400
        assert APIKey.objects.count() == before


def test_a_revoked_key_is_dead_at_once_and_stays_so(owner: Actor) -> None:
    key = APIKeyFactory(organization=owner.organization, user=owner.user)
    first = owner.client.post(f"{KEYS}{key.pk}/revoke/").json()["revoked_at"]
    assert ApiClient(key=key.text).get("/api/v1/users/").status_code == 401
    again = owner.client.post(f"{KEYS}{key.pk}/revoke/")
    assert again.json()["revoked_at"] == first


def test_a_key_may_revoke_itself(owner: Actor) -> None:
    assert owner.by_key.post(f"{KEYS}{owner.key.pk}/revoke/").status_code == 200
    assert owner.by_key.get(KEYS).status_code == 401


# --- Members ---------------------------------------------------------------------------------------


def test_a_new_member_is_named_by_email(owner: Actor) -> None:
    made = owner.client.post(MEMBERSHIPS, {"email": "new@example.com", "name": "New", "role": "viewer"})
    assert made.status_code == 201
    assert (made.json()["email"], made.json()["role"]) == ("new@example.com", "viewer")
    user = User.objects.get(email="new@example.com")
    assert not user.has_usable_password()
    assert AuditEvent.objects.filter(event_type="membership.create", user=owner.user).exists()


def test_a_member_is_not_added_twice_whatever_the_case_of_the_email(owner: Actor, teammate: Actor) -> None:
    with writes_nothing():
        answer = owner.client.post(MEMBERSHIPS, {"email": teammate.user.email.upper(), "role": "viewer"})
    assert answer.status_code == 409


def as_admin_on_owner(admin: Actor, method: str, owner: Actor) -> Any:
    body = {"role": "viewer"} if method == "PATCH" else None
    return admin.client.send(method, f"{MEMBERSHIPS}{owner.membership.pk}/", body)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_an_admin_unmakes_no_owner(method: str, admin: Actor, owner: Actor) -> None:
    MembershipFactory(organization=owner.organization, role=Role.OWNER)
    with writes_nothing():
        assert as_admin_on_owner(admin, method, owner).status_code == 403


@pytest.mark.parametrize("who", ["own", "other", "new"])
def test_an_admin_makes_no_owner(who: str, admin: Actor, teammate: Actor) -> None:
    with writes_nothing():
        if who == "new":
            answer = admin.client.post(MEMBERSHIPS, {"email": "new@example.com", "role": "owner"})
        else:
            membership = (admin if who == "own" else teammate).membership
            answer = admin.client.patch(f"{MEMBERSHIPS}{membership.pk}/", {"role": "owner"})
    assert answer.status_code == 403
    assert answer.json()["type"] == "/api/problems/missing_role/"


def test_an_owner_makes_and_unmakes_owners(owner: Actor, teammate: Actor) -> None:
    address = f"{MEMBERSHIPS}{teammate.membership.pk}/"
    for role in ("owner", "member"):
        assert owner.client.patch(address, {"role": role}).json()["role"] == role
    assert owner.client.delete(address).status_code == 204
    assert owner.client.get(address).status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_the_last_owner_stays_and_the_answer_says_why(method: str, owner: Actor) -> None:
    with writes_nothing():
        answer = as_admin_on_owner(owner, method, owner)
    assert answer.status_code in (400, 409)
    assert "last owner" in answer.json()["detail"]
    assert Membership.objects.get(pk=owner.membership.pk).role == Role.OWNER


def test_a_membership_stays_with_its_user(owner: Actor, teammate: Actor, viewer: Actor) -> None:
    address = f"{MEMBERSHIPS}{teammate.membership.pk}/"
    owner.client.patch(address, {"user": str(viewer.user.pk)})
    assert Membership.objects.get(pk=teammate.membership.pk).user_id == teammate.user.pk


def test_an_organization_keeps_what_is_not_its_to_change(owner: Actor) -> None:
    address = f"/api/v1/organizations/{owner.organization.pk}/"
    for field, value in {"slug": "other", "plan_tier": "enterprise", "is_active": False}.items():
        owner.client.patch(address, {field: value})
    assert {name: owner.client.get(address).json()[name] for name in ("slug", "plan_tier", "is_active")} == {
        "slug": "acme",
        "plan_tier": "free",
        "is_active": True,
    }
