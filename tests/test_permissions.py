"""Who gets what, at every address below ``/api/``: the tables of tests/permissions, held against the project."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction

from core.models import AuditEvent, Organization, Scope
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import writes_nothing
from tests.kit.reflection import METHODS, Route, api_routes
from tests.permissions import CAST, Row, all_rows, body_of, parse, target_of

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def organization(cast: dict[str, Actor]) -> Organization:
    return cast["owner"].organization


@pytest.fixture(scope="module")
def clients(cast: dict[str, Actor]) -> dict[str, ApiClient]:
    """A client for each column."""
    owner, sessions = cast["owner"], {name: actor.client for name, actor in cast.items()}
    return {"anonymous": ApiClient(), "key": owner.by_key, "reader": owner.with_scopes([Scope.CORE_READ]), **sessions}


@contextmanager
def undone() -> Iterator[None]:
    """Take back what the block writes, so that each of the cast finds the same."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def address(route: Route, target: Any) -> str:
    path = route.path(target.pk if target is not None else None)
    return path.replace("<slug:code>", "not_found").replace("<path:rest>", "nowhere")


def test_the_tables_name_every_address_and_method() -> None:
    stated = [(row.method, row.address) for row in all_rows()]
    assert len(stated) == len(set(stated))
    found = {(method, route.template) for route in api_routes() for method in route.methods}
    assert found - set(stated) == set(), "Add rows for these to tests/permissions."
    assert set(stated) - found == set(), "Nothing serves these any more."


def test_a_row_without_a_status_for_each_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        parse(f"{' '.join(CAST)}\nGET /api/v1/x/ 200 200")


@pytest.mark.parametrize("row", all_rows(), ids=str)
def test_each_of_the_cast_gets_what_the_table_says(
    row: Row, organization: Organization, clients: dict[str, ApiClient]
) -> None:
    target, body = target_of(row, organization), body_of(row, organization)
    path = address(row.route, target)

    def ask(name: str) -> int:
        answer = clients[name].send(row.method, path, body)
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json"
        return answer.status_code

    writers = {name for name in CAST if row.method != "GET" and row.statuses[name] < 400}
    with writes_nothing():
        got = {name: ask(name) for name in CAST if name not in writers}
    for name in writers:
        with undone():
            got[name] = ask(name)
    assert got == dict(row.statuses)


@pytest.mark.parametrize("route", api_routes(), ids=str)
def test_other_methods_are_refused_and_write_nothing(
    route: Route, organization: Organization, clients: dict[str, ApiClient]
) -> None:
    path = address(route, target_of(Row("GET", route.template, {}), organization))
    known = {*route.methods, "HEAD" if "GET" in route.methods else ""}
    possible = {401, 403, 405} if route.viewset else {404, 405, 406}
    with writes_nothing():
        got = {
            (method, name): client.send(method, path, {}).status_code
            for method in METHODS
            if method not in known
            for name, client in clients.items()
            if name in ("anonymous", "owner")
        }
    assert {case: status for case, status in got.items() if status not in possible} == {}
    if route.viewset:
        assert {status for (_, name), status in got.items() if name == "owner"} <= {405}


@pytest.mark.parametrize("name", ["viewer", "reader", "teammate"])
def test_a_refusal_is_recorded(name: str, clients: dict[str, ApiClient], organization: Organization) -> None:
    answer = clients[name].patch(f"/api/v1/organizations/{organization.pk}/", {"name": "No"})
    assert answer.status_code == 403
    event = AuditEvent.objects.get(event_type="request.refuse")
    assert event.organization_id == organization.pk
    assert event.request_id == answer.json()["request_id"]
