"""Creations the short way: answered and stored as the ordinary way does, and left to it all but success."""

import json
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from agents.models import Task
from core.api.shortcut.middleware import _creation, _route
from core.api.shortcut.reads import follows_the_kit
from core.api.viewsets import RecordViewSet
from core.models import APIKey, AuditEvent
from tests.api.shortcuts import BODY, is_short, just_used, statements
from tests.factories import make
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY, ApiClient
from tests.kit.reflection import Route, list_routes

pytestmark = pytest.mark.django_db

each_list = pytest.mark.parametrize("route", list_routes(), ids=str)


@pytest.fixture
def client(owner: Actor) -> ApiClient:
    return just_used(owner)


def post(client: ApiClient, body: Any, **headers: str) -> tuple[Any, list[str]]:
    with statements() as found:
        answer = client.post("/api/v1/tasks/", body, headers={"X-Request-ID": "same", **headers})
    return answer, found


def test_a_record_is_made_the_same_both_ways(client: ApiClient, owner: Actor) -> None:
    (short, found), (ordinary, more) = post(client, BODY), post(client, BODY, **ORDINARY_WAY)
    assert is_short(found)
    assert not is_short(more)
    assert short.status_code == ordinary.status_code == 201
    own = {"id", "created_at", "updated_at"}
    assert {k: v for k, v in short.json().items() if k not in own} == {
        k: v for k, v in ordinary.json().items() if k not in own
    }
    assert list(short.json()) == list(ordinary.json())
    assert short.content == client.get(short.headers["Location"]).content
    headers = [
        {k: v for k, v in each.headers.items() if k not in ("Location", "Content-Length")} for each in (short, ordinary)
    ]
    assert headers[0] == headers[1]
    events = [AuditEvent.objects.get(resource_id=each.json()["id"]) for each in (short, ordinary)]
    told = [
        (e.event_type, e.user_id, e.user_email, e.api_key_id, e.request_id, e.ip_address, e.user_agent, e.details)
        for e in events
    ]
    assert told[0] == told[1]
    assert told[0][1] == owner.user.pk
    assert {k for k, v in events[0].new_value.items()} == {k for k, v in events[1].new_value.items()}


def test_the_audit_context_ends_with_the_request(client: ApiClient, owner: Actor) -> None:
    post(client, BODY)
    task = make(Task, owner.organization)
    assert AuditEvent.objects.get(resource_id=task.pk).user_id is None


@each_list
def test_what_is_made_the_short_way_reads_as_it_was_answered(route: Route, client: ApiClient, owner: Actor) -> None:
    creation = _creation(route.path().split("/")[3])
    if creation is None:
        pytest.skip("the viewset has a way of its own")
    row = make(route.model, owner.organization)
    shown = client.get(f"{route.path()}{row.pk}/").json()
    body = {}
    for field in creation.serializer._writable_fields:
        value = shown.get(field.field_name)
        if value is not None and type(field).__name__ != "OrganizationRelatedField":
            body[field.field_name] = f"{value} again" if field.field_name in ("name", "slug", "prefix") else value
    with statements() as found:
        made = client.post(route.path(), body)
    assert is_short(found)
    if made.status_code == 201:
        assert made.content == client.get(made.headers["Location"]).content
    else:
        assert client.post(route.path(), body, headers=ORDINARY_WAY).status_code == made.status_code


def test_tasks_are_made_the_short_way_and_executions_by_their_own() -> None:
    assert _creation("tasks")
    assert _creation("agent-executions") is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 1000},
        {"name": "Look", "nmae": 1},
        {"name": "Look", "priority": "soon"},
        {"name": "Look", "max_rounds": -1},
        {"name": "Look", "config": "text"},
        {"name": "a\0b"},
        {"name": "Look", "config": {"a": "\0"}},
        {"name": "Look", "project": "2f633567-b2f9-44e2-ae87-edb78652eb24"},
        {"name": "Look", "project": 17},
        [],
        "text",
        None,
    ],
)
def test_a_body_that_is_wrong_is_answered_as_ever_and_writes_nothing(
    body: Any, client: ApiClient, writes_nothing: Any
) -> None:
    with writes_nothing():
        short, ordinary = (
            client.post("/api/v1/tasks/", json.dumps(body), headers={"X-Request-ID": "same", **more})
            for more in ({}, ORDINARY_WAY)
        )
    assert short.status_code == ordinary.status_code == 400
    assert short.content == ordinary.content


def test_a_creation_whose_answer_is_lost_is_not_tried_again(client: ApiClient, owner: Actor) -> None:
    def lose(execute: Any, sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if "INSERT" in sql:
            raise OperationalError("the connection is lost")
        return result

    with connection.execute_wrapper(lose):
        answer = client.post("/api/v1/tasks/", BODY)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json()["type"] == "/api/problems/unavailable/"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_a_reference_goes_the_ordinary_way(client: ApiClient, owner: Actor) -> None:
    from agents.models import Project

    project = make(Project, owner.organization)
    answer, found = post(client, BODY | {"project": str(project.pk)})
    assert answer.status_code == 201
    assert not is_short(found)
    assert answer.json()["project"] == str(project.pk)


def test_a_refused_creation_writes_nothing(client: ApiClient, owner: Actor, viewer: Actor, writes_nothing: Any) -> None:
    APIKey.objects.filter(pk=viewer.key.pk).update(last_used_at=timezone.now())
    with writes_nothing():
        assert viewer.by_key.post("/api/v1/tasks/", BODY).status_code == 403
    reader = owner.with_scopes(["agents:read"])
    APIKey.objects.update(last_used_at=timezone.now())
    with writes_nothing():
        assert reader.post("/api/v1/tasks/", BODY).status_code == 403


def test_a_viewset_with_a_way_of_its_own_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    route = _route("tasks", detail=False)
    assert follows_the_kit(route)
    monkeypatch.setattr(route.cls, "get_queryset", lambda self: RecordViewSet.get_queryset(self))
    assert not follows_the_kit(route)
