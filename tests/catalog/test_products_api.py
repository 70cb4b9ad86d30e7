"""Products over HTTP."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from catalog.models import Order, Product
from core.models import AuditEvent, Organization
from tests.catalog.conftest import path_of
from tests.factories.catalog import ProductFactory
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db

PRODUCTS = "/api/v1/products/"
NEW = {"sku": "DESK-1", "name": "Standing desk", "price": "499.00", "currency": "EUR"}
Proof = Callable[[], AbstractContextManager[None]]


def names(answer: Any) -> list[str]:
    return [row["name"] for row in answer.json()["results"]]


def fields_of(answer: Any) -> dict[str, str]:
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


def test_a_member_makes_a_product(teammate: Actor) -> None:
    body = NEW | {"quantity_in_stock": 4, "tags": ["office"], "attributes": {"height": 120}, "status": "active"}
    answer = teammate.by_key.post(PRODUCTS, body)
    assert answer.status_code == 201
    made = answer.json()
    assert (
        made.items() >= (body | {"price": "499.0000", "slug": "standing-desk-desk-1", "quantity_reserved": 0}).items()
    )
    assert answer.headers["Location"].endswith(f"{PRODUCTS}{made['id']}/")
    assert teammate.by_key.get(f"{PRODUCTS}{made['id']}/").json() == made
    event = AuditEvent.objects.get(event_type="product.create")
    assert (event.user_id, event.organization_id) == (teammate.user.pk, teammate.organization.pk)


def test_a_name_without_latin_letters_has_a_slug_all_the_same(teammate: Actor) -> None:
    slug = teammate.by_key.post(PRODUCTS, NEW | {"name": "机", "sku": "***"}).json()["slug"]
    assert slug.startswith("product-")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"price": "-1"}, "price"),
        ({"price": "1.001"}, "price"),
        ({"price": "1", "compare_at_price": "0.5"}, "compare_at_price"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"sku": "a b"}, "sku"),
        ({"name": ""}, "name"),
        ({"status": "archived"}, "status"),
        ({"quantity_in_stock": -1}, "quantity_in_stock"),
        ({"attributes": []}, "attributes"),
        ({"images": [{}]}, "images"),
        ({"images": [{"url": "javascript:alert(1)"}]}, "images"),
        ({"sku": "LAMP"}, "sku"),
        ({"slug": "lamp"}, "slug"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_product_is_refused_by_field(
    change: dict[str, Any], field: str, teammate: Actor, lamp: Product, writes_nothing: Proof
) -> None:
    client = teammate.by_key
    with writes_nothing():
        answer = client.post(PRODUCTS, NEW | change)
    assert answer.status_code == 400
    assert list(fields_of(answer)) == [field]


def test_another_organizations_sku_is_free(teammate: Actor, foreign_lamp: Product) -> None:
    assert teammate.by_key.post(PRODUCTS, NEW | {"sku": foreign_lamp.sku}).status_code == 201


def test_a_product_is_changed_but_not_its_quantities_and_status(teammate: Actor, lamp: Product) -> None:
    change = {"name": "Lantern", "price": "13.00", "quantity_in_stock": 99, "quantity_reserved": 9, "status": "draft"}
    changed = teammate.by_key.patch(path_of(lamp), change).json()
    assert (changed["name"], changed["price"], changed["slug"]) == ("Lantern", "13.0000", "lamp")
    assert (changed["quantity_in_stock"], changed["quantity_reserved"], changed["status"]) == (10, 0, "active")


def test_a_price_is_held_against_what_stands(teammate: Actor, lamp: Product) -> None:
    client = teammate.by_key
    assert client.patch(path_of(lamp), {"compare_at_price": "15"}).status_code == 200
    assert fields_of(client.patch(path_of(lamp), {"price": "16"})) == {"compare_at_price": "min_value"}
    assert fields_of(client.patch(path_of(lamp), {"currency": "JPY"})) == {"price": "minor_unit"}


@pytest.mark.parametrize(("delta", "in_stock"), [(5, 15), (-10, 0)])
def test_stock_is_adjusted_with_a_reason(delta: int, in_stock: int, teammate: Actor, lamp: Product) -> None:
    answer = teammate.by_key.post(path_of(lamp, "adjust-stock"), {"delta": delta, "reason": "count"})
    assert (answer.status_code, answer.json()["quantity_in_stock"]) == (200, in_stock)
    event = AuditEvent.objects.about(lamp).first()
    assert event is not None
    assert event.details["reason"] == "count"
    assert event.changes() == [("quantity_in_stock", 10, in_stock)]


def test_no_more_is_taken_away_than_is_free(
    teammate: Actor, lamp: Product, order: Order, writes_nothing: Proof
) -> None:
    client = teammate.by_key
    with writes_nothing():
        answer = client.post(path_of(lamp, "adjust-stock"), {"delta": -9, "reason": "theft"})
    assert answer.status_code == 409
    assert answer.json()["type"] == "/api/problems/insufficient_stock/"
    assert "10 of “LAMP” are in stock, 2 reserved" in answer.json()["detail"]
    assert client.post(path_of(lamp, "adjust-stock"), {"delta": -8, "reason": "theft"}).status_code == 200


@pytest.mark.parametrize("body", [{}, {"delta": 1}, {"delta": "x", "reason": "y"}, {"delta": 2**31, "reason": "y"}])
def test_an_adjustment_says_how_many_and_why(body: dict[str, Any], teammate: Actor, lamp: Product) -> None:
    assert teammate.by_key.post(path_of(lamp, "adjust-stock"), body).status_code == 400


def test_stock_beyond_what_an_integer_holds_is_refused(teammate: Actor, lamp: Product) -> None:
    answer = teammate.by_key.post(path_of(lamp, "adjust-stock"), {"delta": 2**31 - 1, "reason": "y"})
    assert answer.status_code == 400


def test_a_product_goes_on_and_off_offer(teammate: Actor, lamp: Product) -> None:
    client = teammate.by_key
    assert client.post(path_of(lamp, "activate")).status_code == 409
    assert client.post(path_of(lamp, "archive")).json()["status"] == "archived"
    answer = client.post(path_of(lamp, "archive"))
    assert answer.status_code == 409
    assert "it is 'archived'" in answer.json()["detail"]
    assert client.post(path_of(lamp, "activate")).json()["status"] == "active"
    assert AuditEvent.objects.filter(event_type="product.archive").count() == 1


def test_a_product_that_was_ordered_is_not_deleted(
    teammate: Actor, lamp: Product, order: Order, chair: Product
) -> None:
    assert teammate.by_key.delete(path_of(lamp)).status_code == 409
    assert teammate.by_key.delete(path_of(chair)).status_code == 204
    assert list(Product.objects.all()) == [lamp]


@pytest.fixture
def shelf(organization: Organization, foreign_lamp: Product) -> None:
    """Some products, and one of the other organization."""
    for number, (name, fields) in enumerate(
        {
            "Red lamp": {"tags": ["light", "red"], "attributes": {"color": "red", "watts": 40}, "price": 10},
            "Blue lamp": {"tags": ["light"], "attributes": {"color": "blue"}, "price": 20, "category": "lights"},
            "Green chair": {"attributes": {"color": "red"}, "price": 30, "quantity_in_stock": 0},
            "Old 100% cotton": {"price": 40, "status": "archived", "low_stock_threshold": 20},
        }.items()
    ):
        ProductFactory(organization=organization, name=name, sku=f"S-{number}", **fields)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("search=lamp", ["Blue lamp", "Red lamp"]),
        ("search=LAMP red", ["Red lamp"]),
        ("search=s-2", ["Green chair"]),
        ("search=100%25", ["Old 100% cotton"]),
        ("search=_amp", []),
        ("tags=light", ["Blue lamp", "Red lamp"]),
        ("tags=light,red", ["Red lamp"]),
        ('attributes={"color":"red"}', ["Green chair", "Red lamp"]),
        ('attributes={"color":"red","watts":40}', ["Red lamp"]),
        ("status=archived", ["Old 100% cotton"]),
        ("status=archived,draft", ["Old 100% cotton"]),
        ("category=lights", ["Blue lamp"]),
        ("sku=S-0,S-1", ["Blue lamp", "Red lamp"]),
        ("price_min=20&price_max=30", ["Blue lamp", "Green chair"]),
        ("in_stock=false", ["Green chair"]),
        ("low_stock=true", ["Green chair", "Old 100% cotton"]),
        ("low_stock=false&in_stock=true", ["Blue lamp", "Red lamp"]),
        ("currency=USD", []),
    ],
)
@pytest.mark.usefixtures("shelf")
def test_products_are_found(query: str, expected: list[str], viewer: Actor) -> None:
    answer = viewer.by_key.get(f"{PRODUCTS}?{query}&ordering=name")
    assert answer.status_code == 200, answer.json()
    assert names(answer) == expected


@pytest.mark.parametrize("ordering", ["name", "-name", "price", "-price", "sku", "-created_at"])
@pytest.mark.usefixtures("shelf")
def test_products_are_ordered(ordering: str, viewer: Actor) -> None:
    rows = viewer.by_key.get(f"{PRODUCTS}?ordering={ordering}").json()["results"]
    field = ordering.lstrip("-")
    keys = [float(row[field]) if field == "price" else row[field] for row in rows]
    assert len(keys) == 4
    assert keys == sorted(keys, reverse=ordering.startswith("-"))


@pytest.mark.parametrize("query", ["attributes=[]", "attributes=x", 'attributes={"a":"\\u0000"}', "price_min=x", "x=1"])
def test_a_wrong_filter_is_refused(query: str, viewer: Actor) -> None:
    assert viewer.by_key.get(f"{PRODUCTS}?{query}").status_code == 400


@pytest.mark.usefixtures("shelf")
def test_a_customer_sees_what_is_on_offer(customer: Actor) -> None:
    assert names(customer.by_key.get(f"{PRODUCTS}?ordering=name")) == ["Blue lamp", "Green chair", "Red lamp"]
    archived = Product.objects.get(status="archived")
    assert customer.by_key.get(path_of(archived)).status_code == 404


@pytest.mark.parametrize("role", ["viewer", "customer"])
def test_only_members_write_products(
    role: str, request: pytest.FixtureRequest, lamp: Product, writes_nothing: Proof
) -> None:
    client = request.getfixturevalue(role).by_key
    with writes_nothing():
        answers = [
            client.post(PRODUCTS, NEW),
            client.patch(path_of(lamp), {"name": "x"}),
            client.delete(path_of(lamp)),
            client.post(path_of(lamp, "archive")),
            client.post(path_of(lamp, "activate")),
            client.post(path_of(lamp, "adjust-stock"), {"delta": 1, "reason": "x"}),
        ]
    assert {answer.status_code for answer in answers} == {403}


def test_a_stranger_reaches_no_product_of_ours(stranger: Actor, lamp: Product, writes_nothing: Proof) -> None:
    client = stranger.by_key
    with writes_nothing():
        answers = [
            client.get(path_of(lamp)),
            client.patch(path_of(lamp), {"name": "x"}),
            client.delete(path_of(lamp)),
            client.post(path_of(lamp, "archive")),
            client.post(path_of(lamp, "adjust-stock"), {"delta": 1, "reason": "x"}),
        ]
    assert {answer.status_code for answer in answers} == {404}
    assert names(client.get(PRODUCTS)) == []
