"""Orders and their lines: what was sold, to whom, at which price."""

from itertools import pairwise

from django.conf import settings
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now

from catalog.models.fields import CurrencyField, MoneyField, implies, json_is, money, validate_object
from catalog.models.products import Product
from core.constraints import SameOrganization, between, given, one_of
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord
from core.triggers import Immutable, SharedTrigger, pgtrigger


class OrderStatus(models.TextChoices):
    """How far an order has come."""

    PENDING = "pending", "Pending"
    PAID = "paid", "Paid"
    PROCESSING = "processing", "Processing"
    SHIPPED = "shipped", "Shipped"
    DELIVERED = "delivered", "Delivered"
    CANCELLED = "cancelled", "Cancelled"
    REFUNDED = "refunded", "Refunded"


PENDING, PAID, PROCESSING, SHIPPED, DELIVERED, CANCELLED, REFUNDED = OrderStatus.values
HOLDING_STOCK = frozenset({PENDING, PAID, PROCESSING})

# In which statuses a time must be set, and in which others it may be.
TIMES: dict[str, tuple[set[str], set[str]]] = {
    "paid_at": ({PAID, PROCESSING, SHIPPED, DELIVERED, REFUNDED}, {CANCELLED}),
    "processing_at": ({PROCESSING, SHIPPED, DELIVERED}, {CANCELLED, REFUNDED}),
    "shipped_at": ({SHIPPED, DELIVERED}, {REFUNDED}),
    "delivered_at": ({DELIVERED}, {REFUNDED}),
    "cancelled_at": ({CANCELLED}, {REFUNDED}),
    "refunded_at": ({REFUNDED}, set()),
}
SEQUENCE = ("placed_at", "paid_at", "processing_at", "shipped_at", "delivered_at")


def _time_constraints() -> list[models.BaseConstraint]:
    constraints: list[models.BaseConstraint] = []
    for field, (required, allowed) in TIMES.items():
        word = field.removesuffix("_at")
        constraints += [
            implies(
                Q(status__in=sorted(required)),
                Q(**{f"{field}__isnull": False}),
                name=f"catalog_order_{word}_has_time",
                message=f"An order that is {' or '.join(sorted(required))} has “{field}”.",
            ),
            implies(
                Q(**{f"{field}__isnull": False}),
                Q(status__in=sorted(required | allowed)),
                name=f"catalog_order_{word}_time_fits",
                message=f"“{field}” is for orders that are {' or '.join(sorted(required | allowed))}.",
            ),
        ]
    for earlier, later in pairwise(SEQUENCE):
        constraints.append(
            models.CheckConstraint(
                name=f"catalog_order_{later.removesuffix('_at')}_after_{earlier.removesuffix('_at')}",
                condition=Q(**{f"{later}__isnull": True}) | Q(**{f"{later}__gte": F(earlier)}),
                violation_error_message=f"“{later}” can't be before “{earlier}”.",
            )
        )
    return constraints


class NewOrderNumber(Func):
    """The database's next order number: eight characters in two groups, unique by construction."""

    function = "catalog_order_number"
    arity = 0
    output_field = models.CharField(max_length=20)


class OrderSums(SharedTrigger):
    """Holds an order's subtotal, item count and currency to its lines', at the end of the transaction."""

    name = "order_sums"
    when = pgtrigger.After
    timing = pgtrigger.Deferred
    function = "catalog_order_sums"

    def __init__(self, order_column: str, operation: pgtrigger.Operation | pgtrigger.Operations) -> None:
        self.arguments = (order_column,)
        super().__init__(operation=operation)


class CustomerIsMember(SharedTrigger):
    """Refuses a customer who isn't a member of the order's organization, at the end of the transaction."""

    name = "customer_member"
    when = pgtrigger.After
    timing = pgtrigger.Deferred
    operation = pgtrigger.Insert | pgtrigger.UpdateOf("customer_id")
    function = "catalog_order_customer"


class Settled(Immutable):
    """Refuses to change what a customer owes once the order is no longer pending."""

    condition = pgtrigger.Condition("OLD.status <> 'pending'")


class Order(OrganizationRecord):
    """A sale. It reserves stock from its placing until it is shipped or cancelled."""

    lifecycle = Lifecycle(
        Transition("pay", {PENDING}, PAID, stamp="paid_at"),
        Transition("process", {PAID}, PROCESSING, stamp="processing_at"),
        Transition("ship", {PROCESSING}, SHIPPED, stamp="shipped_at"),
        Transition("deliver", {SHIPPED}, DELIVERED, stamp="delivered_at"),
        Transition("cancel", {PENDING, PAID, PROCESSING}, CANCELLED, stamp="cancelled_at"),
        # An order that was paid and then cancelled is refunded too; “refunded” requires that it was paid.
        Transition("refund", {PAID, PROCESSING, SHIPPED, DELIVERED, CANCELLED}, REFUNDED, stamp="refunded_at"),
    )

    number = models.CharField(
        max_length=20,
        unique=True,
        db_default=NewOrderNumber(),
        editable=False,
        help_text="What people call the order by: 7K2M-9QXR.",
    )
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="orders",
        db_index=False,  # catalog_order_customer serves it
        help_text="Who ordered: a member of the organization, in whatever role.",
    )
    status = models.CharField(max_length=20, choices=OrderStatus, default=OrderStatus.PENDING, editable=False)
    currency = CurrencyField(editable=False, help_text="That of the products when they were sold.")
    item_count = models.PositiveIntegerField(editable=False, help_text="The sum of the lines' quantities.")
    subtotal = MoneyField(editable=False, help_text="The sum of the lines.")
    discount = MoneyField(default=0)
    tax = MoneyField(default=0)
    shipping = MoneyField(default=0)
    total = MoneyField(editable=False, help_text="Subtotal - discount + tax + shipping.")
    billing_address = models.JSONField(default=dict, blank=True, validators=[validate_object])
    shipping_address = models.JSONField(default=dict, blank=True, validators=[validate_object])
    notes = models.TextField(blank=True)
    placed_at = models.DateTimeField(db_default=Now(), editable=False)
    paid_at = models.DateTimeField(null=True, blank=True, editable=False)
    processing_at = models.DateTimeField(null=True, blank=True, editable=False)
    shipped_at = models.DateTimeField(null=True, blank=True, editable=False)
    delivered_at = models.DateTimeField(null=True, blank=True, editable=False)
    cancelled_at = models.DateTimeField(null=True, blank=True, editable=False)
    refunded_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            *money("order", "subtotal", "discount", "tax", "shipping", "total"),
            one_of("status", OrderStatus, name="catalog_order_status"),
            between("item_count", 1, name="catalog_order_not_empty"),
            models.CheckConstraint(
                name="catalog_order_number_shape",
                condition=Q(number__regex=r"^[0-9A-Z]+(-[0-9A-Z]+)*$"),
                violation_error_message="“number” takes upper-case letters and digits, joined by single hyphens.",
            ),
            models.CheckConstraint(
                name="catalog_order_discount_in_subtotal",
                condition=Q(discount__lte=F("subtotal")),
                violation_error_message="“discount” can't be more than “subtotal”.",
            ),
            models.CheckConstraint(
                name="catalog_order_total_sum",
                condition=Q(total=F("subtotal") - F("discount") + F("tax") + F("shipping")),
                violation_error_message="“total” must be subtotal - discount + tax + shipping.",
            ),
            json_is("object", "billing_address", name="catalog_order_billing_address_object"),
            json_is("object", "shipping_address", name="catalog_order_shipping_address_object"),
            *_time_constraints(),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="catalog_order_status_newest"),
            models.Index(fields=["organization", "placed_at", "id"], name="catalog_order_placed"),
            models.Index(fields=["customer", "created_at", "id"], name="catalog_order_customer"),
        ]
        triggers = [
            OrderSums("id", pgtrigger.Insert | pgtrigger.UpdateOf("subtotal", "item_count", "currency")),
            CustomerIsMember(),
            Immutable("number", "placed_at", name="identity"),
            Settled("customer_id", "currency", "item_count", "subtotal", "discount", "tax", "shipping", name="settled"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def holds_stock(self) -> bool:
        """Tell whether products are reserved for the order."""
        return self.status in HOLDING_STOCK


class OrderLine(OrganizationRecord):
    """One product of an order, with SKU, name and price as they were at the sale. It never changes.

    Lines come and go only with the order's own sums, and so not at all once it is no longer pending: a line has at
    least one item, and ``Order.item_count`` is settled by then.
    """

    order = models.ForeignKey(
        Order,
        on_delete=models.CASCADE,
        related_name="lines",
        db_constraint=False,
        db_index=False,  # catalog_orderline_product_once serves it
    )
    product = models.ForeignKey(
        Product,
        on_delete=models.PROTECT,
        related_name="order_lines",
        db_constraint=False,
        db_index=False,  # catalog_orderline_product serves it
    )
    sku = models.CharField("SKU", max_length=64)
    name = models.CharField(max_length=200)
    unit_price = MoneyField()
    currency = CurrencyField()
    quantity = models.PositiveIntegerField()
    line_total = models.GeneratedField(
        expression=F("unit_price") * F("quantity"), output_field=MoneyField(), db_persist=True
    )

    class Meta(OrganizationRecord.Meta):
        ordering = ["created_at", "id"]
        constraints = [
            *OrganizationRecord.Meta.constraints,
            *money("orderline", "unit_price"),
            SameOrganization("order", name="catalog_orderline_order_same_organization"),
            SameOrganization("product", name="catalog_orderline_product_same_organization"),
            models.UniqueConstraint(
                fields=["order", "product"],
                name="catalog_orderline_product_once",
                violation_error_message="An order has one line for a product; raise its quantity.",
            ),
            between("quantity", 1, name="catalog_orderline_quantity_positive"),
            given("sku", name="catalog_orderline_sku_given"),
            given("name", name="catalog_orderline_name_given"),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["product", "created_at", "id"], name="catalog_orderline_product"),
        ]
        triggers = [
            OrderSums("order_id", pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete),
            Immutable("order_id", "product_id", "sku", "name", "unit_price", "currency", "quantity", name="sale"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.name}"
