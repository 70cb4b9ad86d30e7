"""Factories of catalog's records."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import factory
from django.db import transaction
from factory.django import DjangoModelFactory

from catalog.models import Order, OrderLine, Product, ProductStatus, Subscription, SubscriptionStatus, UsageRecord
from core.models import PlanTier, Role
from tests.factories.core import OrganizationFactory, UserFactory


class ProductFactory(DjangoModelFactory):
    """A product on offer: ten in stock, at 12.50 euros."""

    class Meta:
        model = Product

    organization = factory.SubFactory(OrganizationFactory)
    sku = factory.Sequence(lambda n: f"SKU-{n}")
    name = factory.Sequence(lambda n: f"Product {n}")
    slug = factory.Sequence(lambda n: f"product-{n}")
    status = ProductStatus.ACTIVE
    price = Decimal("12.50")
    currency = "EUR"
    quantity_in_stock = 10


class OrderLineFactory(DjangoModelFactory):
    """Two of a new product, in an order whose sums follow it.

    Without an ``order`` it makes one that has this line only. A line of an order that stands is refused by the
    database, unless the order's sums are changed too: ``OrderFactory(lines=…)`` makes an order with several.
    """

    class Meta:
        model = OrderLine

    organization = factory.LazyAttribute(lambda line: line.order.organization if line.order else OrganizationFactory())
    order = None
    product = factory.SubFactory(ProductFactory, organization=factory.SelfAttribute("..organization"))
    sku = factory.SelfAttribute("product.sku")
    name = factory.SelfAttribute("product.name")
    unit_price = factory.SelfAttribute("product.price")
    currency = factory.SelfAttribute("product.currency")
    quantity = 2

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **fields: Any) -> OrderLine:
        if fields["order"] is not None:
            return super()._create(model_class, *args, **fields)
        order = OrderFactory(
            organization=fields["organization"],
            currency=fields["currency"],
            lines=[fields | {"order": None}],
        )
        return order.lines.get()


class OrderFactory(DjangoModelFactory):
    """A pending order of a customer; one line of two items at 12.50 euros each, unless ``lines`` tells others.

    ``lines`` is a list of fields of OrderLine. Nothing is reserved: ``services.orders.place_order`` does that.
    """

    class Meta:
        model = Order

    organization = factory.SubFactory(OrganizationFactory)
    customer = factory.LazyAttribute(lambda order: _customer_of(order.organization))
    currency = "EUR"

    @classmethod
    def _create(cls, model_class: Any, *args: Any, lines: list[dict[str, Any]] | None = None, **fields: Any) -> Order:
        organization = fields["organization"]
        built = [
            OrderLineFactory.build(**{"organization": organization, "product": _product(organization, line), **line})
            for line in (lines if lines is not None else [{}])
        ]
        fields.setdefault("item_count", sum(line.quantity for line in built))
        fields.setdefault("subtotal", sum((line.unit_price * line.quantity for line in built), Decimal(0)))
        amounts = {name: fields.get(name, Decimal(0)) for name in ("discount", "tax", "shipping")}
        fields.setdefault("total", fields["subtotal"] - amounts["discount"] + amounts["tax"] + amounts["shipping"])
        with transaction.atomic():
            order: Order = super()._create(model_class, *args, **fields)
            for line in built:
                line.order = order
                line.save(force_insert=True)
        return order


def _customer_of(organization: Any) -> Any:
    return UserFactory(memberships__organization=organization, memberships__role=Role.CUSTOMER)


def _product(organization: Any, line: dict[str, Any]) -> Product:
    return line["product"] if "product" in line else ProductFactory(organization=organization)


class SubscriptionFactory(DjangoModelFactory):
    """An active subscription of the tier “pro”, for November 2026."""

    class Meta:
        model = Subscription

    organization = factory.SubFactory(OrganizationFactory)
    plan_tier = PlanTier.PRO
    status = SubscriptionStatus.ACTIVE
    seats = 5
    price = Decimal("99.00")
    currency = "EUR"
    current_period_start = datetime(2026, 11, 1, tzinfo=UTC)
    current_period_end = datetime(2026, 12, 1, tzinfo=UTC)


class UsageRecordFactory(DjangoModelFactory):
    """A thousand tokens."""

    class Meta:
        model = UsageRecord

    organization = factory.SubFactory(OrganizationFactory)
    metric = "tokens.input"
    quantity = Decimal(1000)
    unit = "token"
    recorded_at = datetime(2026, 11, 15, 12, tzinfo=UTC)
