"""Orders over HTTP: moved along, and refused."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from catalog.models import Order, Product
from catalog.services import orders as services
from core.models import AuditEvent
from tests.catalog.conftest import path_of, place
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


ACTIONS = ["pay", "process", "ship", "deliver", "cancel", "refund"]


# --- Moving ----------------------------------------------------------------------------------------


def test_an_order_goes_its_way(teammate: Actor, order: Order, lamp: Product) -> None:
    client = teammate.by_key
    steps = [
        ("pay", "paid", "paid_at", (10, 2)),
        ("process", "processing", "processing_at", (10, 2)),
        ("ship", "shipped", "shipped_at", (8, 0)),
        ("deliver", "delivered", "delivered_at", (8, 0)),
    ]
    for action, status, stamp, stock in steps:
        answer = client.post(path_of(order, action))
        assert (answer.status_code, answer.json()["status"]) == (200, status)
        assert answer.json()[stamp] is not None
        assert stock_of(lamp) == stock
    events = AuditEvent.objects.about(order).values_list("event_type", flat=True)
    assert list(events) == ["order.deliver", "order.ship", "order.process", "order.pay", "order.create"]
    assert {event.user_id for event in AuditEvent.objects.about(order)[:4]} == {teammate.user.pk}


WAYS: dict[str, list[str]] = {
    "pending": [],
    "paid": ["pay"],
    "processing": ["pay", "process"],
    "shipped": ["pay", "process", "ship"],
    "delivered": ["pay", "process", "ship", "deliver"],
    "cancelled": ["cancel"],
    "refunded": ["pay", "refund"],
}
SERVICES: dict[str, Callable[..., Order]] = {
    "pay": services.pay_order,
    "process": services.start_processing,
    "ship": services.ship_order,
    "deliver": services.deliver_order,
    "cancel": services.cancel_order,
    "refund": services.refund_order,
}
ALLOWED = {
    "pay": {"pending"},
    "process": {"paid"},
    "ship": {"processing"},
    "deliver": {"shipped"},
    "cancel": {"pending", "paid", "processing"},
    "refund": {"paid", "processing", "shipped", "delivered"},
}


@pytest.mark.parametrize(
    ("status", "action"),
    [(status, action) for status in WAYS for action in ACTIONS if status not in ALLOWED[action]],
)
def test_a_move_that_the_status_does_not_allow_is_refused(
    status: str, action: str, teammate: Actor, order: Order, writes_nothing: Proof
) -> None:
    for step in WAYS[status]:
        SERVICES[step](order=order)
    client = teammate.by_key
    with writes_nothing():
        answer = client.post(path_of(order, action))
    assert answer.status_code == 409
    assert status in answer.json()["detail"]


@pytest.mark.parametrize("status", sorted(ALLOWED["cancel"]))
def test_a_cancelled_order_gives_its_stock_back(status: str, teammate: Actor, order: Order, lamp: Product) -> None:
    for step in WAYS[status]:
        SERVICES[step](order=order)
    answer = teammate.by_key.post(path_of(order, "cancel"), {"reason": "changed their mind"})
    assert answer.json()["status"] == "cancelled"
    assert stock_of(lamp) == (10, 0)
    event = AuditEvent.objects.get(event_type="order.cancel")
    assert event.details["reason"] == "changed their mind"


@pytest.mark.parametrize(
    ("status", "restock", "stock"),
    [
        ("paid", False, (10, 0)),
        ("paid", True, (10, 0)),
        ("processing", False, (10, 0)),
        ("shipped", False, (8, 0)),
        ("shipped", True, (10, 0)),
        ("delivered", False, (8, 0)),
        ("delivered", True, (10, 0)),
    ],
)
def test_a_refund_frees_or_restocks(
    status: str, restock: bool, stock: tuple[int, int], teammate: Actor, order: Order, lamp: Product
) -> None:
    for step in WAYS[status]:
        SERVICES[step](order=order)
    answer = teammate.by_key.post(path_of(order, "refund"), {"restock": restock})
    assert (answer.status_code, answer.json()["status"]) == (200, "refunded")
    assert answer.json()["refunded_at"] is not None
    assert stock_of(lamp) == stock


def test_a_cancelled_order_is_refunded_if_it_was_paid(teammate: Actor, order: Order, lamp: Product) -> None:
    client = teammate.by_key
    client.post(path_of(order, "pay"))
    client.post(path_of(order, "cancel"))
    assert client.post(path_of(order, "refund"), {"restock": True}).json()["status"] == "refunded"
    assert stock_of(lamp) == (10, 0)
    unpaid = place(teammate, (lamp, 1))
    client.post(path_of(unpaid, "cancel"))
    answer = client.post(path_of(unpaid, "refund"))
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/not_paid/")
