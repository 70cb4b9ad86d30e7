"""The rules of products, orders, subscriptions and usage, attacked with raw SQL."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from catalog.currencies import DIGITS
from catalog.models import Order, OrderLine, OrderStatus, Product, Subscription
from catalog.models.orders import TIMES
from catalog.services import orders as services
from core.models import Organization, Role
from tests.catalog.conftest import place
from tests.factories.catalog import (
    OrderFactory,
    ProductFactory,
    SubscriptionFactory,
    UsageRecordFactory,
)
from tests.factories.core import MembershipFactory, UserFactory
from tests.kit.cast import Actor
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

# --- Money and currencies --------------------------------------------------------------------------

PRICES = [("12.345", "EUR"), ("0.5", "JPY"), ("1.2345", "KWD"), ("-1", "EUR"), ("NaN", "EUR"), ("-0.01", "EUR")]


@pytest.mark.parametrize(("price", "currency"), PRICES)
def test_price_is_zero_or_more_in_whole_minor_units(price: str, currency: str, lamp: Product) -> None:
    rule = refused("UPDATE catalog_product SET price = %s, currency = %s", price, currency)
    assert rule == "catalog_product_price_money"


@pytest.mark.parametrize(("price", "currency"), [("0", "EUR"), ("0.01", "EUR"), ("500", "JPY"), ("1.234", "KWD")])
def test_price_may_have_the_places_of_its_currency(price: str, currency: str, lamp: Product) -> None:
    run("UPDATE catalog_product SET price = %s, currency = %s", price, currency)
    assert Product.objects.get().price == Decimal(price)


@pytest.mark.parametrize("currency", ["", "eur", "EU", "XXX", "XAU", "€€€"])
@pytest.mark.parametrize("table", ["product", "subscription"])
def test_currency_is_one_of_iso_4217(currency: str, table: str, lamp: Product, organization: Organization) -> None:
    SubscriptionFactory(organization=organization)
    rule = refused(f"UPDATE catalog_{table} SET currency = %s", currency)
    assert rule == f"catalog_{table}_currency"


def test_database_and_program_know_the_same_currencies() -> None:
    rows = run("SELECT code, catalog_currency_digits(code) FROM unnest(%s::text[]) AS code", [*DIGITS, "XXX"])
    assert dict(rows) == DIGITS | {"XXX": None}
    assert DIGITS["EUR"] == 2
    assert DIGITS["JPY"] == 0
    assert DIGITS["TND"] == 3
    assert DIGITS["CLF"] == 4
    assert len(DIGITS) > 160


def test_compare_at_price_is_not_less_than_price(lamp: Product) -> None:
    assert refused("UPDATE catalog_product SET compare_at_price = 12.49") == "catalog_product_compare_at_price_least"
    run("UPDATE catalog_product SET compare_at_price = 12.50")
    assert refused("UPDATE catalog_product SET price = 12.51") == "catalog_product_compare_at_price_least"


def test_subscription_price_is_money(organization: Organization) -> None:
    SubscriptionFactory(organization=organization)
    assert refused("UPDATE catalog_subscription SET price = -1") == "catalog_subscription_price_money"
    assert refused("UPDATE catalog_subscription SET price = 0.001") == "catalog_subscription_price_money"


# --- Product ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["sku", "slug"])
def test_sku_and_slug_are_unique_in_the_organization(
    column: str, lamp: Product, chair: Product, foreign_lamp: Product
) -> None:
    rule = refused(f"UPDATE catalog_product SET {column} = %s WHERE id = %s", getattr(lamp, column), chair.pk)
    assert rule == f"catalog_product_{column}_unique"
    assert getattr(foreign_lamp, column) == getattr(lamp, column)


@pytest.mark.parametrize("sku", ["", " ", "A B", "A\n", "ä"])
def test_sku_has_its_shape(sku: str, lamp: Product) -> None:
    assert refused("UPDATE catalog_product SET sku = %s", sku) == "catalog_product_sku_shape"


@pytest.mark.parametrize("slug", ["", "Lamp", "a b", "-a", "a--b", "a\n"])
def test_slug_has_its_shape(slug: str, lamp: Product) -> None:
    assert refused("UPDATE catalog_product SET slug = %s", slug) == "catalog_product_slug_shape"


def test_product_has_a_name(lamp: Product) -> None:
    assert refused("UPDATE catalog_product SET name = ''") == "catalog_product_name_given"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("quantity_reserved = quantity_in_stock + 1", "catalog_product_reserved_in_stock"),
        ("quantity_in_stock = 1, quantity_reserved = 2", "catalog_product_reserved_in_stock"),
        ("quantity_reserved = -1", "catalog_product_quantity_reserved_check"),
        ("quantity_in_stock = -1", "catalog_product_quantity_in_stock_check"),
        ("low_stock_threshold = -1", "catalog_product_low_stock_threshold_check"),
        ("attributes = '[]'", "catalog_product_attributes_object"),
        ("attributes = 'null'", "catalog_product_attributes_object"),
        ("images = '{}'", "catalog_product_images_array"),
        ("status = 'gone'", "catalog_product_status"),
    ],
)
def test_product_quantities_and_json_have_their_bounds(change: str, rule: str, lamp: Product) -> None:
    assert refused(f"UPDATE catalog_product SET {change}").startswith(rule)


@pytest.mark.parametrize(("old", "new"), [("active", "draft"), ("archived", "draft")])
def test_product_status_moves_only_as_drawn(old: str, new: str, organization: Organization) -> None:
    ProductFactory(organization=organization, status=old)
    for _ in range(2):
        assert refused("UPDATE catalog_product SET status = %s", new) == "catalog_product_status_transitions"
        ignore_all_triggers()


def test_product_that_was_sold_is_not_deleted(order: Order) -> None:
    assert refused("DELETE FROM catalog_product") == "catalog_orderline_product_same_organization"


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


# --- Subscription ----------------------------------------------------------------------------------


def live_subscription(organization: Organization, **fields: Any) -> Subscription:
    return SubscriptionFactory(organization=organization, **fields)


@pytest.mark.parametrize("first", ["trialing", "active", "past_due"])
@pytest.mark.parametrize("second", ["trialing", "active", "past_due"])
def test_an_organization_has_one_live_subscription(first: str, second: str, organization: Organization) -> None:
    live_subscription(organization, status=first)
    with pytest.raises(Exception, match="catalog_subscription_one_live"):
        live_subscription(organization, status=second)


def test_a_subscription_may_follow_one_that_ended(organization: Organization, other_organization: Organization) -> None:
    ended = "2026-11-02T00:00:00Z"
    live_subscription(organization, status="cancelled", cancelled_at=ended)
    live_subscription(organization, status="expired", expired_at=ended)
    live_subscription(organization)
    live_subscription(other_organization)
    assert Subscription.objects.live().count() == 2


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("current_period_end = current_period_start", "catalog_subscription_period"),
        ("current_period_start = current_period_end + interval '1 second'", "catalog_subscription_period"),
        ("seats = 0", "catalog_subscription_seats"),
        ("seats = -1", "catalog_subscription_seats"),
        ("billing_interval = 'week'", "catalog_subscription_billing_interval"),
        ("plan_tier = 'gold'", "catalog_subscription_plan_tier"),
        ("status = 'cancelled'", "catalog_subscription_cancelled_has_time"),
        ("cancelled_at = now()", "catalog_subscription_cancelled_time_fits"),
        ("status = 'expired'", "catalog_subscription_expired_has_time"),
        ("expired_at = now()", "catalog_subscription_expired_time_fits"),
        ("status = 'trialing'", "catalog_subscription_status_transitions"),
    ],
)
def test_subscription_rules(change: str, rule: str, organization: Organization) -> None:
    live_subscription(organization)
    for _ in range(2):
        assert refused(f"UPDATE catalog_subscription SET {change}").startswith(rule)
        ignore_all_triggers()


def test_a_subscription_that_ended_does_not_begin_again(organization: Organization) -> None:
    live_subscription(organization, status="cancelled", cancelled_at="2026-11-02T00:00:00Z")
    rule = refused("UPDATE catalog_subscription SET status = 'active', cancelled_at = NULL")
    assert rule == "catalog_subscription_status_transitions"


def test_external_id_is_unique_in_the_organization(
    organization: Organization, other_organization: Organization
) -> None:
    ended = {"status": "cancelled", "cancelled_at": "2026-11-02T00:00:00Z"}
    live_subscription(organization, external_id="sub_1")
    live_subscription(other_organization, external_id="sub_1")
    live_subscription(organization, external_id="", **ended)
    live_subscription(organization, external_id="", **ended)
    with pytest.raises(Exception, match="catalog_subscription_external_id"):
        live_subscription(organization, external_id="sub_1", **ended)


# --- Usage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("quantity", Decimal("-0.000001"), "catalog_usage_quantity"),
        ("metric", "", "catalog_usage_metric_shape"),
        ("metric", "Tokens", "catalog_usage_metric_shape"),
        ("metric", "a..b", "catalog_usage_metric_shape"),
        ("unit", "", "catalog_usage_unit_given"),
    ],
)
def test_usage_rules(column: str, value: Any, rule: str, organization: Organization) -> None:
    with pytest.raises(Exception, match=rule):
        UsageRecordFactory(organization=organization, **{column: value})


@pytest.mark.parametrize(
    "change",
    ["quantity = 1", "metric = 'x'", "unit = 'x'", "recorded_at = now()", "source = 'x'", "idempotency_key = 'x'"],
)
def test_usage_never_changes(change: str, organization: Organization) -> None:
    UsageRecordFactory(organization=organization)
    for _ in range(2):
        rule = refused(f"UPDATE catalog_usagerecord SET {change}")
        assert rule == f"catalog_usagerecord_{change.split(' ')[0]}_immutable"
        ignore_all_triggers()


def test_an_idempotency_key_is_used_once_in_the_organization(
    organization: Organization, other_organization: Organization
) -> None:
    for _ in range(2):
        UsageRecordFactory(organization=organization)
    UsageRecordFactory(organization=organization, idempotency_key="k")
    UsageRecordFactory(organization=other_organization, idempotency_key="k")
    with pytest.raises(Exception, match="catalog_usage_idempotency_key"):
        UsageRecordFactory(organization=organization, idempotency_key="k")


@pytest.mark.parametrize(
    ("recorded_at", "period"),
    [
        ("2026-11-30T23:59:59Z", "2026-11-01"),
        ("2026-12-01T00:00:00Z", "2026-12-01"),
        ("2026-12-01T01:00:00+02:00", "2026-11-01"),
    ],
)
def test_the_period_is_the_month_of_utc(recorded_at: str, period: str, organization: Organization) -> None:
    run("SET LOCAL timezone = 'Asia/Kathmandu'")
    UsageRecordFactory(organization=organization, recorded_at=recorded_at)
    assert str(run("SELECT period FROM catalog_usagerecord")[0][0]) == period


def test_usage_belongs_to_a_subscription_of_its_organization(
    organization: Organization, other_organization: Organization
) -> None:
    foreign = live_subscription(other_organization)
    rule = refused(
        "INSERT INTO catalog_usagerecord (organization_id, subscription_id, metric, quantity, unit, source,"
        " idempotency_key) VALUES (%s, %s, 'a', 1, 'x', '', '')",
        organization.pk,
        foreign.pk,
    )
    assert rule == "catalog_usage_subscription_same_organization"


def test_a_subscription_with_usage_is_not_deleted(organization: Organization) -> None:
    subscription = live_subscription(organization)
    UsageRecordFactory(organization=organization, subscription=subscription)
    assert refused("DELETE FROM catalog_subscription") == "catalog_usage_subscription_same_organization"
