"""No request sees or touches another organization's rows: every address, method and member, found by reflection.

The other organization's rows are planted with markers in every text they hold. No answer may hold a marker or an id
of theirs. And no answer may tell their rows from rows that never existed: whatever refers to one of theirs is
answered like the same request with an id, or a word, that nothing has.
"""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import django_filters
import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models, transaction

from core.models import AuditEvent, Organization, Role
from tests.factories import make, make_many
from tests.factories.core import OrganizationFactory
from tests.kit.cast import Actor, make_actor
from tests.kit.client import ApiClient
from tests.kit.database import digests, writes_nothing
from tests.kit.planting import MARKER, markers, plant
from tests.kit.reflection import Route, api_routes, list_routes, our_models, read_serializer_class
from tests.permissions import Row, all_rows, body_of, target_of

pytestmark = pytest.mark.django_db

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
GONE = "xq7gone"  # as long as the marker, and in no row
BODIED = [row for row in all_rows() if row.method in ("POST", "PATCH")]

Rows = dict[type[models.Model], models.Model]


def rows_of(model: type[models.Model], organization: Organization) -> models.QuerySet:
    """Return the rows of the organization."""
    return model._default_manager.for_organization(organization)  # type: ignore[attr-defined]


def row_of_each(organization: Organization) -> Rows:
    """Make a row of each model, all at once: some rows are whole only with others."""
    with transaction.atomic():
        return {model: make(model, organization) for model in our_models()}


@dataclass
class Theirs:
    """The other organization's rows: one of each model at least, all full of markers, and every id."""

    rows: Rows
    ids: set[str]

    def assert_unseen(self, answer: Any, *context: Any) -> None:
        """Fail if the answer holds anything of theirs."""
        text = f"{answer.status_code} {dict(answer.headers)} {answer.content.decode()}"
        assert MARKER not in text.lower(), context
        assert not self.ids & set(UUID.findall(text)), context


@pytest.fixture(scope="module")
def owner(cast: dict[str, Actor]) -> Actor:
    return cast["owner"]


@pytest.fixture(scope="module")
def stranger(cast: dict[str, Actor]) -> Actor:
    return cast["stranger"]


@pytest.fixture(scope="module")
def organization(owner: Actor) -> Organization:
    return owner.organization


@pytest.fixture(scope="module")
def other_organization(stranger: Actor) -> Organization:
    return stranger.organization


@pytest.fixture(scope="module")
def theirs(other_organization: Organization, stranger: Actor) -> Theirs:
    """What must stay unseen."""
    rows = row_of_each(other_organization)
    ids = set()
    for model in our_models():
        for row in rows_of(model, other_organization):
            plant(row, markers)
            ids.add(str(row.pk))
    for row in rows.values():
        row.refresh_from_db()
    stranger.user.refresh_from_db()
    stranger.client.force_login(stranger.user)  # the marker in the password ended the session
    return Theirs(rows, ids)


@pytest.fixture(scope="module")
def ours(organization: Organization, owner: Actor) -> Rows:
    """A row of each model of our organization."""
    return row_of_each(organization)


@pytest.fixture
def newcomer(db: None) -> Actor:
    """The owner of an organization that has no rows yet, of which there may be but one of some."""
    return make_actor(OrganizationFactory(), Role.OWNER, "newcomer")


@pytest.fixture(scope="module")
def clients(cast: dict[str, Actor]) -> dict[str, ApiClient]:
    """The highest of ours, the lowest, one who sees only their own, and a key."""
    return {name: cast[name].client for name in ("owner", "viewer", "customer")} | {"key": cast["owner"].by_key}


def neutral(answer: Any, *sent: object) -> Any:
    """Return an answer without what differs from request to request, and without what the client itself sent."""
    text = answer.content.decode()
    for value in (*sent, MARKER, GONE):
        text = text.replace(quote_plus(str(value)), "…").replace(str(value), "…")
    body = json.loads(text) if text else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    return answer.status_code, body


def test_every_text_that_can_is_planted_with_a_marker(theirs: Theirs) -> None:
    unmarked = []
    for model, row in theirs.rows.items():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT to_jsonb(each)::text FROM {model._meta.db_table} AS each WHERE id = %s", [row.pk])
            if MARKER not in cursor.fetchone()[0].lower():
                unmarked.append(model._meta.label)
    by_ids = ["core.Membership", "knowledge.TermVector"]
    assert sorted(unmarked) == by_ids, "A leak from these would be seen by their ids only."


def test_the_control_sees_the_leak(theirs: Theirs, stranger: Actor) -> None:
    """The stranger is answered with their own rows: the tests below would notice."""
    for route in list_routes():
        with pytest.raises(AssertionError):
            theirs.assert_unseen(stranger.client.get(route.path()))


# --- Lists -----------------------------------------------------------------------------------------


def ways_of_asking(route: Route) -> Iterator[dict[str, Any]]:
    """Yield the parameters by which a list shows more than its first page does."""
    viewset: Any = route.viewset
    yield {"count": "exact", "limit": 200}
    yield {"count": "estimate", "limit": 1}
    yield {"fields": ",".join(read_serializer_class(viewset)().fields)}
    for name in {*viewset.ordering_fields, *(term.lstrip("-") for term in viewset.ordering)}:
        yield {"ordering": name}
        yield {"ordering": f"-{name}"}


def test_lists_hold_only_our_own_rows(
    theirs: Theirs, ours: Rows, clients: dict[str, ApiClient], organization: Organization
) -> None:
    for route in list_routes():
        own = rows_of(route.model, organization)
        for name, client in clients.items():
            for query in ways_of_asking(route):
                answer = client.get(route.path(), query)
                theirs.assert_unseen(answer, route, name, query)
                if answer.status_code == 200:
                    body = answer.json()
                    ids = [row["id"] for row in body["results"]]
                    assert own.filter(pk__in=ids).count() == len(ids), (route, name, query)
                    assert body.get("count", 0) <= own.count(), (route, name, query)
                    if body["next"]:
                        theirs.assert_unseen(client.get(body["next"]), route, name, query)


def test_exact_counts_count_only_our_own_rows(theirs: Theirs, ours: Rows, owner: Actor) -> None:
    for route in list_routes():
        answer = owner.client.get(route.path(), {"count": "exact", "limit": 200}).json()
        assert answer["count"] == len(answer["results"]) == rows_of(route.model, owner.organization).count()


def test_cursors_of_another_organization_open_nothing(
    theirs: Theirs, ours: Rows, owner: Actor, stranger: Actor, other_organization: Organization
) -> None:
    for route in list_routes():
        if route.model is not Organization:
            make_many(route.model, other_organization, 2)
        if taken := stranger.client.get(route.path(), {"limit": 1}).json()["next"]:
            query = taken.partition("?")[2]
            theirs.assert_unseen(owner.client.get(f"{route.path()}?{query}"), route)
            theirs.assert_unseen(owner.client.get(f"{route.path()}?{query}&count=exact"), route)


def referred_to(each: Any, route: Route) -> set[type[models.Model]]:
    """Return the models that a filter by id may refer to: the one that its column leads to, or all."""
    try:
        field = route.model._meta.get_field((each.field_name or "").split("__")[0].removesuffix("_id"))
    except FieldDoesNotExist:
        return set(our_models())
    return {field.related_model} if field.related_model in our_models() else set(our_models())  # type: ignore[arg-type]


def pairs_to_filter_by(each: Any, route: Route, theirs: Theirs) -> Iterator[tuple[str, str]]:
    """Yield pairs of a value that only the other organization's rows have, and one that nothing has."""
    if isinstance(each, django_filters.UUIDFilter | django_filters.ModelChoiceFilter):
        yield from ((str(theirs.rows[model].pk), str(uuid.uuid4())) for model in referred_to(each, route))
        return
    row = theirs.rows[route.model]
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, str) and MARKER in value.lower():
            yield value, re.sub(MARKER, GONE, value, flags=re.IGNORECASE)
    yield json.dumps({MARKER: 1}), json.dumps({GONE: 1})


@pytest.mark.parametrize("route", list_routes(), ids=str)
def test_a_filter_by_what_is_theirs_answers_as_by_what_is_nowhere(
    route: Route, theirs: Theirs, ours: Rows, owner: Actor
) -> None:
    filterset = getattr(route.viewset, "filterset_class", None)
    for name, each in (filterset.base_filters if filterset else {}).items():
        for foreign, nowhere in pairs_to_filter_by(each, route, theirs):
            answers = [
                neutral(owner.by_key.get(route.path(), {name: value, "count": "exact"}), foreign, nowhere)
                for value in (foreign, nowhere)
            ]
            assert answers[0] == answers[1], (name, foreign)


@pytest.mark.parametrize("bulk", [1, 20])
def test_an_estimate_gives_no_hint_of_how_much_is_theirs(bulk: int, owner: Actor, stranger: Actor) -> None:
    """The planner knows all rows; what it estimates of theirs must not come out."""
    fields = {"event_type": "order.pay", "resource_type": "order", "request_id": "theirs"}
    AuditEvent.objects.bulk_create(
        AuditEvent(organization=stranger.organization, user=stranger.user, **fields) for _ in range(100 * bulk)
    )
    AuditEvent.objects.bulk_create(
        AuditEvent(organization=owner.organization, event_type="order.ship", resource_type="order")
        for _ in range(100 * bulk)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE core_auditevent")
    for name, value in {**fields, "user": str(stranger.user.pk)}.items():
        if name != "resource_type":
            query = {name: value, "count": "estimate"}
            assert owner.by_key.get("/api/v1/audit-events/", query).json()["count"] == 0, name


# --- One record, and references --------------------------------------------------------------------


def test_records_of_theirs_are_answered_like_none(
    theirs: Theirs, clients: dict[str, ApiClient], organization: Organization
) -> None:
    for row in all_rows():
        if not row.route.is_detail:
            continue
        foreign, nothing = theirs.rows[row.route.model].pk, uuid.uuid4()
        body = body_of(row, organization)
        with writes_nothing():
            for name, client in clients.items():
                answer = client.send(row.method, row.route.path(foreign), body)
                other = client.send(row.method, row.route.path(nothing), body)
                assert neutral(answer, foreign, nothing) == neutral(other, foreign, nothing), (row, name)
                assert answer.status_code in ({404} if name in ("owner", "key") else {403, 404}), (row, name)


def references(row: Row, organization: Organization) -> dict[str, str]:
    """Return a reference to a record of ours for each field of the request's body that takes one."""
    view: Any = row.route.view
    viewset = view.cls(**view.initkwargs)
    viewset.action = dict(row.route.actions)[row.method.lower()]
    if viewset.action not in ("create", "partial_update"):
        return {}
    names = [
        name
        for name, field in viewset.get_serializer_class()().fields.items()
        if not field.read_only and ("RelatedField" in type(field).__name__ or type(field).__name__ == "UUIDField")
    ]
    targets = {name: row.route.model._meta.get_field(name).related_model for name in names if name != "id"}
    return {name: str(make(target, organization).pk) for name, target in targets.items() if isinstance(target, type)}


def with_more(body: Any, more: dict[str, Any]) -> Any:
    """Return a body with more fields: of each record, where it is an array of some."""
    return [each | more for each in body] if isinstance(body, list) else (body or {}) | more


def test_references_to_theirs_are_answered_like_those_to_nothing(newcomer: Actor, theirs: Theirs) -> None:
    owner, organization, tried = newcomer, newcomer.organization, 0
    for row in BODIED:
        with transaction.atomic():
            target = target_of(row, organization)
            path = row.route.path(target.pk if target else None)
            body = json.dumps(with_more(body_of(row, organization), references(row, organization)))
            for identifier in sorted(set(UUID.findall(body))):
                referred_to = [model for model in our_models() if model._default_manager.filter(pk=identifier).exists()]
                with writes_nothing():
                    for foreign in [theirs.rows[model] for model in referred_to] or theirs.rows.values():
                        nothing = uuid.uuid4()
                        bodies = [json.loads(body.replace(identifier, str(pk))) for pk in (foreign.pk, nothing)]
                        answer, other = [owner.by_key.send(row.method, path, each) for each in bodies]
                        assert neutral(answer, foreign.pk, nothing) == neutral(other, foreign.pk, nothing), row
                        assert 400 <= answer.status_code < 500, row
                tried += 1
            transaction.set_rollback(True)
    assert tried, "No body refers to anything: this test proves nothing."


def test_a_body_never_chooses_the_organization(newcomer: Actor, other_organization: Organization) -> None:
    owner, organization = newcomer, newcomer.organization

    counts = [
        rows_of(model, other_organization)
        .order_by()
        .values(of=models.Value(model.__name__))
        .values_list("of", models.Count("pk"))
        for model in our_models()
    ]

    def in_theirs() -> dict[str, int]:
        return dict(counts[0].union(*counts[1:], all=True))

    before = in_theirs()
    assert len(before) == len(counts)
    for row in BODIED:
        for name in ("organization", "organization_id"):
            with transaction.atomic():
                target = target_of(row, organization)
                body = with_more(body_of(row, organization), {name: str(other_organization.pk)})
                owner.by_key.send(row.method, row.route.path(target.pk if target else None), body)
                assert in_theirs() == before, row
                transaction.set_rollback(True)


# --- The rest --------------------------------------------------------------------------------------


def test_addresses_about_no_record_hold_nothing_of_anybody(theirs: Theirs, ours: Rows, owner: Actor) -> None:
    for route in api_routes():
        if "GET" in route.methods and not route.is_detail and not route.is_list:
            path = route.path().replace("<slug:code>", "not_found").replace("<path:rest>", "nowhere")
            theirs.assert_unseen(owner.client.get(path), route)


def test_a_session_acts_in_no_organization_that_its_user_is_no_member_of(owner: Actor, stranger: Actor) -> None:
    before = digests()
    answers = {
        slug: owner.client.get("/api/v1/users/", headers={"Muster-Organization": slug})
        for slug in ("acme", "globex", "nowhere")
    }
    assert answers["acme"].status_code == 200
    assert answers["globex"].status_code == 403
    assert neutral(answers["globex"], "globex") == neutral(answers["nowhere"], "nowhere")
    assert digests() == before
