"""What catalog's tests begin with."""

from typing import Any

import pytest

from catalog.models import Order, Product
from catalog.services import orders
from core.models import Organization
from tests.admin.conftest import make_staff, staff  # noqa: F401 (fixtures)
from tests.factories.catalog import ProductFactory
from tests.kit.cast import Actor


@pytest.fixture
def lamp(organization: Organization) -> Product:
    """A product on offer: ten lamps at 12.50 euros."""
    return ProductFactory(organization=organization, sku="LAMP", name="Lamp", slug="lamp")


@pytest.fixture
def chair(organization: Organization) -> Product:
    """A product on offer: ten chairs at 80 euros."""
    return ProductFactory(organization=organization, sku="CHAIR", name="Chair", slug="chair", price="80.00")


@pytest.fixture
def foreign_lamp(other_organization: Organization) -> Product:
    """A product of the other organization."""
    return ProductFactory(organization=other_organization, sku="LAMP", slug="lamp")


@pytest.fixture
def order(organization: Organization, customer: Actor, lamp: Product) -> Order:
    """A pending order of two lamps, which are reserved."""
    return place(customer, (lamp, 2))


def place(customer: Actor, *items: tuple[Product, int], **fields: Any) -> Order:
    """Place an order of these products and quantities."""
    return orders.place_order(
        organization_id=customer.organization.pk,
        customer_id=customer.user.pk,
        items=[orders.Item(product.pk, quantity) for product, quantity in items],
        **fields,
    )


def path_of(record: Any, action: str = "") -> str:
    """Return the address of a record, or of one of its actions."""
    plural = {"product": "products", "order": "orders", "subscription": "subscriptions"}[record.resource()]
    return f"/api/v1/{plural}/{record.pk}/" + (f"{action}/" if action else "")
