"""The rules of money and products, attacked with raw SQL."""

from decimal import Decimal

import pytest

from catalog.currencies import DIGITS
from catalog.models import Order, Product
from core.models import Organization
from tests.factories.catalog import (
    ProductFactory,
    SubscriptionFactory,
)
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
