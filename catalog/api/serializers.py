"""Serializers of catalog's records."""

from typing import Any

from rest_framework import serializers

from catalog.currencies import validate_amounts
from catalog.models import Order, OrderLine, Product, Subscription, UsageRecord
from catalog.models.fields import DECIMAL_PLACES, MAX_DIGITS, validate_object
from catalog.models.products import ProductStatus
from catalog.models.subscriptions import ACTIVE, TRIALING, SubscriptionStatus
from catalog.models.usage import Period
from core.api.serializers import RECORD_FIELDS, RecordSerializer, StrictSerializer
from core.models import User

MAX_LINES = 200
MAX_QUANTITY = 1_000_000
MONEY: dict[str, Any] = {"max_digits": MAX_DIGITS, "decimal_places": DECIMAL_PLACES}


class PricedSerializer(RecordSerializer):
    """A record with amounts in a currency: ``priced`` names them."""

    priced: tuple[str, ...] = ("price",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse amounts that are finer than the currency's minor unit."""
        currency = attrs.get("currency") or getattr(self.instance, "currency", None)
        if currency:
            stored = {name: getattr(self.instance, name, None) for name in self.priced}
            validate_amounts(currency, **stored | {name: attrs[name] for name in self.priced if name in attrs})
        return attrs


class ProductSerializer(PricedSerializer):
    """Something that can be ordered. Its status and quantities change by its actions, and by orders."""

    priced = ("price", "compare_at_price")

    class Meta:
        model = Product
        fields = (
            *RECORD_FIELDS,
            "sku",
            "name",
            "slug",
            "description",
            "category",
            "tags",
            "status",
            "price",
            "currency",
            "compare_at_price",
            "quantity_in_stock",
            "quantity_reserved",
            "low_stock_threshold",
            "attributes",
            "images",
        )
        read_only_fields: tuple[str, ...] = ("status", "quantity_in_stock", "quantity_reserved")
        extra_kwargs = {"slug": {"allow_blank": False}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a price that isn't a reduction of the one it is compared with."""
        attrs = super().validate(attrs)
        price = attrs.get("price", getattr(self.instance, "price", None))
        before = attrs.get("compare_at_price", getattr(self.instance, "compare_at_price", None))
        if price is not None and before is not None and before < price:
            raise serializers.ValidationError({"compare_at_price": "This can't be less than the price."}, "min_value")
        return attrs


class NewProductSerializer(ProductSerializer):
    """A product to be made: with what is in stock of it, and as a draft or already active."""

    status = serializers.ChoiceField(
        choices=[ProductStatus.DRAFT, ProductStatus.ACTIVE], required=False, default=ProductStatus.DRAFT
    )

    class Meta(ProductSerializer.Meta):
        read_only_fields = ("quantity_reserved",)


class AdjustStockSerializer(StrictSerializer):
    """A change of what is in stock."""

    delta = serializers.IntegerField(
        min_value=-(2**31), max_value=2**31 - 1, help_text="How many come; below zero, how many go."
    )
    reason = serializers.CharField(max_length=500, help_text="Why; the audit log keeps it.")


class ReasonSerializer(StrictSerializer):
    """Why something is done; the audit log keeps it."""

    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class RefundSerializer(ReasonSerializer):
    """How an order is refunded."""

    restock = serializers.BooleanField(
        required=False, default=False, help_text="Whether what was shipped is back in stock."
    )


class CustomerSerializer(RecordSerializer):
    """Who ordered."""

    class Meta:
        model = User
        fields = ("id", "email", "name")


LINE_FIELDS = ("product", "sku", "name", "unit_price", "currency", "quantity", "line_total")


class OrderLineSerializer(RecordSerializer):
    """One product of an order, as it was at the sale."""

    line_total = serializers.DecimalField(read_only=True, **MONEY)

    class Meta:
        model = OrderLine
        fields = (*RECORD_FIELDS, "order", *LINE_FIELDS)
        read_only_fields = fields


class NestedLineSerializer(OrderLineSerializer):
    """A line, within its order."""

    class Meta:
        model = OrderLine
        fields = ("id", *LINE_FIELDS)
        read_only_fields = fields


class OrderSerializer(RecordSerializer):
    """A sale, with its customer and lines. It is placed by ``NewOrder``, and moves by its actions."""

    customer = CustomerSerializer(read_only=True)
    lines = NestedLineSerializer(many=True, read_only=True)

    class Meta:
        model = Order
        fields = (
            *RECORD_FIELDS,
            "number",
            "customer",
            "status",
            "currency",
            "item_count",
            "subtotal",
            "discount",
            "tax",
            "shipping",
            "total",
            "billing_address",
            "shipping_address",
            "notes",
            "placed_at",
            "paid_at",
            "processing_at",
            "shipped_at",
            "delivered_at",
            "cancelled_at",
            "refunded_at",
            "lines",
        )
        read_only_fields = fields


class AmendedOrderSerializer(RecordSerializer):
    """What of an order can be changed: amounts while it is pending, addresses and notes at any time."""

    class Meta:
        model = Order
        fields = ("discount", "tax", "shipping", "billing_address", "shipping_address", "notes")


class NewLineSerializer(StrictSerializer):
    """So many of one product."""

    product = serializers.UUIDField(source="product_id")
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_QUANTITY)


class NewOrderSerializer(StrictSerializer):
    """An order to be placed. Prices are the products' own; ``customer`` is who asks, unless another is named."""

    lines = NewLineSerializer(many=True, allow_empty=False, max_length=MAX_LINES)  # type: ignore[call-arg]
    customer = serializers.UUIDField(required=False, help_text="A member of the organization.")
    discount = serializers.DecimalField(required=False, min_value=0, **MONEY)
    tax = serializers.DecimalField(required=False, min_value=0, **MONEY)
    shipping = serializers.DecimalField(required=False, min_value=0, **MONEY)
    billing_address = serializers.JSONField(required=False, validators=[validate_object])
    shipping_address = serializers.JSONField(required=False, validators=[validate_object])
    notes = serializers.CharField(required=False, allow_blank=True, max_length=10_000)


class SubscriptionSerializer(PricedSerializer):
    """An organization's plan. Its status changes by its actions."""

    class Meta:
        model = Subscription
        fields = (
            *RECORD_FIELDS,
            "plan_tier",
            "status",
            "seats",
            "price",
            "currency",
            "billing_interval",
            "current_period_start",
            "current_period_end",
            "cancel_at_period_end",
            "external_id",
            "cancelled_at",
            "expired_at",
        )
        read_only_fields: tuple[str, ...] = (
            "status",
            "current_period_start",
            "current_period_end",
            "cancelled_at",
            "expired_at",
        )
        extra_kwargs = {"seats": {"min_value": 1}}


class NewSubscriptionSerializer(SubscriptionSerializer):
    """A subscription to be begun: now and for one billing interval, unless told otherwise."""

    status = serializers.ChoiceField(
        choices=[(value, SubscriptionStatus(value).label) for value in (TRIALING, ACTIVE)],
        required=False,
        default=ACTIVE,
    )

    class Meta(SubscriptionSerializer.Meta):
        read_only_fields = ("cancelled_at", "expired_at")
        extra_kwargs = SubscriptionSerializer.Meta.extra_kwargs | {
            "current_period_start": {"required": False},
            "current_period_end": {"required": False},
        }


class CancelSubscriptionSerializer(ReasonSerializer):
    """When and why a subscription ends."""

    at_period_end = serializers.BooleanField(
        required=False, default=False, help_text="Whether it lasts until its period ends."
    )


class UsageRecordSerializer(RecordSerializer):
    """What was consumed."""

    period = serializers.DateField(read_only=True, help_text="The month, of UTC: its first day.")

    class Meta:
        model = UsageRecord
        fields = (
            *RECORD_FIELDS,
            "subscription",
            "metric",
            "quantity",
            "unit",
            "recorded_at",
            "period",
            "source",
            "idempotency_key",
        )


class NewUsageRecordSerializer(RecordSerializer):
    """Usage to be recorded. ``recorded_at`` is now unless given."""

    # The service looks all of an array's subscriptions up at once.
    subscription = serializers.UUIDField(source="subscription_id", required=False, allow_null=True)

    class Meta:
        model = UsageRecord
        fields = ("subscription", "metric", "quantity", "unit", "recorded_at", "source", "idempotency_key")
        extra_kwargs = {"recorded_at": {"required": False}}


class UsageQuestionSerializer(serializers.Serializer):
    """What usage is summed, and how."""

    metric = serializers.CharField(required=False, max_length=100, help_text="One metric; all, unless given.")
    period = serializers.ChoiceField(choices=Period.choices, required=False, default=Period.MONTH)

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, with the one whose name Python keeps for itself."""
        return super().get_fields() | {
            "from": serializers.DateTimeField(required=False, help_text="Default: 12 months, or 31 days, before “to”."),
            "to": serializers.DateTimeField(required=False, help_text="Not included. Default: now."),
        }


class UsageSumSerializer(serializers.Serializer):
    """The sum of one metric and unit over one period."""

    metric = serializers.CharField()
    unit = serializers.CharField()
    starts = serializers.DateField(help_text="The period's first day.")
    total = serializers.DecimalField(max_digits=None, decimal_places=6)
    records = serializers.IntegerField()


class UsageSummarySerializer(serializers.Serializer):
    """Sums of usage, by metric, unit and period."""

    period = serializers.ChoiceField(choices=Period.choices)
    results = UsageSumSerializer(many=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, with the one whose name Python keeps for itself."""
        return super().get_fields() | {"from": serializers.DateTimeField(), "to": serializers.DateTimeField()}
