"""Orders over HTTP: placed, amended, read; and by whom."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Order, Product
from catalog.services import orders as services
from core.ids import uuid7
from core.models import AuditEvent, Organization
from tests.catalog.conftest import path_of, place
from tests.factories.catalog import OrderFactory, ProductFactory
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db

ORDERS, LINES = "/api/v1/orders/", "/api/v1/order-lines/"
Proof = Callable[[], AbstractContextManager[None]]


def line(product: Product, quantity: Any = 1) -> dict[str, Any]:
    return {"product": str(product.pk), "quantity": quantity}


def stock_of(product: Product) -> tuple[int, int]:
    """Return how many are in stock, and how many of them reserved."""
    product.refresh_from_db()
    return product.quantity_in_stock, product.quantity_reserved


# --- Placing ---------------------------------------------------------------------------------------


def test_a_member_places_an_order_for_a_customer(
    teammate: Actor, customer: Actor, lamp: Product, chair: Product
) -> None:
    body = {
        "customer": str(customer.user.pk),
        "lines": [line(lamp, 2), line(chair)],
        "discount": "5",
        "tax": "19.95",
        "shipping": "4.90",
        "shipping_address": {"city": "Bern"},
        "notes": "Ring twice.",
    }
    answer = teammate.by_key.post(ORDERS, body)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert made["customer"] == {"id": str(customer.user.pk), "email": customer.user.email, "name": "Customer"}
    amounts = {name: Decimal(made[name]) for name in ("subtotal", "discount", "tax", "shipping", "total")}
    assert list(amounts.values()) == [Decimal(105), 5, Decimal("19.95"), Decimal("4.90"), Decimal("124.85")]
    assert (made["status"], made["currency"], made["item_count"]) == ("pending", "EUR", 3)
    sold = [(row["sku"], row["name"], Decimal(row["unit_price"]), row["quantity"]) for row in made["lines"]]
    assert sold == [("LAMP", "Lamp", Decimal("12.50"), 2), ("CHAIR", "Chair", Decimal(80), 1)]
    assert [Decimal(row["line_total"]) for row in made["lines"]] == [25, 80]
    assert made["placed_at"]
    assert made["shipping_address"] == {"city": "Bern"}
    assert (stock_of(lamp), stock_of(chair)) == ((10, 2), (10, 1))
    connection.check_constraints()
    assert AuditEvent.objects.filter(event_type="order.create", user=teammate.user).count() == 1


def test_lines_keep_what_was_sold(teammate: Actor, order: Order, lamp: Product) -> None:
    teammate.by_key.patch(path_of(lamp), {"name": "Lantern", "price": "99", "sku": "LANTERN"})
    [row] = teammate.by_key.get(path_of(order)).json()["lines"]
    assert (row["sku"], row["name"], row["unit_price"]) == ("LAMP", "Lamp", "12.5000")


def test_who_names_no_customer_orders_for_themselves(teammate: Actor, lamp: Product) -> None:
    made = teammate.by_key.post(ORDERS, {"lines": [line(lamp)]}).json()
    assert made["customer"]["id"] == str(teammate.user.pk)


def test_out_of_stock_names_each_product_and_what_is_left(
    customer: Actor, order: Order, lamp: Product, chair: Product, writes_nothing: Proof
) -> None:
    client = customer.by_key
    with writes_nothing():
        answer = client.post(ORDERS, {"lines": [line(lamp, 9), line(chair, 11)]})
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"] == "/api/problems/out_of_stock/"
    assert "only 8 of “LAMP” available, 9 wanted" in problem["detail"]
    assert "only 10 of “CHAIR” available, 11 wanted" in problem["detail"]
    assert client.get(problem["type"]).json()["description"].startswith("Too little")


@pytest.mark.parametrize(
    ("lines", "field", "code"),
    [
        ([], "lines", "empty"),
        ([("lamp", 0)], "lines.0.quantity", "min_value"),
        ([("lamp", 10**7)], "lines.0.quantity", "max_value"),
        ([("chair", 1), ("foreign_lamp", 1)], "lines.1.product", "does_not_exist"),
        ([("lamp", 1), ("chair", 1), ("lamp", 2)], "lines.0.product", "twice"),
    ],
)
@pytest.mark.usefixtures("chair", "foreign_lamp", "lamp")
def test_wrong_lines_are_refused_by_position(
    lines: list[tuple[str, int]],
    field: str,
    code: str,
    request: pytest.FixtureRequest,
    teammate: Actor,
    writes_nothing: Proof,
) -> None:
    client = teammate.by_key
    body = {"lines": [line(request.getfixturevalue(name), quantity) for name, quantity in lines]}
    with writes_nothing():
        answer = client.post(ORDERS, body)
    assert answer.status_code == 400
    assert (field, code) in {(error["field"], error["code"]) for error in answer.json()["errors"]}


def test_an_unknown_product_and_a_foreign_one_look_the_same(teammate: Actor, foreign_lamp: Product) -> None:
    answers = [
        teammate.by_key.post(ORDERS, {"lines": [{"product": str(key), "quantity": 1}]}).json()
        for key in (foreign_lamp.pk, uuid7())
    ]
    for answer in answers:
        del answer["request_id"]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("status", ["draft", "archived"])
def test_what_is_not_on_offer_is_not_sold(status: str, teammate: Actor, writes_nothing: Proof) -> None:
    product = ProductFactory(organization=teammate.organization, status=status, sku="OFF")
    client = teammate.by_key
    with writes_nothing():
        answer = client.post(ORDERS, {"lines": [line(product)]})
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/not_for_sale/")
    assert "“OFF”" in answer.json()["detail"]


def test_one_order_has_one_currency(teammate: Actor, lamp: Product, writes_nothing: Proof) -> None:
    dollars = ProductFactory(organization=teammate.organization, currency="USD")
    client = teammate.by_key
    with writes_nothing():
        answer = client.post(ORDERS, {"lines": [line(lamp), line(dollars)]})
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/mixed_currencies/")
    assert stock_of(lamp) == (10, 0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"discount": "12.51"}, "discount"),
        ({"discount": "-1"}, "discount"),
        ({"tax": "0.001"}, "tax"),
        ({"shipping": "x"}, "shipping"),
        ({"billing_address": []}, "billing_address"),
        ({"customer": "stranger"}, "customer"),
    ],
)
def test_wrong_amounts_and_people_are_refused(
    change: dict[str, Any], field: str, teammate: Actor, stranger: Actor, lamp: Product, writes_nothing: Proof
) -> None:
    client = teammate.by_key
    change = {"customer": str(stranger.user.pk)} if "customer" in change else change
    with writes_nothing():
        answer = client.post(ORDERS, {"lines": [line(lamp)]} | change)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert stock_of(lamp) == (10, 0)


# --- Customers -------------------------------------------------------------------------------------


def test_a_customer_orders_for_themselves_only(
    customer: Actor, teammate: Actor, lamp: Product, writes_nothing: Proof
) -> None:
    client = customer.by_key
    made = client.post(ORDERS, {"lines": [line(lamp)], "customer": str(customer.user.pk)})
    assert made.status_code == 201
    assert made.json()["customer"]["id"] == str(customer.user.pk)
    with writes_nothing():
        answer = client.post(ORDERS, {"lines": [line(lamp)], "customer": str(teammate.user.pk)})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "customer"


@pytest.mark.parametrize("name", ["discount", "tax", "shipping"])
def test_a_customer_sets_no_amounts(name: str, customer: Actor, lamp: Product, writes_nothing: Proof) -> None:
    client = customer.by_key
    with writes_nothing():
        answer = client.post(ORDERS, {"lines": [line(lamp)], name: "1"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == name


def test_a_customer_sees_their_own_orders_only(customer: Actor, teammate: Actor, order: Order, lamp: Product) -> None:
    other = place(teammate, (lamp, 1))
    client = customer.by_key
    assert [row["id"] for row in client.get(ORDERS).json()["results"]] == [str(order.pk)]
    assert [row["order"] for row in client.get(LINES).json()["results"]] == [str(order.pk)]
    assert client.get(path_of(other)).status_code == 404
    assert len(teammate.by_key.get(ORDERS).json()["results"]) == 2
    assert len(teammate.by_key.get(LINES).json()["results"]) == 2


ACTIONS = ["pay", "process", "ship", "deliver", "cancel", "refund"]


@pytest.mark.parametrize("role", ["viewer", "customer"])
def test_only_members_move_and_change_orders(
    role: str, request: pytest.FixtureRequest, order: Order, writes_nothing: Proof
) -> None:
    client = request.getfixturevalue(role).by_key
    with writes_nothing():
        answers = [client.post(path_of(order, action)) for action in ACTIONS]
        answers.append(client.patch(path_of(order), {"notes": "x"}))
    assert {answer.status_code for answer in answers} == {403}


def test_a_viewer_places_no_order(viewer: Actor, lamp: Product, writes_nothing: Proof) -> None:
    client = viewer.by_key
    with writes_nothing():
        answer = client.post(ORDERS, {"lines": [line(lamp)]})
    assert (answer.status_code, answer.json()["type"]) == (403, "/api/problems/missing_role/")


def test_a_stranger_reaches_no_order_of_ours(stranger: Actor, order: Order, writes_nothing: Proof) -> None:
    client = stranger.by_key
    with writes_nothing():
        answers = [client.post(path_of(order, action)) for action in ACTIONS]
        answers += [client.get(path_of(order)), client.patch(path_of(order), {"notes": "x"})]
    assert {answer.status_code for answer in answers} == {404}
    for query in ("", f"?customer={order.customer_id}", f"?number={order.number}", "?count=exact"):
        assert client.get(f"{ORDERS}{query}").json()["results"] == []


def test_orders_are_not_deleted(owner: Actor, order: Order) -> None:
    assert owner.by_key.delete(path_of(order)).status_code == 405


# --- Amending --------------------------------------------------------------------------------------


def test_amounts_change_while_pending_and_the_total_follows(teammate: Actor, order: Order) -> None:
    answer = teammate.by_key.patch(path_of(order), {"discount": "5", "shipping": "4.90", "notes": "x"})
    assert answer.status_code == 200
    assert (answer.json()["total"], answer.json()["notes"]) == ("24.9000", "x")
    connection.check_constraints()


def test_amounts_are_settled_once_paid_and_addresses_are_not(
    teammate: Actor, order: Order, writes_nothing: Proof
) -> None:
    services.pay_order(order=order)
    client = teammate.by_key
    with writes_nothing():
        answer = client.patch(path_of(order), {"discount": "5"})
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/order_settled/")
    answer = client.patch(path_of(order), {"shipping_address": {"city": "Basel"}, "discount": "0"})
    assert answer.json()["shipping_address"] == {"city": "Basel"}


@pytest.mark.parametrize("change", [{"discount": "25.01"}, {"tax": "-1"}, {"tax": "0.001"}, {"status": 1, "x": 2}])
def test_wrong_amendments_are_refused(
    change: dict[str, Any], teammate: Actor, order: Order, writes_nothing: Proof
) -> None:
    client = teammate.by_key
    with writes_nothing():
        assert client.patch(path_of(order), change).status_code == 400


# --- Reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 50])
def test_a_page_with_lines_and_customers_takes_at_most_four_queries(
    size: int, teammate: Actor, organization: Organization
) -> None:
    products = ProductFactory.create_batch(3, organization=organization)
    for _ in range(size):
        OrderFactory(organization=organization, lines=[{"product": product} for product in products])
    client = teammate.by_key
    client.get(ORDERS)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        rows = client.get(f"{ORDERS}?limit=50").json()["results"]
    assert [len(row["lines"]) for row in rows] == [3] * size
    assert all(row["customer"]["email"] for row in rows)
    assert len(queries) <= 4, [query["sql"] for query in queries]


@pytest.mark.parametrize(
    "query",
    [
        "status=pending",
        "status=paid,pending",
        "number={order.number}",
        "customer={order.customer_id}",
        "product={product}",
        "currency=EUR",
        "total_min=25&total_max=25",
        "placed_at_after=2020-01-01T00:00:00Z",
    ],
)
def test_orders_are_found(query: str, teammate: Actor, order: Order, lamp: Product, chair: Product) -> None:
    other = place(teammate, (chair, 1))
    services.cancel_order(order=other)
    client = teammate.by_key
    found = client.get(f"{ORDERS}?{query.format(order=order, product=lamp.pk)}&limit=1").json()["results"]
    if "placed" in query or "EUR" in query:
        assert found[0]["id"] == str(other.pk)
    else:
        assert [row["id"] for row in found] == [str(order.pk)]
    assert client.get(f"{ORDERS}?product={uuid7()}").json()["results"] == []


def test_lines_are_found_by_order_and_product(viewer: Actor, order: Order, lamp: Product) -> None:
    for query in (f"order={order.pk}", f"product={lamp.pk}", "sku=LAMP"):
        [row] = viewer.by_key.get(f"{LINES}?{query}").json()["results"]
        assert (row["order"], row["line_total"]) == (str(order.pk), "25.0000")
    assert viewer.by_key.get(f"{LINES}?order={uuid7()}").json()["results"] == []
