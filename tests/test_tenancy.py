"""No request sees or touches another organization's rows: every address, method and member, found by reflection.

The other organization's rows are planted with markers in every text they hold. No answer may hold a marker or an id
of theirs. And no answer may tell their rows from rows that never existed: whatever refers to one of theirs is
answered like the same request with an id that nothing has.
"""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import django_filters
import pytest
from django.db import connection, models

from core.models import Organization
from tests.factories import make
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import writes_nothing
from tests.kit.planting import MARKER, markers, plant
from tests.kit.reflection import Route, api_routes, list_routes, our_models, read_serializer_class
from tests.permissions import Row, all_rows, body_of, target_of

pytestmark = pytest.mark.django_db

each_list = pytest.mark.parametrize("route", list_routes(), ids=str)
SIGHTED = ("owner", "viewer", "customer", "key")  # the highest, the lowest, who sees only their own, and a key
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture
def theirs(other_organization: Organization, stranger: Actor) -> dict[type[models.Model], models.Model]:
    """A row of each model of the other organization, full of markers."""
    rows = {model: make(model, other_organization) for model in our_models()}
    for row in rows.values():
        plant(row, markers)
        row.refresh_from_db()
    return rows


@pytest.fixture
def ours(organization: Organization, owner: Actor) -> dict[type[models.Model], models.Model]:
    """A row of each model of our organization."""
    return {model: make(model, organization) for model in our_models()}


@pytest.fixture
def clients(owner: Actor, viewer: Actor, customer: Actor) -> dict[str, ApiClient]:
    """Members of ours."""
    return {"owner": owner.client, "viewer": viewer.client, "customer": customer.client, "key": owner.by_key}


def foreign_ids(theirs: dict[type[models.Model], models.Model], other_organization: Organization) -> set[str]:
    """Return the id of every row of the other organization."""
    found = {str(other_organization.pk)}
    for model in our_models():
        rows = model._base_manager.filter(**{model.organization_path: other_organization})  # type: ignore[attr-defined]
        found |= {str(pk) for pk in rows.values_list("pk", flat=True)}
    assert all(str(row.pk) in found for row in theirs.values())
    return found


def text_of(answer: Any) -> str:
    """Return all that a client sees of an answer."""
    return f"{answer.status_code} {dict(answer.headers)} {answer.content.decode()}"


def assert_nothing_leaks(answer: Any, forbidden: set[str]) -> None:
    text = text_of(answer)
    assert MARKER not in text.lower()
    assert not forbidden & set(UUID.findall(text))


def neutral(answer: Any, *sent: object) -> Any:
    """Return an answer without what differs from request to request, and without what the client itself sent."""
    text = answer.content.decode()
    for value in sent:
        text = text.replace(str(value), "…")
    body = json.loads(text) if text else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    return answer.status_code, body


def test_every_model_is_planted_with_a_marker(theirs: dict[type[models.Model], models.Model]) -> None:
    for model, row in theirs.items():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT to_jsonb(each)::text FROM {model._meta.db_table} AS each WHERE id = %s", [row.pk])
            [text] = cursor.fetchone()
        assert MARKER in text.lower(), f"{model._meta.label} holds no marker; a leak would go unseen."


def test_a_leak_would_be_seen(theirs: Any, stranger: Actor, other_organization: Organization) -> None:
    """The control: those who may see the rows do see markers and ids."""
    forbidden = foreign_ids(theirs, other_organization)
    for route in list_routes():
        answer = stranger.client.get(route.path())
        with pytest.raises(AssertionError):
            assert_nothing_leaks(answer, forbidden)


# --- Lists -----------------------------------------------------------------------------------------


def queries(route: Route) -> Iterator[dict[str, Any]]:
    """Yield the parameters by which a list can be asked for more than its first page."""
    viewset: Any = route.viewset
    yield {"count": "exact", "limit": 200}
    yield {"count": "estimate", "limit": 1}
    yield {"fields": ",".join(read_serializer_class(viewset)().fields)}
    for name in {*viewset.ordering_fields, *(term.lstrip("-") for term in viewset.ordering)}:
        yield {"ordering": name}
        yield {"ordering": f"-{name}"}


@each_list
@pytest.mark.parametrize("name", SIGHTED)
def test_a_list_holds_only_our_own_rows(
    route: Route,
    name: str,
    ours: Any,
    theirs: Any,
    organization: Organization,
    other_organization: Organization,
    clients: dict[str, ApiClient],
) -> None:
    viewset: Any = route.viewset
    forbidden = foreign_ids(theirs, other_organization)
    own = {str(pk) for pk in viewset.queryset.for_organization(organization).values_list("pk", flat=True)}
    for query in queries(route):
        answer = clients[name].get(route.path(), query)
        assert_nothing_leaks(answer, forbidden)
        body = answer.json()
        if answer.status_code == 200:
            assert {row["id"] for row in body["results"]} <= own
            assert body.get("count", 0) <= len(own)
        if body.get("next"):
            assert_nothing_leaks(clients[name].get(body["next"]), forbidden)


@each_list
def test_an_exact_count_counts_only_our_own_rows(route: Route, ours: Any, theirs: Any, owner: Actor) -> None:
    viewset: Any = route.viewset
    answer = owner.client.get(route.path(), {"count": "exact", "limit": 200}).json()
    own = viewset.queryset.for_organization(owner.organization)
    assert answer["count"] == len(answer["results"]) == own.count()


@each_list
def test_a_cursor_of_another_organization_opens_nothing(
    route: Route, ours: Any, theirs: Any, owner: Actor, stranger: Actor, other_organization: Organization
) -> None:
    viewset: Any = route.viewset
    if viewset.queryset.model is not Organization:
        make(viewset.queryset.model, other_organization)
        taken = stranger.client.get(route.path(), {"limit": 1}).json()["next"]
        cursor = taken.partition("cursor=")[2].partition("&")[0]
        for direction in ("", "-"):
            ordering = f"{direction}{viewset.ordering[0].lstrip('-')}"
            answer = owner.client.get(f"{route.path()}?cursor={cursor}&ordering={ordering}&count=exact")
            assert answer.status_code in (200, 400)
            assert_nothing_leaks(answer, foreign_ids(theirs, other_organization))


def filters(route: Route) -> Iterator[tuple[str, Any]]:
    """Yield the name and the filter of each parameter of a list."""
    filterset = getattr(route.viewset, "filterset_class", None)
    yield from (filterset.base_filters if filterset else {}).items()


def foreign_values(name: str, each: Any, theirs: dict[type[models.Model], models.Model]) -> Iterator[tuple[str, str]]:
    """Yield pairs of a value that only the other organization's rows have, and one that nothing has."""
    if isinstance(each, django_filters.UUIDFilter | django_filters.ModelChoiceFilter):
        for row in theirs.values():
            yield str(row.pk), str(uuid.uuid4())
        return
    for row in theirs.values():
        for field in row._meta.concrete_fields:
            value = getattr(row, field.attname)
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, str) and MARKER in value.lower():
                yield value, re.sub(MARKER, "nothing", value, flags=re.IGNORECASE)
    yield json.dumps({MARKER: 1}), json.dumps({"nothing": 1})


@each_list
def test_a_filter_by_what_is_theirs_answers_as_by_what_is_nowhere(
    route: Route, ours: Any, theirs: Any, owner: Actor, other_organization: Organization
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # what the planner knows of all rows is no source of hints either
    for name, each in filters(route):
        for foreign, nowhere in foreign_values(name, each, theirs):
            answers = [
                owner.by_key.get(route.path(), {name: value, "count": how})
                for value in (foreign, nowhere)
                for how in ("exact", "estimate")
            ]
            sent = (foreign, nowhere, urlencode({name: foreign}), urlencode({name: nowhere}))
            exact, estimate, exact_nowhere, estimate_nowhere = (neutral(answer, *sent) for answer in answers)
            assert exact == exact_nowhere, (name, foreign)
            assert estimate == estimate_nowhere, (name, foreign)


# --- One record ------------------------------------------------------------------------------------


def requests_about_a_record() -> list[Row]:
    return [row for row in all_rows() if row.route.is_detail]


@pytest.mark.parametrize("row", requests_about_a_record(), ids=str)
def test_a_record_of_theirs_is_answered_like_none(
    row: Row,
    owner: Actor,
    clients: dict[str, ApiClient],
    organization: Organization,
    other_organization: Organization,
    theirs: Any,
) -> None:
    target = target_of(row, other_organization)
    body = body_of(row, organization)
    nothing = uuid.uuid4()
    with writes_nothing():
        for name, client in clients.items():
            answer = client.send(row.method, row.route.path(target.pk), body)
            other = client.send(row.method, row.route.path(nothing), body)
            assert neutral(answer, target.pk, nothing) == neutral(other, target.pk, nothing)
            assert MARKER not in text_of(answer).lower()
            expected = {404} if name in ("owner", "key") else {403, 404}
            assert answer.status_code in expected


def replaced(body: Any, identifier: str, value: str) -> Any:
    """Return a body with one id replaced by another."""
    return json.loads(json.dumps(body).replace(identifier, value))


@pytest.mark.parametrize("row", [row for row in all_rows() if row.method in ("POST", "PATCH")], ids=str)
def test_a_reference_to_theirs_in_a_body_is_answered_like_one_to_nothing(
    row: Row, owner: Actor, organization: Organization, other_organization: Organization, theirs: Any
) -> None:
    target, body = target_of(row, organization), body_of(row, organization)
    path = row.route.path(target.pk if target else None)
    body = (body or {}) | references(row, ours=organization)
    for identifier in sorted(set(UUID.findall(json.dumps(body)))):
        for foreign in theirs.values():
            nothing = str(uuid.uuid4())
            with writes_nothing():
                answer = owner.by_key.send(row.method, path, replaced(body, identifier, str(foreign.pk)))
                other = owner.by_key.send(row.method, path, replaced(body, identifier, nothing))
            assert 400 <= answer.status_code < 500
            sent = (foreign.pk, nothing)
            assert neutral(answer, *sent) == neutral(other, *sent)


def references(row: Row, ours: Organization) -> dict[str, str]:
    """Return a reference to a record of ours for each field of the request's body that takes one."""
    view: Any = row.route.view
    viewset = view.cls(**view.initkwargs)
    viewset.action = dict(row.route.actions)[row.method.lower()]
    if viewset.action not in ("create", "partial_update"):
        return {}
    fields = viewset.get_serializer_class()().fields
    names = [name for name, field in fields.items() if not field.read_only and _refers(field)]
    model = row.route.viewset.queryset.model  # type: ignore[union-attr]
    return {name: str(make(model._meta.get_field(name).related_model, ours).pk) for name in names}


def _refers(field: Any) -> bool:
    return type(field).__name__ in ("OrganizationRelatedField", "PrimaryKeyRelatedField", "UUIDField")


@pytest.mark.parametrize("row", [row for row in all_rows() if row.method in ("POST", "PATCH")], ids=str)
def test_a_body_never_names_an_organization(
    row: Row, owner: Actor, organization: Organization, other_organization: Organization
) -> None:
    target = target_of(row, organization)
    path = row.route.path(target.pk if target else None)
    body = (body_of(row, organization) or {}) | {"organization": str(other_organization.pk)}
    owner.by_key.send(row.method, path, body)
    for model in our_models():
        if model is not Organization:
            rows = model._base_manager.filter(**{model.organization_path: other_organization})  # type: ignore[attr-defined]
            assert not rows.exists(), f"{row} wrote a {model.__name__} into another organization."


# --- The whole -------------------------------------------------------------------------------------


def test_addresses_about_no_record_hold_nothing_of_anybody(
    theirs: Any, ours: Any, owner: Actor, other_organization: Organization
) -> None:
    forbidden = foreign_ids(theirs, other_organization)
    for route in api_routes():
        if "GET" in route.methods and not route.is_detail and not route.is_list:
            path = route.path().replace("<slug:code>", "not_found").replace("<path:rest>", str(theirs[Organization].pk))
            assert_nothing_leaks(owner.client.get(path), forbidden - {str(theirs[Organization].pk)})


def test_a_session_chooses_no_organization_that_it_isnt_a_member_of(owner: Actor, stranger: Actor) -> None:
    own = owner.client.get("/api/v1/users/", headers={"Muster-Organization": "acme"})
    assert own.status_code == 200
    answers = [
        owner.client.get("/api/v1/users/", headers={"Muster-Organization": slug}) for slug in ("globex", "nowhere")
    ]
    assert neutral(answers[0], "globex") == neutral(answers[1], "nowhere")
    assert answers[0].status_code == 403
