"""Many at once: the last items, opposite orders of products, keys sent twice. Each race stands beside its control."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import F

from catalog.models import Order, OrderLine, Product, Subscription, UsageRecord
from catalog.services import orders, subscriptions
from core.errors import ConflictError
from core.models import Organization, Role
from tests.catalog.conftest import place
from tests.factories.catalog import ProductFactory
from tests.kit.cast import Actor, make_actor
from tests.kit.races import errors, race, values
from tests.kit.sql import run
from tests.kit.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS, ITEMS = 100, 10


def customers(organization: Organization, count: int) -> list[Actor]:
    return [make_actor(organization, Role.CUSTOMER, f"customer{number}") for number in range(count)]


def order_over_http(actor: Actor, product: Product) -> Callable[[], Any]:
    client = actor.by_key
    body = {"lines": [{"product": str(product.pk), "quantity": 1}]}
    return lambda: client.post("/api/v1/orders/", body)


def test_a_hundred_clients_after_the_last_ten_items_buy_exactly_ten(organization: Organization, lamp: Product) -> None:
    outcomes = race(*[order_over_http(actor, lamp) for actor in customers(organization, CLIENTS)])
    assert errors(outcomes) == []
    answers = values(outcomes)
    assert Counter(answer.status_code for answer in answers) == {201: ITEMS, 409: CLIENTS - ITEMS}
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["type"] == "/api/problems/out_of_stock/"
            assert "only 0 of “LAMP” available, 1 wanted" in answer.json()["detail"]
    lamp.refresh_from_db()
    assert (lamp.quantity_in_stock, lamp.quantity_reserved) == (ITEMS, ITEMS)
    assert Order.objects.count() == OrderLine.objects.count() == ITEMS
    assert len({order.number for order in Order.objects.all()}) == ITEMS


def careless(actor: Actor, product: Product, all_have_looked: Barrier) -> Order:
    """Place an order as one would without knowing better: look, think while others look too, and reserve."""
    with transaction.atomic():
        if Product.objects.get(pk=product.pk).quantity_available < 1:
            raise ConflictError("Out of stock.")
        all_have_looked.wait()
        Product.objects.filter(pk=product.pk).update(quantity_reserved=F("quantity_reserved") + 1)
        order = Order.objects.create(
            organization=actor.organization,
            customer=actor.user,
            currency="EUR",
            item_count=1,
            subtotal=product.price,
            total=product.price,
        )
        OrderLine.objects.create(
            organization=actor.organization,
            order=order,
            product=product,
            sku=product.sku,
            name=product.name,
            unit_price=product.price,
            currency="EUR",
            quantity=1,
        )
        return order


@contextmanager
def without(constraint: str) -> Iterator[None]:
    """Run without a CHECK constraint of products, which stands again afterwards."""
    [(definition,)] = run("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", constraint)
    run(f"ALTER TABLE catalog_product DROP CONSTRAINT {constraint}")
    try:
        yield
    finally:
        run(
            "UPDATE catalog_product SET quantity_reserved = 0;"
            f"ALTER TABLE catalog_product ADD CONSTRAINT {constraint} {definition}".replace("%", "%%")
        )


def race_carelessly(organization: Organization, lamp: Product) -> tuple[int, list[Exception]]:
    """Let eleven careless clients after the last ten; return how many had an order, and the errors of the others."""
    all_have_looked = Barrier(ITEMS + 1, timeout=PATIENCE)
    clients = customers(organization, ITEMS + 1)
    outcomes = race(*[lambda a=actor: careless(a, lamp, all_have_looked) for actor in clients])
    return len(values(outcomes)), errors(outcomes)


def test_control_without_guard_and_without_constraint_the_last_ten_are_oversold(
    organization: Organization, lamp: Product
) -> None:
    with without("catalog_product_reserved_in_stock"):
        sold, _ = race_carelessly(organization, lamp)
        lamp.refresh_from_db()
        assert sold == Order.objects.count() == lamp.quantity_reserved > ITEMS


def test_without_guard_the_database_still_sells_no_more_than_ten(organization: Organization, lamp: Product) -> None:
    sold, refusals = race_carelessly(organization, lamp)
    assert sold == Order.objects.count() == ITEMS
    [refusal] = refusals
    assert isinstance(refusal, IntegrityError)


def test_orders_of_the_same_products_in_any_sequence_never_deadlock(organization: Organization) -> None:
    products = ProductFactory.create_batch(4, organization=organization, quantity_in_stock=1000)
    contenders = []
    for number, actor in enumerate(customers(organization, 12)):
        chosen = products[number % 4 :] + products[: number % 4]
        contenders.append(lambda a=actor, c=chosen[:: -1 if number % 2 else 1]: place(a, *((p, 1) for p in c)))
    assert errors(race(*contenders)) == []
    assert {product.quantity_reserved for product in Product.objects.all()} == {12}


def test_control_locks_in_the_clients_own_sequence_do_deadlock(organization: Organization) -> None:
    first, second = ProductFactory.create_batch(2, organization=organization)
    both_have_one = Barrier(2, timeout=PATIENCE)

    def reserve(product: Product, other: Product) -> None:
        with transaction.atomic():
            Product.objects.filter(pk=product.pk).update(quantity_reserved=F("quantity_reserved") + 1)
            both_have_one.wait()
            Product.objects.filter(pk=other.pk).update(quantity_reserved=F("quantity_reserved") + 1)

    [error] = errors(race(lambda: reserve(first, second), lambda: reserve(second, first)))
    assert isinstance(error, OperationalError)
    assert "deadlock detected" in str(error)


def test_an_order_that_is_cancelled_five_times_at_once_frees_its_stock_once(
    organization: Organization, lamp: Product
) -> None:
    order = place(make_actor(organization, Role.CUSTOMER, "buyer"), (lamp, 3))
    outcomes = race(*[lambda: orders.cancel_order(order=order) for _ in range(5)])
    assert len(values(outcomes)) == 1
    assert all(isinstance(error, ConflictError) for error in errors(outcomes))
    lamp.refresh_from_db()
    assert (lamp.quantity_in_stock, lamp.quantity_reserved) == (10, 0)


def test_a_key_that_is_sent_twice_at_once_is_stored_once(teammate: Actor) -> None:
    client = teammate.by_key
    body = {"metric": "tokens.input", "quantity": "5", "unit": "token", "idempotency_key": "once"}
    outcomes = race(*[lambda: client.post("/api/v1/usage-records/", body) for _ in range(10)])
    assert errors(outcomes) == []
    assert Counter(answer.status_code for answer in values(outcomes)) == {201: 1, 200: 9}
    assert len({answer.json()["id"] for answer in values(outcomes)}) == 1
    assert UsageRecord.objects.count() == 1


def test_of_two_subscriptions_at_once_one_begins(organization: Organization) -> None:
    def start() -> Subscription:
        return subscriptions.start_subscription(
            organization_id=organization.pk, plan_tier="pro", price=Decimal(10), currency="EUR"
        )

    outcomes = race(start, start, start)
    assert len(values(outcomes)) == 1
    assert [error.code for error in errors(outcomes)] == ["already_subscribed"] * 2  # type: ignore[attr-defined]
    assert Subscription.objects.live().count() == 1


def test_order_numbers_of_concurrent_writers_differ() -> None:
    outcomes = race(*[lambda: run("SELECT catalog_order_number() FROM generate_series(1, 500)") for _ in range(6)])
    numbers = [number for rows in values(outcomes) for (number,) in rows]
    assert len(numbers) == len(set(numbers)) == 3000
    assert connection.in_atomic_block is False
