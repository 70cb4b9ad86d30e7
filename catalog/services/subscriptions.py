"""Subscriptions: begun, renewed, fallen due, ended."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from catalog.models import BillingInterval, Subscription, SubscriptionStatus
from core import audit
from core.errors import ConflictError
from core.models import Organization, PlanTier


@transaction.atomic
def start_subscription(
    *,
    organization_id: UUID,
    plan_tier: PlanTier | str,
    price: Decimal,
    currency: str,
    status: SubscriptionStatus | str = SubscriptionStatus.ACTIVE,
    billing_interval: BillingInterval | str = BillingInterval.MONTH,
    current_period_start: datetime | None = None,
    current_period_end: datetime | None = None,
    **fields: Any,
) -> Subscription:
    """Begin a subscription, now and for one billing interval unless told otherwise.

    Raises ConflictError, code ``already_subscribed``, while another one is live.
    """
    # Two who begin at once take turns here, so that the second one is told kindly.
    Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    if live := Subscription.objects.for_organization(organization_id).live().first():
        raise ConflictError(f"The organization has a subscription already: {live}.", code="already_subscribed")
    start = current_period_start or timezone.now()
    return Subscription.objects.create(
        organization_id=organization_id,
        plan_tier=plan_tier,
        price=price,
        currency=currency,
        status=status,
        billing_interval=billing_interval,
        current_period_start=start,
        current_period_end=current_period_end or BillingInterval(billing_interval).after(start),
        **fields,
    )


@transaction.atomic
def activate_subscription(*, subscription: Subscription) -> Subscription:
    """Note that the subscription is paid for. Raises TransitionConflictError unless it is trialing or past due."""
    return Subscription.lifecycle.move(subscription, "activate")


@transaction.atomic
def mark_past_due(*, subscription: Subscription) -> Subscription:
    """Note that a payment is missing. Raises TransitionConflictError unless it is trialing or active."""
    return Subscription.lifecycle.move(subscription, "fall_due")


@transaction.atomic
def renew_subscription(*, subscription: Subscription) -> Subscription:
    """Begin the next period where the present one ends; or cancel the subscription, if it was to end with it.

    Raises ConflictError, code ``transition_conflict``, when the subscription has ended.
    """
    subscription = Subscription.objects.select_for_update().get(pk=subscription.pk)
    if not subscription.is_live:
        raise ConflictError(
            f"Can't renew this subscription: it is “{subscription.status}”.", code="transition_conflict", field="status"
        )
    if subscription.cancel_at_period_end:
        return Subscription.lifecycle.move(subscription, "cancel")
    start = subscription.current_period_end
    subscription.current_period_start = start
    subscription.current_period_end = BillingInterval(subscription.billing_interval).after(start)
    subscription.save(update_fields=["current_period_start", "current_period_end"])
    subscription.refresh_from_db()
    return subscription


@transaction.atomic
def cancel_subscription(*, subscription: Subscription, at_period_end: bool = False, reason: str = "") -> Subscription:
    """End the subscription, at once or when its period does. Raises TransitionConflictError when it has ended."""
    if reason:
        audit.because(reason)
    if not at_period_end:
        return Subscription.lifecycle.move(subscription, "cancel")
    if not Subscription.objects.live().filter(pk=subscription.pk).update(cancel_at_period_end=True):
        Subscription.lifecycle.move(subscription, "cancel")  # refuses, in its own words
    subscription.refresh_from_db()
    return subscription


@transaction.atomic
def expire_subscription(*, subscription: Subscription) -> Subscription:
    """Note that the subscription ran out. Raises TransitionConflictError when it has ended."""
    return Subscription.lifecycle.move(subscription, "expire")
