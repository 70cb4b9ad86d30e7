"""Subscriptions: what an organization pays for again and again."""

import calendar
from datetime import MAXYEAR, datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from catalog.models.fields import CurrencyField, MoneyField, implies, money
from core.constraints import between, one_of
from core.errors import ConflictError
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord, PlanTier, RecordQuerySet


class SubscriptionStatus(models.TextChoices):
    """Whether a subscription is in force, and paid for."""

    TRIALING = "trialing", "Trialing"
    ACTIVE = "active", "Active"
    PAST_DUE = "past_due", "Past due"
    CANCELLED = "cancelled", "Cancelled"
    EXPIRED = "expired", "Expired"


TRIALING, ACTIVE, PAST_DUE, CANCELLED, EXPIRED = SubscriptionStatus.values
LIVE = [ACTIVE, PAST_DUE, TRIALING]


class BillingInterval(models.TextChoices):
    """How long a period lasts."""

    MONTH = "month", "Month"
    YEAR = "year", "Year"

    def after(self, start: datetime) -> datetime:
        """Return the end of the period that begins at ``start``: the same day, or the month's last if it has none.

        Raises ConflictError where that is after all dates.
        """
        months = start.month if self == BillingInterval.MONTH else start.month + 11
        year, month = start.year + months // 12, months % 12 + 1
        if year > MAXYEAR:
            raise ConflictError(f"The period would end after the year {MAXYEAR}.", field="current_period_end")
        return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


class SubscriptionQuerySet(RecordQuerySet):
    """Reads of subscriptions."""

    def live(self) -> Self:
        """Return the subscriptions in force: trialing, active or past due."""
        return self.filter(status__in=LIVE)


class Subscription(OrganizationRecord):
    """An organization's plan, from one billing period to the next. At most one is live."""

    lifecycle = Lifecycle(
        Transition("activate", {TRIALING, PAST_DUE}, ACTIVE),
        Transition("fall_due", {TRIALING, ACTIVE}, PAST_DUE),
        Transition("cancel", {TRIALING, ACTIVE, PAST_DUE}, CANCELLED, stamp="cancelled_at"),
        Transition("expire", {TRIALING, ACTIVE, PAST_DUE}, EXPIRED, stamp="expired_at"),
    )

    plan_tier = models.CharField(max_length=20, choices=PlanTier)
    status = models.CharField(max_length=20, choices=SubscriptionStatus, default=SubscriptionStatus.TRIALING)
    seats = models.PositiveIntegerField(default=1)
    price = MoneyField(help_text="For one billing interval, all seats together.")
    currency = CurrencyField()
    billing_interval = models.CharField(max_length=10, choices=BillingInterval, default=BillingInterval.MONTH)
    current_period_start = models.DateTimeField(db_default=Now())
    current_period_end = models.DateTimeField()
    cancel_at_period_end = models.BooleanField(
        default=False, help_text="The subscription ends with its period; it isn't renewed."
    )
    external_id = models.CharField(max_length=200, blank=True, help_text="Its name in the payment provider's system.")
    cancelled_at = models.DateTimeField(null=True, blank=True, editable=False)
    expired_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar = SubscriptionQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            *money("subscription", "price"),
            one_of("status", SubscriptionStatus, name="catalog_subscription_status"),
            one_of("plan_tier", PlanTier, name="catalog_subscription_plan_tier"),
            one_of("billing_interval", BillingInterval, name="catalog_subscription_billing_interval"),
            between("seats", 1, name="catalog_subscription_seats"),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(status__in=LIVE),
                name="catalog_subscription_one_live",
                violation_error_message="The organization has a live subscription already.",
            ),
            models.UniqueConstraint(
                fields=["organization", "external_id"],
                condition=~Q(external_id=""),
                name="catalog_subscription_external_id",
                violation_error_message="“external_id” belongs to another subscription already.",
            ),
            models.CheckConstraint(
                name="catalog_subscription_period",
                condition=Q(current_period_end__gt=F("current_period_start")),
                violation_error_message="“current_period_end” must be after “current_period_start”.",
            ),
            *(
                constraint
                for status in (CANCELLED, EXPIRED)
                for constraint in (
                    implies(
                        Q(status=status),
                        Q(**{f"{status}_at__isnull": False}),
                        name=f"catalog_subscription_{status}_has_time",
                        message=f"A subscription that is {status} has “{status}_at”.",
                    ),
                    implies(
                        Q(**{f"{status}_at__isnull": False}),
                        Q(status=status),
                        name=f"catalog_subscription_{status}_time_fits",
                        message=f"“{status}_at” is for subscriptions that are {status}.",
                    ),
                )
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            # What is to be renewed, or to end, next.
            models.Index(
                fields=["current_period_end", "id"], name="catalog_subscription_due", condition=Q(status__in=LIVE)
            ),
        ]

    def __str__(self) -> str:
        return f"{PlanTier(self.plan_tier).label} ({self.status})"

    @property
    def is_live(self) -> bool:
        """Tell whether the subscription is in force."""
        return self.status in LIVE
