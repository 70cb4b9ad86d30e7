"""Stripe: the organization's subscription there, and the one here, kept in step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.db.models import Q

from catalog.currencies import DIGITS
from catalog.models import BillingInterval, Subscription, SubscriptionStatus
from catalog.models.subscriptions import LIVE
from catalog.services.subscriptions import start_subscription
from core.errors import ConflictError
from core.integrations.receivers import BadSignatureError, IgnoredError, Message, UnreadableMessageError
from core.models import Integration, IntegrationEvent

TOLERANCE_SECONDS = 300  # how old a signature may be: Stripe's own libraries' limit
CREATED = "customer.subscription.created"
DELETED = "customer.subscription.deleted"
# In the order in which those of one second happened.
EVENTS = [
    CREATED,
    *(f"customer.subscription.{verb}" for verb in ("updated", "trial_will_end", "paused", "resumed")),
    DELETED,
]
STATUSES = {
    "trialing": SubscriptionStatus.TRIALING,
    "active": SubscriptionStatus.ACTIVE,
    "past_due": SubscriptionStatus.PAST_DUE,
    "unpaid": SubscriptionStatus.PAST_DUE,
    "paused": SubscriptionStatus.PAST_DUE,
    "canceled": SubscriptionStatus.CANCELLED,
    "incomplete_expired": SubscriptionStatus.EXPIRED,
}
MOVES = {
    SubscriptionStatus.ACTIVE: "activate",
    SubscriptionStatus.PAST_DUE: "fall_due",
    SubscriptionStatus.CANCELLED: "cancel",
    SubscriptionStatus.EXPIRED: "expire",
}
# In which Stripe differs from ISO 4217 (docs.stripe.com, “Supported currencies”: zero-decimal and special cases).
MINOR_DIGITS = {**DIGITS, "ISK": 2, "UGX": 2, "MGA": 0}


class StripeReceiver:
    """Understands Stripe's webhooks, about subscriptions. Their signatures are verified by Stripe's own library."""

    def read(self, *, body: bytes, headers: Mapping[str, str], secret: str) -> Message | None:
        """Return the message of a request; None when it isn't about a subscription."""
        # Here, because it takes half a second to load, and most processes never need it.
        from stripe import SignatureVerificationError, WebhookSignature

        try:
            text = body.decode()
            WebhookSignature.verify_header(text, headers.get("Stripe-Signature", ""), secret, TOLERANCE_SECONDS)
        except (SignatureVerificationError, UnicodeDecodeError) as error:
            raise BadSignatureError(
                "“Stripe-Signature” isn't the body's signature with the integration's secret, or is over 5 minutes old."
            ) from error
        try:
            event = orjson.loads(body)
            kind, name = str(event["type"]), str(event["id"])
            if kind not in EVENTS:
                return None
            occurred_at = datetime.fromtimestamp(event["created"], UTC)
            return Message(name[:200], kind, event, str(event["data"]["object"]["id"])[:200], occurred_at)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise UnreadableMessageError("The body is no event of Stripe's.") from error

    def handle(self, *, integration: Integration, event: IntegrationEvent) -> str:
        """Begin, change or end the subscription as Stripe says, unless something newer was said already."""
        told = event.payload["data"]["object"]
        if told.get("customer") != integration.config["customer"]:
            raise IgnoredError("It is about another customer.")
        if is_outdated(event):
            raise IgnoredError("Something newer about the subscription was dealt with before.")
        status = STATUSES.get(told.get("status"))
        if status is None:
            raise IgnoredError(f"In Stripe the subscription is “{told.get('status')}”, which is nothing yet.")
        rows = Subscription.objects.for_organization(integration.organization_id).filter(external_id=event.subject)
        subscription = rows.select_for_update().first()
        if subscription is None:
            if status not in LIVE:
                raise IgnoredError("The subscription has ended, and was never known here.")
            state = State.of(told, integration.config["plans"])
            made = start_subscription(
                organization_id=integration.organization_id, status=status, external_id=event.subject, **vars(state)
            )
            return f"Began subscription {made.pk}."
        return follow(subscription, status, told, integration.config["plans"])


def follow(subscription: Subscription, status: SubscriptionStatus, told: dict[str, Any], plans: dict[str, str]) -> str:
    """Bring a subscription to what Stripe says of it, and return what was done.

    Raises IgnoredError when nothing is to be done, ConflictError when it has ended here and not there.
    """
    if not subscription.is_live:
        if status in LIVE:
            raise ConflictError(f"The subscription is {subscription.status} here, and {status} in Stripe.")
        raise IgnoredError("The subscription has ended here already.")
    if status not in LIVE:
        Subscription.lifecycle.move(subscription, MOVES[status])
        return f"Subscription {subscription.pk} is {status} now."
    Subscription.objects.filter(pk=subscription.pk).update(**vars(State.of(told, plans)))
    if status != subscription.status:
        if status == SubscriptionStatus.TRIALING:
            raise ConflictError(f"The subscription is {subscription.status} here, and on trial in Stripe.")
        Subscription.lifecycle.move(subscription, MOVES[status])
    return f"Changed subscription {subscription.pk}, which is {status}."


def is_outdated(event: IntegrationEvent) -> bool:
    """Tell whether a later event about the same subscription was dealt with: Stripe sends them in no order."""
    later = EVENTS[EVENTS.index(event.event_type) + 1 :]
    newer = Q(occurred_at__gt=event.occurred_at) | Q(occurred_at=event.occurred_at, event_type__in=later)
    others = IntegrationEvent.objects.filter(
        newer, integration=event.integration_id, subject=event.subject, status="handled"
    )
    return others.exists()


@dataclass(frozen=True)
class State:
    """What Stripe says of a subscription, in the words of ours."""

    plan_tier: str
    seats: int
    price: Decimal
    currency: str
    billing_interval: str
    current_period_start: datetime
    current_period_end: datetime
    cancel_at_period_end: bool

    @classmethod
    def of(cls, told: Mapping[str, Any], plans: Mapping[str, str]) -> "State":
        """Return it.

        Raises:
            ValidationError: it is sold at a price that no plan is named for, or in a way that we have no words for.
            UnreadableMessageError: it isn't what Stripe is known to send.
        """
        try:
            items = told["items"]["data"]
            tiers = [plans[item["price"]["id"]] for item in items if item["price"]["id"] in plans]
            if not tiers:
                names = ", ".join(str(item["price"]["id"]) for item in items)
                raise ValidationError(f"“config.plans” names no plan for {names}.", code="unknown_plan")
            currency = str(told["currency"]).upper()
            first = items[0]
            return cls(
                plan_tier=tiers[0],
                seats=max(1, sum(int(item.get("quantity") or 1) for item in items if item["price"]["id"] in plans)),
                price=sum((amount_of(item, currency) for item in items), Decimal(0)),
                currency=currency,
                billing_interval=_interval(first["price"]["recurring"]),
                # Since Stripe's API of 2025-03-31 the periods are the items'.
                current_period_start=_time(told.get("current_period_start") or first["current_period_start"]),
                current_period_end=_time(told.get("current_period_end") or first["current_period_end"]),
                cancel_at_period_end=bool(told.get("cancel_at_period_end")),
            )
        except (KeyError, TypeError, IndexError, ValueError, ArithmeticError) as error:
            raise UnreadableMessageError(
                f"The subscription lacks something, or says it otherwise: {error!r}."
            ) from error


def amount_of(item: Mapping[str, Any], currency: str) -> Decimal:
    """Return what an item costs in a billing interval, in the currency's main unit."""
    price = item["price"]
    each = price.get("unit_amount_decimal") or price.get("unit_amount")
    if each is None:
        raise ValidationError("The price is by tiers or by use, which a subscription has no field for.", code="tiered")
    amount = Decimal(str(each)) * int(item.get("quantity") or 1)
    digits = DIGITS[currency]
    return (amount / 10 ** MINOR_DIGITS[currency]).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _interval(recurring: Mapping[str, Any]) -> str:
    interval, count = recurring["interval"], int(recurring.get("interval_count", 1))
    months = {"month": 1, "year": 12}.get(interval, 0) * count
    if months not in (1, 12):
        raise ValidationError(
            f"A subscription is billed by the month or year, and not every {count} {interval}s.", code="interval"
        )
    return BillingInterval.MONTH if months == 1 else BillingInterval.YEAR


def _time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
