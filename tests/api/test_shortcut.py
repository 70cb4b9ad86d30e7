"""The short way answers what the ordinary way answers, to the byte and the header; and leaves to it all but success."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Task
from core.api.shortcut.middleware import _creation, _route
from core.api.shortcut.reads import follows_the_kit, read_of
from core.api.viewsets import RecordViewSet
from core.models import APIKey, AuditEvent, Membership, Organization, Role, User
from tests.factories import make, make_many
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY, ApiClient
from tests.kit.reflection import Route, list_routes

pytestmark = pytest.mark.django_db

each_list = pytest.mark.parametrize("route", list_routes(), ids=str)


@pytest.fixture
def client(owner: Actor) -> ApiClient:
    """A client whose key was used just now, so that no use must be noted."""
    APIKey.objects.filter(pk=owner.key.pk).update(last_used_at=timezone.now())
    return owner.by_key


@contextmanager
def statements() -> Iterator[list[str]]:
    """Give the statements run meanwhile."""
    found: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        yield found
    found += [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]


def is_short(found: list[str]) -> bool:
    """Tell whether the request went the short way: by one statement, with the gate in it."""
    return any('"allowed"' in sql for sql in found)


def get(client: ApiClient, path: str) -> Any:
    """Ask twice, since a shape with parameters goes the short way when it is met again."""
    client.get(path)
    return client.get(path)


def both(client: ApiClient, path: str) -> tuple[Any, Any]:
    """Return the answers of the short and of the ordinary way, of which the request's id is the same."""
    name = {"X-Request-ID": "same"}
    client.get(path)
    with statements() as found:
        short = client.get(path, headers=name)
    assert is_short(found), path
    assert len(found) == 1
    with statements() as found:
        ordinary = client.get(path, headers=name | ORDINARY_WAY)
    assert not is_short(found)
    return short, ordinary


def assert_equal(short: Any, ordinary: Any) -> None:
    assert (short.status_code, dict(short.headers)) == (ordinary.status_code, dict(ordinary.headers))
    assert short.content == ordinary.content


# --- Reads -----------------------------------------------------------------------------------------


def test_most_records_are_read_the_short_way() -> None:
    lists = [route for route in list_routes() if follows_the_kit(route.view)]
    assert len(lists) > 0.8 * len(list_routes())


@each_list
def test_a_page_is_the_same_both_ways(route: Route, client: ApiClient, owner: Actor) -> None:
    if not follows_the_kit(route.view):
        pytest.skip("the viewset has a way of its own")
    if read_of(route.view, client.get(route.path()).wsgi_request.GET) is None:
        pytest.skip("PostgreSQL doesn't render these rows")
    if route.model is not Organization:
        make_many(route.model, owner.organization, 5)
    for query in ("", "?limit=1", "?limit=2&fields=id", "?limit=5", "?limit=200", f"?ordering=-{_ordering(route)}"):
        assert_equal(*both(client, route.path() + query))
    if following := client.get(route.path() + "?limit=2").json()["next"]:
        second = following.partition("testserver")[2]
        assert_equal(*both(client, second))
        assert client.get(second).json()["previous"]


def _ordering(route: Route) -> str:
    viewset: Any = route.viewset
    return [*viewset.ordering_fields, *(name.lstrip("-") for name in viewset.ordering)][0]


@each_list
def test_a_detail_is_the_same_both_ways(route: Route, client: ApiClient, owner: Actor) -> None:
    row = make(route.model, owner.organization)
    path = f"{route.path()}{row.pk}/"
    view = _route(route.path().split("/")[3], detail=True)
    if view is None or not follows_the_kit(view) or read_of(view, client.get(path).wsgi_request.GET) is None:
        pytest.skip("the viewset has a way of its own")
    assert_equal(*both(client, path))
    assert_equal(*both(client, f"{path}?fields=id"))


def test_an_empty_page_is_the_same_both_ways(client: ApiClient) -> None:
    short, ordinary = both(client, "/api/v1/tasks/?status=failed")
    assert_equal(short, ordinary)
    assert short.json() == {"next": None, "previous": None, "results": []}


@pytest.mark.parametrize(
    "query",
    [
        "status=pending,running&priority=high",
        "task_type=a'b%25s",
        "task_type=$9",
        "task_type=%24%31",
        "search=two%20words",
        "created_at_after=2020-01-01T00:00:00Z&created_at_before=2099-01-01T00:00:00Z",
        "project=2f633567-b2f9-44e2-ae87-edb78652eb24",
        "status=pending&status=failed",
        "priority=",
    ],
)
def test_filters_are_the_same_both_ways(query: str, client: ApiClient, owner: Actor) -> None:
    make_many(Task, owner.organization, 3)
    path = f"/api/v1/tasks/?{query}"
    assert client.get(path).status_code == 200
    assert_equal(*both(client, path))


@pytest.mark.parametrize("query", ["nmae=x", "project=17"])
def test_filters_that_are_refused_are_the_same_both_ways(query: str, client: ApiClient) -> None:
    path = f"/api/v1/tasks/?{query}"
    headers = {"X-Request-ID": "same"}
    answers = [client.get(path, headers=headers | more) for more in ({}, {}, ORDINARY_WAY)]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert len({answer.content for answer in answers}) == 1


def test_values_with_dollars_are_no_placeholders_with_debug_on(client: ApiClient) -> None:
    connection.force_debug_cursor = True
    try:
        for _ in range(3):
            assert client.get("/api/v1/tasks/?task_type=$9").status_code == 200
    finally:
        connection.force_debug_cursor = False


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_shape_that_is_met_while_the_database_is_away_is_answered_503(
    method: str, client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> None:
        raise OperationalError("connection refused")

    assert client.get("/api/v1/projects/").status_code == 200  # from here on, the key and its limits are known
    _creation.cache_clear()
    for name in ("ensure_connection", "cursor"):
        monkeypatch.setattr(connections["default"], name, away)
    answer = client.get("/api/v1/tasks/") if method == "get" else client.post("/api/v1/tasks/", BODY)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json()["type"] == "/api/problems/unavailable/"


def test_what_one_request_asks_is_not_what_another_gets(owner: Actor, stranger: Actor) -> None:
    mine, theirs = make(Task, owner.organization), make(Task, stranger.organization)
    client = ApiClient()
    for actor, task in ((owner, mine), (stranger, theirs), (owner, mine)):
        headers = {"Authorization": f"Bearer {actor.key.text}"}  # type: ignore[attr-defined]
        listed = client.get("/api/v1/tasks/", headers=headers).json()["results"]
        assert [each["id"] for each in listed] == [str(task.pk)]
    for actor, task in ((owner, theirs), (stranger, mine)):
        headers = {"Authorization": f"Bearer {actor.key.text}"}  # type: ignore[attr-defined]
        assert client.get(f"/api/v1/tasks/{task.pk}/", headers=headers).status_code == 404


def test_rows_are_read_anew_each_time(client: ApiClient, owner: Actor) -> None:
    task = make(Task, owner.organization)
    path = f"/api/v1/tasks/{task.pk}/"
    assert get(client, path).json()["name"] == task.name
    Task.objects.filter(pk=task.pk).update(name="Changed")
    assert client.get(path).json()["name"] == "Changed"
    task.delete()
    assert client.get(path).status_code == 404


# --- The key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"revoked_at": timezone.now()}, 401),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, 401),
        ({"digest": "0" * 64}, 401),
        ({"scopes": ["catalog:read"]}, 403),
        ({"last_used_at": None}, 200),
        ({"last_used_at": timezone.now() - timedelta(minutes=2)}, 200),
    ],
)
def test_a_key_that_is_no_good_goes_the_ordinary_way(
    change: dict[str, Any], status: int, client: ApiClient, owner: Actor
) -> None:
    task = make(Task, owner.organization)
    for path in ("/api/v1/tasks/", f"/api/v1/tasks/{task.pk}/"):
        assert get(client, path).status_code == 200
    APIKey.objects.filter(pk=owner.key.pk).update(**change)
    for path in (f"/api/v1/tasks/{task.pk}/", "/api/v1/tasks/"):
        with statements() as found:
            assert client.get(path).status_code == status
        assert len(found) > 1
        APIKey.objects.filter(pk=owner.key.pk).update(**change)


def test_the_use_of_a_key_is_noted_once_a_minute(client: ApiClient, owner: Actor) -> None:
    past = timezone.now() - timedelta(minutes=2)
    APIKey.objects.filter(pk=owner.key.pk).update(last_used_at=past)
    get(client, "/api/v1/tasks/")
    assert APIKey.objects.get(pk=owner.key.pk).last_used_at > past


@pytest.mark.parametrize("loss", ["membership", "user", "organization", "role"])
def test_who_may_no_longer_act_is_refused(
    loss: str, client: ApiClient, owner: Actor, organization: Organization
) -> None:
    assert get(client, "/api/v1/audit-events/").status_code == 200
    if loss == "membership":
        make(Membership, organization, role=Role.OWNER)
        owner.membership.delete()
    elif loss == "user":
        User.objects.filter(pk=owner.user.pk).update(is_active=False)
    elif loss == "organization":
        Organization.objects.filter(pk=organization.pk).update(is_active=False)
    else:
        make(Membership, organization, role=Role.OWNER)
        Membership.objects.filter(pk=owner.membership.pk).update(role=Role.VIEWER)
    assert client.get("/api/v1/audit-events/").status_code == (403 if loss == "role" else 401)


def test_a_customer_goes_the_ordinary_way(customer: Actor) -> None:
    APIKey.objects.filter(pk=customer.key.pk).update(last_used_at=timezone.now())
    with statements() as found:
        get(customer.by_key, "/api/v1/orders/")
    assert not any('"allowed"' in sql and "answer" in sql for sql in found[-1:])


def test_a_host_that_is_not_ours_is_refused(client: ApiClient) -> None:
    get(client, "/api/v1/tasks/")
    assert client.get("/api/v1/tasks/", headers={"Host": "evil.example"}).status_code == 400


# --- Creations -------------------------------------------------------------------------------------

BODY = {"name": "Look", "description": "“At” it's\n%s {}", "config": {"a": [1, None, "\u00fc"]}, "max_rounds": 3}


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
