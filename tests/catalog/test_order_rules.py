"""The rules of orders and their lines, attacked with raw SQL."""

from decimal import Decimal

import pytest
from django.db import connection

from catalog.models import Order, OrderLine, OrderStatus, Product
from catalog.models.orders import TIMES
from catalog.services import orders as services
from core.models import Organization, Role
from tests.catalog.conftest import place
from tests.factories.catalog import (
    OrderFactory,
)
from tests.factories.core import MembershipFactory, UserFactory
from tests.kit.cast import Actor
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

# --- Order: sums -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("total = total + 1", "catalog_order_total_sum"),
        ("discount = 1", "catalog_order_total_sum"),
        ("tax = 1", "catalog_order_total_sum"),
        ("shipping = 1", "catalog_order_total_sum"),
        ("discount = 26, total = -1", "catalog_order_discount_in_subtotal"),
        ("discount = 26, tax = 1, total = 0", "catalog_order_discount_in_subtotal"),
        ("discount = -1, total = total + 1", "catalog_order_discount_money"),
        ("tax = -1, total = total - 1", "catalog_order_tax_money"),
        ("shipping = -1, total = total - 1", "catalog_order_shipping_money"),
        ("tax = 0.001, total = total + 0.001", "catalog_order_tax_money"),
        ("currency = 'JPY'", "catalog_order_lines_currency"),
        ("currency = 'USD'", "catalog_order_lines_currency"),
        ("subtotal = subtotal + 1, total = total + 1", "catalog_order_lines_subtotal"),
        ("item_count = item_count + 1", "catalog_order_lines_item_count"),
        ("item_count = 0", "catalog_order_not_empty"),
        ("number = 'x'", "catalog_order_number_immutable"),
        ("placed_at = placed_at - interval '1 day'", "catalog_order_placed_at_immutable"),
        ("billing_address = '[]'", "catalog_order_billing_address_object"),
        ("shipping_address = '\"here\"'", "catalog_order_shipping_address_object"),
    ],
)
def test_order_sums_hold(change: str, rule: str, order: Order) -> None:
    for _ in range(2):
        assert refused(f"UPDATE catalog_order SET {change}") == rule
        ignore_all_triggers()


def test_order_total_follows_its_parts(order: Order) -> None:
    run("UPDATE catalog_order SET discount = 5, tax = 2.5, shipping = 4, total = 26.5")
    order.refresh_from_db()
    assert order.total == order.subtotal - order.discount + order.tax + order.shipping == Decimal("26.5")


def test_an_order_without_lines_is_refused(organization: Organization, customer: Actor) -> None:
    rule = refused(
        "INSERT INTO catalog_order (organization_id, customer_id, status, currency, item_count, subtotal, discount,"
        " tax, shipping, total, billing_address, shipping_address, notes)"
        " VALUES (%s, %s, 'pending', 'EUR', 1, 5, 0, 0, 0, 5, '{}', '{}', '')",
        organization.pk,
        customer.user.pk,
    )
    assert rule == "catalog_order_lines_subtotal"


NEW_LINE = (
    "INSERT INTO catalog_orderline (organization_id, order_id, product_id, sku, name, unit_price, currency, quantity)"
    " SELECT o.organization_id, o.id, p.id, p.sku, p.name, %s, %s, %s FROM catalog_order o, catalog_product p"
    " WHERE p.sku = 'CHAIR'"
)


@pytest.mark.parametrize(
    ("price", "currency", "quantity", "rule"),
    [
        ("80", "EUR", 1, "catalog_order_lines_subtotal"),
        ("0", "EUR", 1, "catalog_order_lines_item_count"),  # a gift would change no sum but this one
        ("80", "USD", 1, "catalog_order_lines_currency"),
        ("80", "EUR", 0, "catalog_orderline_quantity_positive"),
        ("80", "EUR", -1, "catalog_orderline_quantity"),
        ("-80", "EUR", 1, "catalog_orderline_unit_price_money"),
        ("0.001", "EUR", 1, "catalog_orderline_unit_price_money"),
        ("80", "XXX", 1, "catalog_orderline_currency"),
    ],
)
@pytest.mark.parametrize("status", ["pending", "paid", "cancelled"])
def test_a_line_comes_only_with_the_orders_sums(
    price: str, currency: str, quantity: int, rule: str, status: str, order: Order, chair: Product
) -> None:
    if status == "paid":
        services.pay_order(order=order)
    elif status == "cancelled":
        services.cancel_order(order=order)
    assert refused(NEW_LINE, price, currency, quantity).startswith(rule)
    ignore_all_triggers()
    assert refused(NEW_LINE, price, currency, quantity).startswith(rule)


def test_lines_are_not_taken_away(order: Order) -> None:
    assert refused("DELETE FROM catalog_orderline") == "catalog_order_lines_subtotal"


@pytest.mark.parametrize(
    "change",
    ["sku = 'x'", "name = 'x'", "unit_price = 1", "quantity = 3", "currency = 'USD'", "product_id = muster_uuid7()"],
)
def test_a_line_never_changes(change: str, order: Order) -> None:
    column = change.split(" ")[0]
    for _ in range(2):
        assert refused(f"UPDATE catalog_orderline SET {change}") == f"catalog_orderline_{column}_immutable"
        ignore_all_triggers()


def test_line_total_is_the_databases_own(order: Order) -> None:
    line = OrderLine.objects.get()
    assert line.line_total == line.unit_price * line.quantity == Decimal(25)
    [(generated,)] = run(
        "SELECT is_generated FROM information_schema.columns"
        " WHERE table_name = 'catalog_orderline' AND column_name = 'line_total'"
    )
    assert generated == "ALWAYS"


def test_an_order_has_one_line_for_a_product(order: Order) -> None:
    rule = refused(NEW_LINE.replace("CHAIR", "LAMP"), "12.50", "EUR", 1)
    assert rule == "catalog_orderline_product_once"


@pytest.mark.parametrize("column", ["sku", "name"])
def test_a_line_says_what_was_sold(column: str, order: Order, chair: Product) -> None:
    sql = NEW_LINE.replace(f"p.{column},", "'',")
    assert refused(sql, "80", "EUR", 1) == f"catalog_orderline_{column}_given"


@pytest.mark.parametrize("column", ["discount", "tax", "shipping"])
def test_amounts_are_settled_once_paid(column: str, order: Order) -> None:
    services.pay_order(order=order)
    sign = "-" if column == "discount" else "+"
    for _ in range(2):
        rule = refused(f"UPDATE catalog_order SET {column} = 1, total = total {sign} 1")
        assert rule.startswith("catalog_order_")
        assert rule.endswith("_immutable")
        ignore_all_triggers()


def test_customer_is_settled_once_paid(order: Order, teammate: Actor) -> None:
    run("UPDATE catalog_order SET customer_id = %s", teammate.user.pk)
    services.pay_order(order=order)
    rule = refused("UPDATE catalog_order SET customer_id = %s", order.customer_id)
    assert rule == "catalog_order_customer_id_immutable"


# --- Order: numbers, people, organizations ---------------------------------------------------------


def test_order_number_is_unique(organization: Organization) -> None:
    first = OrderFactory(organization=organization)
    with pytest.raises(Exception, match="catalog_order_number"):
        OrderFactory(number=first.number)


@pytest.mark.parametrize("number", ["", "a", "A B", "-A", "A--B", "A\n"])
def test_order_number_has_its_shape(number: str, organization: Organization) -> None:
    with pytest.raises(Exception, match="catalog_order_number_shape"):
        OrderFactory(organization=organization, number=number)


def test_order_numbers_are_short_human_and_never_meet() -> None:
    count = 200_000
    [(distinct, shaped, longest)] = run(
        "SELECT count(DISTINCT n), count(*) FILTER (WHERE n ~ '^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$'),"
        " max(length(n)) FROM (SELECT catalog_order_number_of(i) AS n FROM generate_series(0, %s - 1) AS i) AS made",
        count,
    )
    assert (distinct, shaped, longest) == (count, count, 9)


def test_order_numbers_do_not_tell_how_many_orders_there_are() -> None:
    numbers = [number for (number,) in run("SELECT catalog_order_number_of(i) FROM generate_series(0, 99) AS i")]
    assert len({number[:2] for number in numbers}) > 50
    assert numbers != sorted(numbers)


def test_order_numbers_end_where_forty_bits_do() -> None:
    assert run("SELECT catalog_order_number_of(1099511627775)")
    for ordinal in (-1, 1099511627776):
        with pytest.raises(Exception, match="40 bits"):
            run("SELECT catalog_order_number_of(%s)", ordinal)


def test_rows_by_raw_sql_get_a_number(organization: Organization) -> None:
    [(first,)], [(second,)] = run("SELECT catalog_order_number()"), run("SELECT catalog_order_number()")
    assert first != second


def test_the_customer_is_a_member_of_the_organization(order: Order, stranger: Actor) -> None:
    for user in (stranger.user, UserFactory()):
        rule = refused("UPDATE catalog_order SET customer_id = %s", user.pk)
        assert rule == "catalog_order_customer_member"
        ignore_all_triggers()


@pytest.mark.parametrize("role", Role.values)
def test_a_member_in_any_role_may_be_the_customer(role: str, order: Order) -> None:
    member = MembershipFactory(organization=order.organization, role=role)
    run("UPDATE catalog_order SET customer_id = %s", member.user_id)
    assert Order.objects.get().customer == member.user


def test_an_order_outlives_the_customers_membership(order: Order, customer: Actor) -> None:
    connection.check_constraints()
    run("DELETE FROM core_membership WHERE id = %s", customer.membership.pk)
    run("UPDATE catalog_order SET notes = 'left'")
    assert Order.objects.get().customer == customer.user


def test_a_user_who_ordered_is_not_deleted(organization: Organization) -> None:
    order = OrderFactory(organization=organization)
    connection.check_constraints()
    run("DELETE FROM core_membership WHERE user_id = %s", order.customer_id)
    assert refused("DELETE FROM core_user WHERE id = %s", order.customer_id).startswith("catalog_order_customer_id")


def test_a_line_belongs_to_an_order_and_a_product_of_its_organization(
    order: Order, foreign_lamp: Product, stranger: Actor
) -> None:
    new_line = (
        "WITH counted AS (UPDATE catalog_order SET item_count = item_count + 1)"
        "INSERT INTO catalog_orderline (organization_id, order_id, product_id, sku, name, unit_price, currency,"
        " quantity) VALUES (%s, %s, %s, 'x', 'x', 0, 'EUR', 1)"
    )
    rule = refused(new_line, order.organization_id, order.pk, foreign_lamp.pk)
    assert rule == "catalog_orderline_product_same_organization"
    foreign_order, product_id = place(stranger, (foreign_lamp, 1)), order.lines.get().product_id
    order.delete()
    rule = refused(new_line, order.organization_id, foreign_order.pk, product_id)
    assert rule == "catalog_orderline_order_same_organization"


# --- Order: status and times -----------------------------------------------------------------------

DRAWN = set(Order.lifecycle.pairs())
UNDRAWN = [
    (old, new) for old in OrderStatus.values for new in OrderStatus.values if old != new and (old, new) not in DRAWN
]
TIMES_OF: dict[str, set[str]] = {
    status: {field for field, (required, _) in TIMES.items() if status in required} for status in OrderStatus.values
}


def in_status(organization: Organization, status: str) -> Order:
    """Make an order that has reached this status, with the times that it needs."""
    return OrderFactory(
        organization=organization, status=status, **dict.fromkeys(TIMES_OF[status], "2126-01-01T00:00:00Z")
    )


@pytest.mark.parametrize(("old", "new"), UNDRAWN)
def test_order_status_moves_only_as_drawn(old: str, new: str, organization: Organization) -> None:
    in_status(organization, old)
    times = "".join(f", {field} = now() + interval '1 day'" for field in sorted(TIMES_OF[new] - TIMES_OF[old]))
    cleared = "".join(f", {field} = NULL" for field in sorted(TIMES_OF[old] - TIMES_OF[new]))
    for _ in range(2):
        rule = refused(f"UPDATE catalog_order SET status = '{new}'{times}{cleared}")
        assert rule == "catalog_order_status_transitions"
        ignore_all_triggers()


@pytest.mark.parametrize(("status", "field"), [(s, f) for s in OrderStatus.values for f in sorted(TIMES_OF[s])])
def test_a_status_has_its_time(status: str, field: str, organization: Organization) -> None:
    in_status(organization, status)
    assert refused(f"UPDATE catalog_order SET {field} = NULL") == f"catalog_order_{field.removesuffix('_at')}_has_time"


@pytest.mark.parametrize(
    ("status", "field"),
    [
        (status, field)
        for status in OrderStatus.values
        for field, (required, allowed) in TIMES.items()
        if status not in required | allowed
    ],
)
def test_a_time_has_its_status(status: str, field: str, organization: Organization) -> None:
    in_status(organization, status)
    rule = refused(f"UPDATE catalog_order SET {field} = '2126-01-01Z'")
    assert rule == f"catalog_order_{field.removesuffix('_at')}_time_fits"


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("placed", "paid"), ("paid", "processing"), ("processing", "shipped"), ("shipped", "delivered")],
)
def test_times_follow_each_other(earlier: str, later: str, organization: Organization) -> None:
    in_status(organization, "delivered")
    rule = refused(f"UPDATE catalog_order SET {later}_at = {earlier}_at - interval '1 second'")
    assert rule.startswith("catalog_order_")
    assert f"_after_{earlier}" in rule
