"""Orders: placed, paid, prepared, shipped, delivered; or cancelled, or refunded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from catalog.currencies import validate_amounts
from catalog.models import Order, OrderLine, OrderStatus, Product
from catalog.services import stock
from core import audit
from core.errors import ConflictError
from core.models import Membership

ZERO = Decimal(0)
AMOUNTS = ("discount", "tax", "shipping")


@dataclass(frozen=True)
class Item:
    """So many of one product."""

    product_id: UUID
    quantity: int


@transaction.atomic
def place_order(
    *,
    organization_id: UUID,
    customer_id: UUID,
    items: Sequence[Item],
    discount: Decimal = ZERO,
    tax: Decimal = ZERO,
    shipping: Decimal = ZERO,
    billing_address: dict[str, Any] | None = None,
    shipping_address: dict[str, Any] | None = None,
    notes: str = "",
) -> Order:
    """Sell the items at their products' present prices, and reserve them. Return the order, which is pending.

    Amounts are in the products' currency. Raises ValidationError for items, amounts or a customer that the
    organization can't accept, ConflictError, code ``out_of_stock``, ``not_for_sale`` or ``mixed_currencies``, for
    what can't be had now. Nothing is written then.
    """
    quantities = _quantities(items)
    if not Membership.objects.filter(organization_id=organization_id, user_id=customer_id).exists():
        raise ValidationError({"customer": ValidationError("The customer isn't a member here.", "does_not_exist")})
    try:
        products = stock.reserve(organization_id=organization_id, quantities=quantities)
    except stock.UnknownProductError as error:
        raise _at_positions(items, error) from error
    order = Order(
        organization_id=organization_id,
        customer_id=customer_id,
        currency=_one_currency(products),
        item_count=sum(quantities.values()),
        subtotal=sum((products[item.product_id].price * item.quantity for item in items), ZERO),
        discount=discount,
        tax=tax,
        shipping=shipping,
        billing_address=billing_address or {},
        shipping_address=shipping_address or {},
        notes=notes,
    )
    _set_total(order)
    order.save(force_insert=True)
    OrderLine.objects.bulk_create(_line(order, products[item.product_id], item.quantity) for item in items)
    return order


@transaction.atomic
def amend_order(*, order: Order, **changes: Any) -> Order:
    """Change discount, tax or shipping of a pending order, or its addresses and notes at any time.

    The total follows. Raises ConflictError, code ``order_settled``, when amounts change after the payment.
    """
    order = _lock(order)
    settled = [name for name in AMOUNTS if name in changes and changes[name] != getattr(order, name)]
    if settled and order.status != OrderStatus.PENDING:
        raise ConflictError(
            f"The order is “{order.status}”: its amounts are settled.", code="order_settled", field=settled[0]
        )
    for name, value in changes.items():
        setattr(order, name, value)
    _set_total(order)
    order.save(update_fields=[*changes, "total"])
    order.refresh_from_db()
    return order


@transaction.atomic
def pay_order(*, order: Order) -> Order:
    """Note that the order is paid. Raises TransitionConflictError unless it is pending."""
    return Order.lifecycle.move(_lock(order), "pay")


@transaction.atomic
def start_processing(*, order: Order) -> Order:
    """Note that the order is being prepared. Raises TransitionConflictError unless it is paid."""
    return Order.lifecycle.move(_lock(order), "process")


@transaction.atomic
def ship_order(*, order: Order) -> Order:
    """Send the order: what was reserved leaves the stock. Raises TransitionConflictError unless it is processing."""
    order = Order.lifecycle.move(_lock(order), "ship")
    stock.take_out(organization_id=order.organization_id, quantities=_reserved(order))
    return order


@transaction.atomic
def deliver_order(*, order: Order) -> Order:
    """Note that the order has arrived. Raises TransitionConflictError unless it is shipped."""
    return Order.lifecycle.move(_lock(order), "deliver")


@transaction.atomic
def cancel_order(*, order: Order, reason: str = "") -> Order:
    """Call the order off before it is shipped; what was reserved is free again.

    An order that was paid can still be refunded then. Raises TransitionConflictError once it is shipped.
    """
    if reason:
        audit.because(reason)
    order = Order.lifecycle.move(_lock(order), "cancel")
    stock.release(organization_id=order.organization_id, quantities=_reserved(order))
    return order


@transaction.atomic
def refund_order(*, order: Order, restock: bool = False, reason: str = "") -> Order:
    """Note that the whole payment went back to the customer.

    What is still reserved is free again. What was shipped goes back into the stock only with ``restock``: not all
    that is paid back comes back, or can be sold again. Raises TransitionConflictError for a pending or refunded order,
    ConflictError, code ``not_paid``, for one that was cancelled before it was paid.
    """
    order = _lock(order)
    if order.status == OrderStatus.CANCELLED and order.paid_at is None:
        raise ConflictError("The order was cancelled before it was paid.", code="not_paid", field="status")
    if reason:
        audit.because(reason)
    held, shipped = order.holds_stock, order.shipped_at is not None
    order = Order.lifecycle.move(order, "refund")
    if held:
        stock.release(organization_id=order.organization_id, quantities=_reserved(order))
    elif shipped and restock:
        stock.put_back(organization_id=order.organization_id, quantities=_reserved(order))
    return order


def _lock(order: Order) -> Order:
    """Return the order as it stands, locked until the transaction ends: before its products, always."""
    return Order.objects.select_for_update().get(pk=order.pk)


def _reserved(order: Order) -> dict[UUID, int]:
    return dict(order.lines.values_list("product_id", "quantity"))


def _quantities(items: Sequence[Item]) -> dict[UUID, int]:
    """Return the quantity of each product; ValidationError for no item, for less than one, and for a product twice."""
    if not items:
        raise ValidationError({"lines": ValidationError("An order has at least one line.", "empty")})
    errors = {}
    twice = {product_id for product_id, count in Counter(item.product_id for item in items).items() if count > 1}
    for position, item in enumerate(items):
        if item.quantity < 1:
            errors[f"lines.{position}.quantity"] = ValidationError("Order at least one.", "min_value")
        if item.product_id in twice:
            errors[f"lines.{position}.product"] = ValidationError("One line for a product, please.", "twice")
    if errors:
        raise ValidationError(errors)
    return {item.product_id: item.quantity for item in items}


def _at_positions(items: Sequence[Item], error: stock.UnknownProductError) -> ValidationError:
    return ValidationError(
        {
            f"lines.{position}.product": ValidationError("There is no such product.", "does_not_exist")
            for position, item in enumerate(items)
            if item.product_id in error.product_ids
        }
    )


def _one_currency(products: Mapping[UUID, Product]) -> str:
    currencies = sorted({product.currency for product in products.values()})
    if len(currencies) > 1:
        raise ConflictError(
            f"One order has one currency; these products have {' and '.join(currencies)}.",
            code="mixed_currencies",
            field="lines",
        )
    return currencies[0]


def _set_total(order: Order) -> None:
    validate_amounts(order.currency, **{name: getattr(order, name) for name in AMOUNTS})
    if order.discount > order.subtotal:
        raise ValidationError(
            {"discount": ValidationError(f"The discount exceeds the subtotal, {order.subtotal}.", "max_value")}
        )
    order.total = order.subtotal - order.discount + order.tax + order.shipping


def _line(order: Order, product: Product, quantity: int) -> OrderLine:
    return OrderLine(
        organization_id=order.organization_id,
        order=order,
        product=product,
        sku=product.sku,
        name=product.name,
        unit_price=product.price,
        currency=product.currency,
        quantity=quantity,
    )
