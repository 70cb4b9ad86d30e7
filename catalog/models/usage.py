"""Usage: what was consumed, in which month, for whom to bill."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Count, DateField, F, Func, Q, QuerySet, Sum
from django.db.models.functions import Cast, Now, TruncDay

from catalog.models.subscriptions import Subscription
from core.constraints import SameOrganization, amount, given
from core.models import OrganizationRecord, RecordQuerySet
from core.triggers import Immutable

SHAPE = r"^[a-z0-9]+([._:-][a-z0-9]+)*$"
SHAPE_RULE = "Lower-case letters and digits, joined by . _ : or -."


class Period(models.TextChoices):
    """What usage is summed by."""

    DAY = "day", "Day"
    MONTH = "month", "Month"


class MonthOf(Func):
    """The first day of the month of UTC that a time lies in. Immutable, as generated columns need it."""

    template = "date_trunc('month', %(expressions)s AT TIME ZONE 'UTC')::date"
    arity = 1
    output_field = DateField()


class UsageRecordQuerySet(RecordQuerySet):
    """Reads of usage."""

    def between(self, start: datetime, end: datetime) -> "UsageRecordQuerySet":
        """Return what was recorded from ``start`` on, and before ``end``."""
        return self.filter(recorded_at__gte=start, recorded_at__lt=end)

    def summary(self, period: Period = Period.MONTH) -> QuerySet[Any, dict[str, Any]]:
        """Return sums by metric, unit and period (of UTC), as dictionaries, in this order.

        The sum is ``total``, the number of records ``records``, the first day of the period ``starts``.
        """
        day = Cast(TruncDay("recorded_at", tzinfo=UTC), DateField())
        starts = F("period") if period == Period.MONTH else day
        return (
            self.values("metric", "unit", starts=starts)
            .annotate(total=Sum("quantity"), records=Count("*"))
            .order_by("metric", "unit", "starts")
        )


class UsageRecord(OrganizationRecord):
    """An amount of something that was consumed. It never changes; what was wrong is deleted and recorded anew.

    A machine that may send a record twice gives it an ``idempotency_key``, by which it is stored once.
    """

    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        related_name="usage_records",
        db_constraint=False,
        db_index=False,  # catalog_usage_subscription serves it
        null=True,
        blank=True,
    )
    metric = models.CharField(
        max_length=100, validators=[RegexValidator(SHAPE, SHAPE_RULE)], help_text="What was consumed: tokens.input, …"
    )
    quantity = models.DecimalField(max_digits=24, decimal_places=6, validators=[MinValueValidator(0)])
    unit = models.CharField(max_length=40, help_text="What the quantity counts: token, byte, hour, …")
    recorded_at = models.DateTimeField(db_default=Now())
    period = models.GeneratedField(
        expression=MonthOf("recorded_at"),
        output_field=DateField(),
        db_persist=True,
        help_text="The month, of UTC, that it was recorded in: its first day.",
    )
    source = models.CharField(max_length=100, blank=True, help_text="The program or machine that reported it.")
    idempotency_key = models.CharField(
        max_length=200, blank=True, help_text="By this a record that is sent twice is stored once."
    )

    objects: ClassVar = UsageRecordQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("subscription", name="catalog_usage_subscription_same_organization"),
            amount("quantity", name="catalog_usage_quantity"),
            models.CheckConstraint(
                name="catalog_usage_metric_shape",
                condition=Q(metric__regex=SHAPE),
                violation_error_message=f"“metric”: {SHAPE_RULE}",
            ),
            given("unit", name="catalog_usage_unit_given"),
            models.UniqueConstraint(
                fields=["organization", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="catalog_usage_idempotency_key",
                violation_error_message="“idempotency_key” was used already.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "recorded_at", "id"], name="catalog_usage_recorded"),
            # Sums by metric and period read this index alone.
            models.Index(
                fields=["organization", "metric", "recorded_at"],
                include=["period", "unit", "quantity"],
                name="catalog_usage_sums",
            ),
            models.Index(
                fields=["subscription", "recorded_at", "id"],
                name="catalog_usage_subscription",
                condition=Q(subscription__isnull=False),
            ),
        ]
        triggers = [
            Immutable(
                "subscription_id",
                "metric",
                "quantity",
                "unit",
                "recorded_at",
                "source",
                "idempotency_key",
                name="recorded",
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.unit} of {self.metric}"
