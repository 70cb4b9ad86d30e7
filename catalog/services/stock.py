"""Stock: what is there, what is promised, and who may have the last one.

Whoever changes quantities of several products locks them in the order of their primary keys first, so that two who
want the same products wait for each other in turn, and never in a circle.
"""

from collections.abc import Mapping
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, F, IntegerField, Value, When

from catalog.models import Product, ProductStatus
from core import audit
from core.errors import ConflictError


@transaction.atomic
def adjust_stock(*, product: Product, delta: int, reason: str) -> Product:
    """Add ``delta`` (or take it away, below zero) to what is in stock, and return the product as it stands.

    The audit log keeps the reason. Raises ConflictError, code ``insufficient_stock``, when less would be left than
    is reserved.
    """
    audit.because(reason)
    changed = Product.objects.filter(pk=product.pk, quantity_in_stock__gte=F("quantity_reserved") - delta).update(
        quantity_in_stock=F("quantity_in_stock") + delta
    )
    product.refresh_from_db()
    if not changed:
        raise ConflictError(
            f"{product.quantity_in_stock} of “{product.sku}” are in stock, {product.quantity_reserved} reserved: "
            f"{-delta} can't be taken away.",
            code="insufficient_stock",
            field="delta",
        )
    return product


def reserve(*, organization_id: UUID, quantities: Mapping[UUID, int]) -> dict[UUID, Product]:
    """Promise this many of each product, and return the products by id, locked until the transaction ends.

    Raises ValidationError, by ``product``, for products that the organization doesn't have; ConflictError, code
    ``not_for_sale`` or ``out_of_stock``, naming each product that can't be had. Nothing is reserved then.
    """
    products = _lock(organization_id, quantities)
    if missing := quantities.keys() - products.keys():
        raise UnknownProductError(missing)
    if idle := [product.sku for product in products.values() if product.status != ProductStatus.ACTIVE]:
        raise ConflictError(f"Not for sale: {_quoted(idle)}.", code="not_for_sale", field="lines")
    short = [
        f"only {product.quantity_available} of “{product.sku}” available, {quantities[product.pk]} wanted"
        for product in products.values()
        if product.quantity_available < quantities[product.pk]
    ]
    if short:
        text = "; ".join(short)
        raise ConflictError(f"Out of stock: {text}.", code="out_of_stock", field="lines")
    _change(quantities, reserved=1)
    return products


def release(*, organization_id: UUID, quantities: Mapping[UUID, int]) -> None:
    """Take back the promise of this many of each product."""
    _lock(organization_id, quantities)
    _change(quantities, reserved=-1)


def take_out(*, organization_id: UUID, quantities: Mapping[UUID, int]) -> None:
    """Take out of the stock what was promised: it is on its way to the customer."""
    _lock(organization_id, quantities)
    _change(quantities, reserved=-1, in_stock=-1)


def put_back(*, organization_id: UUID, quantities: Mapping[UUID, int]) -> None:
    """Put back into the stock what a customer has returned."""
    _lock(organization_id, quantities)
    _change(quantities, in_stock=1)


class UnknownProductError(ValidationError):
    """The organization has no such products; ``product_ids`` says which."""

    def __init__(self, product_ids: set[UUID]) -> None:
        self.product_ids = product_ids
        super().__init__({"product": ValidationError("There is no such product.", "does_not_exist")})


def _lock(organization_id: UUID, quantities: Mapping[UUID, int]) -> dict[UUID, Product]:
    rows = Product.objects.for_organization(organization_id).filter(pk__in=quantities)
    # The key isn't changed, so foreign keys may go on referring to the rows meanwhile.
    return {product.pk: product for product in rows.order_by("pk").select_for_update(no_key=True)}


def _change(quantities: Mapping[UUID, int], *, in_stock: int = 0, reserved: int = 0) -> None:
    """Add to both quantities of each product its number, times ``in_stock`` and ``reserved``."""
    number = Case(
        *(When(pk=product_id, then=Value(quantity)) for product_id, quantity in sorted(quantities.items())),
        output_field=IntegerField(),
    )
    changes = {
        field: F(field) + number * factor
        for field, factor in (("quantity_in_stock", in_stock), ("quantity_reserved", reserved))
        if factor
    }
    Product.objects.filter(pk__in=quantities).update(**changes)


def _quoted(skus: list[str]) -> str:
    return ", ".join(f"“{sku}”" for sku in sorted(skus))
