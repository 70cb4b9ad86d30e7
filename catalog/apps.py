"""The catalog app."""

from django.apps import AppConfig
from django.db.models import Count, Sum

PROBLEMS = {
    "out_of_stock": "Too little of a product is available; the detail names each product and what is left of it.",
    "not_for_sale": "A product isn't active, so it can't be ordered.",
    "mixed_currencies": "One order is paid in one currency; these products have several.",
    "insufficient_stock": "The change would leave less in stock than is reserved for orders.",
    "not_paid": "The order was never paid, so nothing can be refunded.",
    "order_settled": "The order is no longer pending, and its amounts are settled.",
    "already_subscribed": "The organization has a live subscription; it ends before another one begins.",
    "idempotency_conflict": "The idempotency key was used before, for a record that differs.",
}


class CatalogConfig(AppConfig):
    """Products, orders, subscriptions and usage."""

    name = "catalog"
    verbose_name = "Catalog"

    def ready(self) -> None:
        """Describe catalog's own kinds of problem where their addresses lead, and listen to Stripe."""
        from catalog.integrations.stripe import StripeReceiver
        from core.api import problems
        from core.integrations import receivers

        problems.KINDS.update(PROBLEMS)
        receivers.register("stripe", StripeReceiver())

    def summary(self) -> list[tuple[str, object]]:
        """Return lines for `manage.py seed`: the orders by status, and what was earned, by currency."""
        from catalog.models import Order, OrderStatus

        by_status = Order.objects.order_by().values_list("status").annotate(Count("pk"))
        counts = dict(by_status)
        earned = (
            Order.objects.filter(paid_at__isnull=False)
            .exclude(status__in=[OrderStatus.CANCELLED, OrderStatus.REFUNDED])
            .order_by("currency")
            .values_list("currency")
            .annotate(Sum("total"))
        )
        return [
            *((f"orders {status.label.lower()}", counts[status]) for status in OrderStatus if status in counts),
            *((f"revenue in {currency}", f"{total:,.2f}") for currency, total in earned),
        ]
