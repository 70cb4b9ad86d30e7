"""Many records with one request: as one by one, but all or none, and each refusal at its position."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, AgentExecution, Feedback, Project, Squad, Task
from catalog.models import Product
from core.api.bulk import BULK_LIMIT
from core.api.viewsets import CreateMixin
from core.models import AuditEvent, Membership, Organization, Role
from tests.factories import make, make_many
from tests.factories.agents import FeedbackFactory, TemplateFactory
from tests.factories.catalog import ProductFactory
from tests.factories.core import OrganizationFactory
from tests.kit.cast import Actor, make_actor
from tests.kit.client import ApiClient
from tests.kit.races import race
from tests.kit.sql import run
from tests.permissions import Row, all_rows, body_of

TASKS, PRODUCTS, AGENTS = "/api/v1/tasks/", "/api/v1/products/", "/api/v1/agents/"
EXECUTIONS = "/api/v1/agent-executions/"
NEW_PRODUCT = {"name": "New", "price": "1.00", "currency": "EUR"}
MOST_QUERIES = 30
SECRETS = {"/api/v1/api-keys/", "/api/v1/webhooks/"}  # what is shown once is made one by one
# What differs from record to record: ids, times, and the numbers of orders.
OWN = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)|\b[0-9A-Z]{4}-[0-9A-Z]{4}\b")

db = pytest.mark.django_db
really = pytest.mark.django_db(transaction=True)


def rows(method: str) -> list[Row]:
    """Return the rows of the permission tables for lists that take arrays by this method."""
    found = [row for row in all_rows() if row.method == method and row.route.viewset and not row.route.is_detail]
    if method != "POST":
        return found
    return [
        row
        for row in found
        if ("post", "create") in row.route.actions
        and issubclass(row.route.viewset, CreateMixin)  # type: ignore[arg-type]
        and row.address not in SECRETS
    ]


def errors(answer: Any) -> list[tuple[str | None, str]]:
    assert answer["Content-Type"] == "application/problem+json"
    return [(each["field"], each["code"]) for each in answer.json()["errors"]]


def masked(value: Any) -> Any:
    """Return a JSON value without what differs from record to record."""
    if isinstance(value, dict):
        return {name: masked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return OWN.sub("…", value) if isinstance(value, str) else value


def told(since: int) -> Counter[tuple[str, Any]]:
    """Return the audit events written since there were so many: what happened, by whom."""
    events = AuditEvent.objects.order_by("timestamp", "id").values_list("event_type", "user_id")
    return Counter(events[since:])


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


# --- The same as one by one --------------------------------------------------------------------------


@db
@pytest.mark.parametrize("row", rows("POST"), ids=str)
def test_an_array_of_one_makes_what_an_object_makes(row: Row, owner: Actor) -> None:
    body = body_of(row, owner.organization)
    got = []
    for sent in (body, [body]):
        with undone():
            before = AuditEvent.objects.count()
            answer = owner.by_key.post(row.address, sent)
            assert answer.status_code == 201, answer.content
            got.append((masked(answer.json()), told(before)))
    assert got[1] == ([got[0][0]], got[0][1])


@db
@pytest.mark.parametrize("row", rows("PATCH"), ids=str)
def test_an_array_of_one_changes_what_an_object_changes(row: Row, owner: Actor) -> None:
    if row.statuses["owner"] != 200:
        pytest.skip("Not the owner's to change; the permission tables tell so.")
    [item] = body_of(row, owner.organization)
    changes = {name: value for name, value in item.items() if name != "id"}
    got = []
    for path, sent in ((f"{row.address}{item['id']}/", changes), (row.address, [item])):
        with undone():
            before = AuditEvent.objects.count()
            answer = owner.by_key.patch(path, sent)
            assert answer.status_code == 200, answer.content
            got.append((masked(answer.json()), told(before)))
    assert got[1] == ([got[0][0]], got[0][1])
    assert sum(got[0][1].values()) or issubclass(row.route.model, AgentExecution) or got[0][0]


@db
@pytest.mark.parametrize("row", rows("DELETE"), ids=str)
def test_an_array_of_one_deletes_what_an_address_deletes(row: Row, owner: Actor) -> None:
    [item] = body_of(row, owner.organization)
    got = []
    for path, sent in ((f"{row.address}{item['id']}/", None), (row.address, [item])):
        with undone():
            before = AuditEvent.objects.count()
            answer = owner.by_key.send("DELETE", path, sent)
            assert (answer.status_code, answer.content) == (204, b"")
            assert owner.by_key.get(f"{row.address}{item['id']}/").status_code == 404
            got.append(told(before))
    assert got[1] == got[0]


@db
@pytest.mark.parametrize(("model", "path"), [(Task, TASKS), (Product, PRODUCTS), (AgentExecution, EXECUTIONS)])
def test_the_answer_is_in_the_arrays_order(model: Any, path: str, owner: Actor) -> None:
    first, second, third = (str(row.pk) for row in make_many(model, owner.organization, 3))
    answer = owner.by_key.patch(path, [{"id": each} for each in (second, third, first)])
    assert [each["id"] for each in answer.json()] == [second, third, first]


# --- Writing -----------------------------------------------------------------------------------------


@db
def test_records_are_made_in_the_arrays_order_and_stamped(owner: Actor) -> None:
    answer = owner.by_key.post(AGENTS, [{"name": f"a{number}"} for number in range(5)])
    assert answer.status_code == 201, answer.content
    assert [each["name"] for each in answer.json()] == [f"a{number}" for number in range(5)]
    agents = Agent.objects.all()
    assert {(agent.organization_id, agent.created_by_id) for agent in agents} == {
        (owner.organization.pk, owner.user.pk)
    }


@db
def test_each_record_gets_its_own_changes(owner: Actor) -> None:
    first, second, third = make_many(Task, owner.organization, 3)
    sent = [
        {"id": str(third.pk), "name": "Third", "config": {"a": [1]}},
        {"id": str(first.pk), "due_at": "2030-01-01T00:00:00Z"},
        {"id": str(second.pk), "config": {"b": None}, "name": "Second"},
    ]
    assert owner.by_key.patch(TASKS, sent).status_code == 200
    for task in (first, second, third):
        task.refresh_from_db()
    assert (third.name, third.config) == ("Third", {"a": [1]})
    assert first.due_at is not None
    assert (second.name, second.config) == ("Second", {"b": None})
    assert {task.row_version for task in (first, second, third)} == {2}


@db
def test_null_becomes_null_and_no_json(owner: Actor) -> None:
    executions = [make(AgentExecution, owner.organization, result={"a": 1}) for _ in range(2)]
    answer = owner.by_key.patch(EXECUTIONS, [{"id": str(each.pk), "result": None} for each in executions])
    assert answer.status_code == 200, answer.content
    assert run("SELECT result IS NULL FROM agents_agentexecution") == [(True,)] * 2


@db
def test_deleted_softly_means_marked(owner: Actor) -> None:
    agents = make_many(Agent, owner.organization, 3)
    assert owner.by_key.delete(AGENTS, [{"id": str(each.pk)} for each in agents[:2]]).status_code == 204
    assert Agent.objects.count() == 3
    assert set(Agent.objects.alive()) == {agents[2]}


@db
@pytest.mark.parametrize(
    ("model", "path", "changes"), [(Task, TASKS, {"name": "x"}), (Project, "/api/v1/projects/", {"description": "x"})]
)
def test_many_take_no_more_queries_than_few(model: Any, path: str, changes: Any, owner: Actor) -> None:
    owner.by_key.get(path)
    counts: dict[str, set[int]] = {"post": set(), "patch": set(), "delete": set()}
    for number in (2, 300):
        new = [{"name": f"n {number} {each}"} for each in range(number)]
        ids = [str(row.pk) for row in make_many(model, owner.organization, number)]
        for method, sent in (
            ("post", new),
            ("patch", [{"id": each} | changes for each in ids]),
            ("delete", [{"id": each} for each in ids]),
        ):
            with CaptureQueriesContext(connection) as queries:
                answer = getattr(owner.by_key, method)(path, sent)
            assert answer.status_code < 300, answer.content
            counts[method].add(len(queries))
    assert max(map(max, counts.values())) <= MOST_QUERIES, counts


@db
def test_references_are_looked_up_in_one_query(owner: Actor) -> None:
    squads = [make(Squad, owner.organization) for _ in range(3)]
    tasks = make_many(Task, owner.organization, 30)
    sent = [{"id": str(task.pk), "squad": str(squads[number % 3].pk)} for number, task in enumerate(tasks)]
    with CaptureQueriesContext(connection) as queries:
        assert owner.by_key.patch(TASKS, sent).status_code == 200
    assert len([query for query in queries if 'FROM "agents_squad"' in query["sql"]]) == 1


# --- All or nothing ----------------------------------------------------------------------------------


@db
def test_one_bad_item_and_nothing_is_changed(owner: Actor, writes_nothing: Any) -> None:
    tasks = make_many(Task, owner.organization, 5)
    sent: list[dict[str, Any]] = [{"id": str(task.pk), "name": "New"} for task in tasks]
    sent[1] |= {"nonsense": 1}
    sent[3] |= {"name": "", "squad": str(uuid4())}
    owner.by_key.get(TASKS)
    with writes_nothing():
        answer = owner.by_key.patch(TASKS, sent)
    assert answer.status_code == 400
    assert sorted(errors(answer)) == [("1.nonsense", "unknown"), ("3.name", "blank"), ("3.squad", "does_not_exist")]


@db
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, [(None, "not_a_list")]),
        ({}, [(None, "not_a_list")]),
        ("x", [(None, "not_a_list")]),
        ([], [(None, "empty")]),
        ([{"id": "x"}] * (BULK_LIMIT + 1), [(None, "max_length")]),
        (["x", None, []], [("0", "invalid"), ("1", "invalid"), ("2", "invalid")]),
        (
            [{}, {"id": None}, {"id": "x"}, {"id": 5}],
            [("0.id", "required")] + [(f"{n}.id", "invalid") for n in (1, 2, 3)],
        ),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_names_no_records_is_refused(
    method: str, sent: Any, expected: list[Any], owner: Actor, writes_nothing: Any
) -> None:
    make(Task, owner.organization)
    owner.by_key.get(TASKS)
    with writes_nothing():
        answer = owner.by_key.send(method, TASKS, sent)
    assert answer.status_code == 400
    assert errors(answer) == expected


@db
def test_a_deletion_without_a_body_is_refused(owner: Actor, writes_nothing: Any) -> None:
    make(Task, owner.organization)
    owner.by_key.get(TASKS)
    with writes_nothing():
        for extra in ({}, {"content_type": "application/json"}):
            assert owner.by_key.generic("DELETE", TASKS, "", **extra).status_code in (400, 415)


@db
def test_a_record_named_twice_is_refused(owner: Actor) -> None:
    task = make(Task, owner.organization)
    sent = [{"id": str(task.pk)}, {"id": str(task.pk).upper()}]
    for method in ("PATCH", "DELETE"):
        assert errors(owner.by_key.send(method, TASKS, sent)) == [("1.id", "repeated")]


@db
def test_a_deletion_takes_ids_alone(owner: Actor) -> None:
    task = make(Task, owner.organization)
    answer = owner.by_key.delete(TASKS, [{"id": str(task.pk), "name": "x"}])
    assert (answer.status_code, errors(answer)) == (400, [("0.name", "unknown")])


@db
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_another_organizations_records_dont_exist(
    method: str, owner: Actor, other_organization: Organization, writes_nothing: Any
) -> None:
    ours, theirs = make(Task, owner.organization), make(Task, other_organization)
    owner.by_key.get(TASKS)
    with writes_nothing():
        answer = owner.by_key.send(method, TASKS, [{"id": str(ours.pk)}, {"id": str(theirs.pk)}, {"id": str(uuid4())}])
    assert (answer.status_code, errors(answer)) == (404, [("1.id", "not_found"), ("2.id", "not_found")])
    assert answer.json()["type"] == "/api/problems/not_found/"


@db
def test_what_the_database_refuses_is_told_by_position(owner: Actor, writes_nothing: Any) -> None:
    agents = [make(Agent, owner.organization, name=f"a{number}") for number in range(3)]
    owner.by_key.get(AGENTS)
    with writes_nothing():
        made = owner.by_key.post(AGENTS, [{"name": "new"}, {"name": "a1"}])
        twice = owner.by_key.post(AGENTS, [{"name": "new"}, {"name": "newer"}, {"name": "new"}])
        changed = owner.by_key.patch(AGENTS, [{"id": str(agents[0].pk)}, {"id": str(agents[2].pk), "name": "a1"}])
    assert [errors(each) for each in (made, twice, changed)] == [
        [("1.name", "unique")],
        [("2.name", "unique")],
        [("1.name", "unique")],
    ]


@db
def test_what_a_service_refuses_is_told_by_position(owner: Actor, writes_nothing: Any) -> None:
    products = [ProductFactory(organization=owner.organization) for _ in range(3)]
    owner.by_key.post("/api/v1/orders/", {"lines": [{"product": str(products[1].pk), "quantity": 1}]})
    owner.by_key.get(PRODUCTS)
    with writes_nothing():
        deleted = owner.by_key.delete(PRODUCTS, [{"id": str(product.pk)} for product in products])
        made = owner.by_key.post(PRODUCTS, [NEW_PRODUCT | {"sku": "X"}, NEW_PRODUCT | {"sku": products[0].sku}])
    assert (deleted.status_code, errors(deleted)) == (409, [("1", "still_referred_to")])
    assert deleted.json()["type"] == "/api/problems/still_referred_to/"
    assert (made.status_code, errors(made)) == (400, [("1.sku", "unique")])


@db
def test_what_is_not_ones_own_is_told_by_position(teammate: Actor, owner: Actor, writes_nothing: Any) -> None:
    own = FeedbackFactory(organization=owner.organization, user=teammate.user)
    other = FeedbackFactory(organization=owner.organization, user=owner.user)
    shared = TemplateFactory(organization=None)
    for method, path, sent in (
        ("PATCH", "/api/v1/feedback/", [{"id": str(own.pk)}, {"id": str(other.pk)}]),
        ("DELETE", "/api/v1/feedback/", [{"id": str(own.pk)}, {"id": str(other.pk)}]),
        ("DELETE", "/api/v1/templates/", [{"id": str(shared.pk)}]),
    ):
        answer = teammate.by_key.send(method, path, sent)
        assert (answer.status_code, errors(answer)[0][0]) == (403, str(len(sent) - 1))
    assert Feedback.objects.count() == 2


@db
def test_the_last_owner_stays(owner: Actor, admin: Actor) -> None:
    sent = [{"id": str(each.membership.pk)} for each in (admin, owner)]
    answer = owner.by_key.delete("/api/v1/memberships/", sent)
    assert (answer.status_code, errors(answer)[0][0]) == (400, "1.role")
    assert Membership.objects.filter(organization=owner.organization).count() == 2
    assert [each for each, _ in errors(admin.by_key.delete("/api/v1/memberships/", sent))] == ["1"]


@db
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_if_match_is_of_one_record(method: str, owner: Actor) -> None:
    task = make(Task, owner.organization)
    answer = owner.by_key.generic(
        method, TASKS, f'[{{"id": "{task.pk}"}}]', "application/json", headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 412
    assert Task.objects.filter(pk=task.pk, row_version=1).exists()


@really
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_requests_that_name_records_in_another_order_dont_lock_each_other_out(method: str) -> None:
    actor = make_actor(OrganizationFactory(), Role.OWNER, "racer")
    ids = [str(task.pk) for task in make_many(Task, actor.organization, 60)]

    def send(order: list[str], name: str) -> Any:
        changes = {"name": name} if method == "PATCH" else {}
        client = ApiClient(key=actor.key.text)  # type: ignore[attr-defined]
        return client.send(method, TASKS, [{"id": each} | changes for each in order]).status_code

    outcomes = race(*[lambda order=order: send(order, "x" * (1 + len(order) % 7)) for order in (ids, ids[::-1]) * 3])
    assert [outcome.error for outcome in outcomes] == [None] * 6
    codes = Counter(outcome.value for outcome in outcomes)
    assert codes == ({200: 6} if method == "PATCH" else {204: 1, 404: 5})
