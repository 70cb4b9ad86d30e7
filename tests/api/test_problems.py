"""Errors are problem details (RFC 9457), whatever goes wrong, and tell nothing that isn't the client's business."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError

from agents.models import Task
from core.api.problems import KINDS
from core.api.views import UserViewSet
from tests.factories import make
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import writes_nothing

pytestmark = pytest.mark.django_db

USERS = "/api/v1/users/"
MEMBERSHIPS = "/api/v1/memberships/"
NOWHERE = "01a20000-0000-7000-8000-000000000000"


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """Return the body of an answer that must be this kind of problem, in every part."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    required = {"type", "title", "status", "detail", "request_id"}
    assert set(body) in (required, required | {"errors"})
    assert body["type"] == f"/api/problems/{kind}/"
    assert body["status"] == status
    assert body["request_id"] == answer["X-Request-ID"]
    assert body["title"]
    assert body["detail"]
    for error in body.get("errors", []):
        assert set(error) == {"field", "code", "detail"}
    return body


def test_400_names_each_field_and_rule(owner: Actor) -> None:
    with writes_nothing():
        answer = owner.client.post(MEMBERSHIPS, {"email": "no email", "role": "boss"})
    body = problem(answer, 400, "invalid")
    assert {(error["field"], error["code"]) for error in body["errors"]} == {
        ("email", "invalid"),
        ("role", "invalid_choice"),
    }


def test_400_for_what_the_database_refuses_names_the_field_too(owner: Actor) -> None:
    body = problem(owner.client.patch(f"{MEMBERSHIPS}{owner.membership.pk}/", {"role": "viewer"}), 400, "invalid")
    assert [error["field"] for error in body["errors"]] == ["role"]


def test_400_for_null_characters_says_where_they_are(owner: Actor) -> None:
    plan = {"steps": ["one", {"two": "a\0b"}], "a\0b": 1}
    plans: list[Any] = [{}, plan]
    bodies = [{"task": str(make(Task, organization=owner.organization).pk), "plan": each} for each in plans]
    for path, body in (("", bodies[1]), ("1.", bodies)):
        with writes_nothing():
            answer = owner.client.post("/api/v1/task-runs/", body)
        errors = problem(answer, 400, "invalid")["errors"]
        assert [error["field"] for error in errors] == [f"{path}plan", f"{path}plan.steps.1.two"]
        assert {error["detail"] for error in errors} == {"Text can't hold null characters."}


def test_400_for_an_unknown_field_and_an_unknown_parameter(owner: Actor) -> None:
    address = f"/api/v1/organizations/{owner.organization.pk}/"
    [error] = problem(owner.client.patch(address, {"nmae": "Misspelt"}), 400, "invalid")["errors"]
    assert (error["field"], error["code"]) == ("nmae", "unknown")
    [error] = problem(owner.client.get(USERS, {"emial": "x"}), 400, "invalid")["errors"]
    assert (error["field"], error["code"]) == ("emial", "unknown")
    [error] = problem(owner.client.get(USERS, {"fields": "id,password"}), 400, "invalid")["errors"]
    assert (error["field"], error["code"]) == ("fields", "unknown")


def test_400_about_a_parameter_comes_before_the_write(owner: Actor) -> None:
    with writes_nothing():
        answer = owner.client.patch(f"/api/v1/organizations/{owner.organization.pk}/?fields=nonsense", {"name": "No"})
        problem(answer, 400, "invalid")
        answer = owner.client.post(f"{MEMBERSHIPS}?fields=nonsense", {"email": "new@example.com", "role": "viewer"})
        problem(answer, 400, "invalid")


def test_400_for_what_is_not_json(owner: Actor) -> None:
    address = f"/api/v1/organizations/{owner.organization.pk}/"
    for body in ("{", "{'a': 1}", '{"name": NaN}', '{"name": "\\ud800"}', "\ufeff{}", b"\xff", b"{} {}"):
        with writes_nothing():
            answer = owner.client.patch(address, body, content_type="application/json")
        problem(answer, 400, "parse_error")


def test_401_carries_the_challenge(anonymous: ApiClient) -> None:
    answer = anonymous.get(USERS)
    problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_403_names_what_is_missing(viewer: Actor, reader: ApiClient) -> None:
    address = f"/api/v1/organizations/{viewer.organization.pk}/"
    assert "“admin”" in problem(viewer.client.patch(address, {"name": "x"}), 403, "missing_role")["detail"]
    assert "“core:write”" in problem(reader.patch(address, {"name": "x"}), 403, "missing_scope")["detail"]


@pytest.mark.parametrize(
    "address",
    [
        f"{USERS}{NOWHERE}/",
        f"{USERS}not-an-id/",
        f"{USERS}{NOWHERE}",
        "/api/",
        "/api/v1/",
        "/api/v1/nothing/",
        "/api/v2/users/",
        "/api/v1/users/%00/",
        "/api/v1/users/../../admin/",
        "/api/%F0%9F%98%80/",
    ],
)
def test_404_for_what_is_nowhere(address: str, owner: Actor) -> None:
    problem(owner.client.get(address), 404, "not_found")


def test_405_names_what_is_allowed(owner: Actor) -> None:
    answer = owner.client.put(f"{USERS}{owner.user.pk}/", {})
    problem(answer, 405, "method_not_allowed")
    assert set(answer["Allow"].replace(" ", "").split(",")) <= {"GET", "HEAD", "OPTIONS"}


def test_406_for_an_answer_that_cannot_be_had(owner: Actor) -> None:
    problem(owner.client.get(USERS, headers={"Accept": "image/png"}), 406, "not_acceptable")


def test_409_for_what_the_present_state_refuses(owner: Actor, teammate: Actor) -> None:
    answer = owner.client.post(MEMBERSHIPS, {"email": teammate.user.email, "role": "viewer"})
    problem(answer, 409, answer.json()["type"].split("/")[-2])


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_415_for_a_body_of_another_type(content_type: str, owner: Actor) -> None:
    address = f"/api/v1/organizations/{owner.organization.pk}/"
    with writes_nothing():
        answer = owner.client.patch(address, "name=x", content_type=content_type)
    problem(answer, 415, "unsupported_media_type")


def test_500_tells_nothing(owner: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(view: Any) -> Any:
        raise RuntimeError("password=hunter2 at db.internal")

    monkeypatch.setattr(UserViewSet, "get_queryset", fail)
    owner.client.raise_request_exception = False
    answer = owner.client.get(USERS)
    problem(answer, 500, "error")
    assert "hunter2" not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_503_while_the_database_is_away(error: type[Exception], owner: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(view: Any) -> Any:
        raise error("connection to server at db.internal failed: password authentication failed")

    monkeypatch.setattr(UserViewSet, "get_queryset", fail)
    answer = owner.client.get(USERS)
    problem(answer, 503, "unavailable")
    assert int(answer["Retry-After"]) > 0
    assert "db.internal" not in answer.content.decode()


# --- Request ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["abc", "a.b:c_d-1", "x" * 100])
def test_a_request_id_is_taken_and_given_back(given: str, owner: Actor) -> None:
    for address in (USERS, f"{USERS}nothing/", "/health/live"):
        assert owner.client.get(address, headers={"X-Request-ID": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 101, "a b", "<script>", "é", "a\tb"])
def test_a_strange_request_id_is_replaced(given: str, owner: Actor) -> None:
    answer = owner.client.get(USERS, headers={"X-Request-ID": given})
    assert answer["X-Request-ID"] != given
    assert re.fullmatch(r"[0-9a-f-]{36}", answer["X-Request-ID"])


def test_each_request_has_an_id_of_its_own(owner: Actor) -> None:
    assert owner.client.get(USERS)["X-Request-ID"] != owner.client.get(USERS)["X-Request-ID"]


# --- Kinds -----------------------------------------------------------------------------------------


def codes_in_source() -> set[str]:
    """Return the codes of the problems that services and views raise, as they stand in the source."""
    raised = r'(?:ConflictError|PermissionDenied|NotFound)\((?:[^()]|\([^()]*\))*code="(\w+)"'
    stated = r'^    code = "(\w+)"'
    apps = ("core", "catalog", "agents", "knowledge")
    sources = [path.read_text() for app in apps for path in Path(settings.BASE_DIR, app).rglob("*.py")]
    return {code for text in sources for code in re.findall(f"(?m){stated}", text) + re.findall(raised, text)}


@pytest.mark.parametrize("code", sorted({*KINDS, *codes_in_source()}))
def test_the_type_of_a_problem_leads_to_its_description(code: str, anonymous: ApiClient) -> None:
    answer = anonymous.get(f"/api/problems/{code}/")
    assert answer.status_code == 200, f"{code} is raised and described nowhere: add it to KINDS."
    assert answer.json()["description"]


def test_codes_are_found_in_the_source() -> None:
    assert {"already_a_member", "missing_scope"} <= codes_in_source()
