"""The short way answers what the ordinary way answers, to the byte and the header; and leaves to it all but success."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.postgres.signals import get_citext_oids, get_hstore_oids
from django.db import OperationalError, connection, connections
from django.http import QueryDict
from django.utils import timezone
from psycopg.errors import QueryCanceled

from agents.models import Task
from catalog.models import Product
from config.postgresql.base import log_slow_statement
from core.api.shortcut.middleware import _creation, _route
from core.api.shortcut.reads import follows_the_kit, read_of
from core.models import APIKey, Membership, Organization, Role, User
from tests.api.shortcuts import BODY, assert_equal, is_short, just_used, statements
from tests.factories import make, make_many
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY, ApiClient
from tests.kit.reflection import Route, list_routes

pytestmark = pytest.mark.django_db

each_list = pytest.mark.parametrize("route", list_routes(), ids=str)


@pytest.fixture
def client(owner: Actor) -> ApiClient:
    return just_used(owner)


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


@pytest.mark.parametrize("query", ["nmae=x", "project=17", "status=bogus", "priority=high,bogus"])
def test_filters_that_are_refused_are_the_same_both_ways(query: str, client: ApiClient) -> None:
    path = f"/api/v1/tasks/?{query}"
    headers = {"X-Request-ID": "same"}
    answers = [client.get(path, headers=headers | more) for more in ({}, {}, ORDINARY_WAY)]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("query", ["price_min=1e200000", "price_min=1e-200000", "price_max=9e131072"])
def test_numbers_beyond_all_columns_are_refused_both_ways(query: str, owner: Actor) -> None:
    client = just_used(owner)
    assert {client.get(f"/api/v1/products/?{query}").status_code for _ in range(3)} == {400}


def test_a_charset_changes_no_query_for_others(owner: Actor, stranger: Actor) -> None:
    client = just_used(owner)
    make(Product, owner.organization, name="Café")
    path, theirs = "/api/v1/products/?search=Caf%C3%A9", just_used(stranger).defaults["HTTP_AUTHORIZATION"]
    for _ in range(3):
        client.get(path, HTTP_AUTHORIZATION=theirs, CONTENT_TYPE="x/y; charset=latin-1")
    for _ in range(3):
        assert len(client.get(path).json()["results"]) == 1


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_takes_too_long_is_run_once(owner: Actor) -> None:
    client, asked = just_used(owner), []
    path = "/api/v1/products/?limit=7"
    get(client, path)

    def cancel(execute: Any, sql: str, *rest: Any) -> Any:
        if "catalog_product" in sql:
            asked.append(sql)
            raise OperationalError from QueryCanceled()
        return execute(sql, *rest)

    with connection.execute_wrapper(cancel):
        assert client.get(path).status_code == 503
    assert len(asked) == 1


def test_the_values_in_a_statement_are_not_logged(
    client: ApiClient, owner: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/api/v1/products/?search=private-matter"
    get(client, path)
    with caplog.at_level("INFO"), connection.execute_wrapper(partial(log_slow_statement, 0.0)):
        client.get(path)
    assert '"allowed"' in caplog.text
    assert "private-matter" not in caplog.text


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


@pytest.mark.django_db(transaction=True)
def test_a_shape_that_is_a_process_s_first_is_worked_out() -> None:
    get_hstore_oids.cache_clear()
    get_citext_oids.cache_clear()
    connection.close()
    assert read_of(_route("agent-executions", detail=False), QueryDict("status=completed")) is not None


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
