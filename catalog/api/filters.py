"""What catalog's records can be filtered by."""

from typing import Any, ClassVar

import django_filters
from django.db.models import Exists, OuterRef, QuerySet

from catalog.models import Order, OrderLine, Product, Subscription, UsageRecord
from core.api.filters import CharInFilter, JSONContainsFilter, RecordFilterSet, SearchFilter


class ProductFilterSet(RecordFilterSet):
    """Filters of products."""

    search = SearchFilter(fields=["name", "sku"])
    status = CharInFilter(lookup_expr="in")
    category = CharInFilter(lookup_expr="in")
    sku = CharInFilter(lookup_expr="in")
    tags = CharInFilter(lookup_expr="contains", help_text="All of these words.")
    attributes = JSONContainsFilter(help_text='A JSON object that the attributes contain: {"color": "red"}.')
    price = django_filters.RangeFilter()
    low_stock = django_filters.BooleanFilter(
        method="filter_low_stock", help_text="No more than the threshold is available."
    )
    in_stock = django_filters.BooleanFilter(method="filter_in_stock", help_text="At least one is available.")

    class Meta:
        model = Product
        fields = ["slug", "currency"]

    def filter_low_stock(self, queryset: Any, name: str, value: bool) -> QuerySet:
        """Return the products that are low on stock, or those that aren't."""
        return queryset.low_on_stock(value)

    def filter_in_stock(self, queryset: Any, name: str, value: bool) -> QuerySet:
        """Return the products that can be had, or those that can't."""
        return queryset.in_stock(value)


class OrderFilterSet(RecordFilterSet):
    """Filters of orders."""

    status = CharInFilter(lookup_expr="in")
    customer = django_filters.UUIDFilter(field_name="customer_id")
    number = CharInFilter(lookup_expr="in")
    product = django_filters.UUIDFilter(method="filter_product", help_text="Orders with a line of this product.")
    placed_at = django_filters.IsoDateTimeFromToRangeFilter()
    total = django_filters.RangeFilter()

    class Meta:
        model = Order
        fields = ["currency"]

    def filter_product(self, queryset: QuerySet, name: str, value: Any) -> QuerySet:
        """Return the orders that have a line of the product."""
        return queryset.filter(Exists(OrderLine.objects.filter(order=OuterRef("pk"), product_id=value)))


class OrderLineFilterSet(RecordFilterSet):
    """Filters of order lines."""

    order = django_filters.UUIDFilter(field_name="order_id")
    product = django_filters.UUIDFilter(field_name="product_id")

    class Meta:
        model = OrderLine
        fields = ["sku"]


class SubscriptionFilterSet(RecordFilterSet):
    """Filters of subscriptions."""

    status = CharInFilter(lookup_expr="in")

    class Meta:
        model = Subscription
        fields = ["plan_tier", "billing_interval", "external_id"]


class UsageRecordFilterSet(RecordFilterSet):
    """Filters of usage."""

    metric = CharInFilter(lookup_expr="in")
    subscription = django_filters.UUIDFilter(field_name="subscription_id")
    recorded_at = django_filters.IsoDateTimeFromToRangeFilter()
    period = django_filters.DateFilter(help_text="The first day of a month.")

    class Meta:
        model = UsageRecord
        fields: ClassVar[list[str]] = ["unit", "source", "idempotency_key"]
