"""Stripe's subscriptions and ours, in step: signed, in whatever order the events come."""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Subscription
from core.models import AuditEvent, Integration, IntegrationEvent, Organization
from core.tasks import handle_integration_event
from tests.factories.catalog import SubscriptionFactory
from tests.factories.core import CONFIGS, INTEGRATION_SECRET, IntegrationFactory
from tests.kit.client import ApiClient
from tests.kit.sql import run

pytestmark = pytest.mark.django_db

CUSTOMER = CONFIGS["stripe"]["customer"]
NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)


def item(price: str = "price_1MoBy5", quantity: int = 3, **changes: Any) -> dict[str, Any]:
    of_price = {
        "id": price,
        "unit_amount": 1250,
        "unit_amount_decimal": "1250",
        "recurring": {"interval": "month", "interval_count": 1},
    }
    return {
        "quantity": quantity,
        "price": of_price | changes,
        "current_period_start": int(NOON.timestamp()),
        "current_period_end": int(NOON.timestamp()) + 30 * 86400,
    }


def event(kind: str = "updated", at: int = 0, name: str = "", **changes: Any) -> dict[str, Any]:
    """Return an event as Stripe sends it, as far as it matters here, ``at`` seconds after noon."""
    subscription = {
        "id": "sub_1",
        "object": "subscription",
        "customer": CUSTOMER,
        "status": "active",
        "currency": "eur",
        "cancel_at_period_end": False,
        "items": {"data": [item()]},
    }
    return {
        "id": name or f"evt_{kind}_{at}_{changes.get('status', '')}",
        "object": "event",
        "type": f"customer.subscription.{kind}",
        "created": int(NOON.timestamp()) + at,
        "data": {"object": subscription | changes},
    }


def signature(body: bytes, secret: str = INTEGRATION_SECRET, age: int = 0) -> str:
    """Return the header that Stripe would sign a body with, so many seconds ago."""
    at = int(time.time()) - age
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def deliver(integration: Integration, payload: Any, header: str | None = None) -> Any:
    """Send a payload as Stripe does, and return the answer."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    headers = {"Stripe-Signature": signature(body) if header is None else header}
    path = f"/api/v1/integrations/{integration.pk}/receive/"
    return ApiClient().generic("POST", path, body, "application/json", headers=headers)


def told(integration: Integration, *events: dict[str, Any]) -> list[str]:
    """Deliver events, do what their jobs would do, and return what became of each, in the order of delivery."""
    for each in events:
        assert deliver(integration, each).status_code == 202
    waiting = "SELECT args ->> 'event_id' FROM procrastinate_jobs WHERE task_name = %s ORDER BY id"
    for (event_id,) in run(waiting, handle_integration_event.name):
        handle_integration_event(event_id)
    kept = {each.delivery_id: f"{each.status}: {each.outcome}" for each in IntegrationEvent.objects.all()}
    return [kept[each["id"]] for each in events]


@pytest.fixture
def stripe(organization: Organization) -> Integration:
    return IntegrationFactory(organization=organization, provider="stripe")


def test_a_subscription_begins_changes_and_ends_as_in_stripe(stripe: Integration) -> None:
    [begun] = told(stripe, event("created", status="trialing"))
    made = Subscription.objects.get()
    assert begun == f"handled: Began subscription {made.pk}."
    assert (made.organization_id, made.external_id, made.status) == (stripe.organization_id, "sub_1", "trialing")
    assert (made.plan_tier, made.seats, made.price, made.currency) == ("pro", 3, Decimal("37.50"), "EUR")
    assert (made.billing_interval, made.current_period_start) == ("month", NOON)
    larger = {"items": {"data": [item("price_1MoBy6", 5, unit_amount_decimal="2000.5")]}}
    told(stripe, event(at=60, status="active", cancel_at_period_end=True, **larger))
    made.refresh_from_db()
    assert (made.status, made.plan_tier, made.seats, made.price) == ("active", "enterprise", 5, Decimal("100.03"))
    assert made.cancel_at_period_end
    for at, (theirs, ours) in enumerate([("past_due", "past_due"), ("active", "active"), ("unpaid", "past_due")], 90):
        told(stripe, event(at=at, status=theirs))
        made.refresh_from_db()
        assert made.status == ours
    told(stripe, event("deleted", at=120, status="canceled"))
    made.refresh_from_db()
    assert made.status == "cancelled"
    assert made.cancelled_at is not None
    events = AuditEvent.objects.filter(resource_type="subscription").order_by("timestamp")
    assert events.filter(event_type="subscription.cancel").get().details["integration"] == str(stripe.pk)


def test_events_that_come_late_change_nothing(stripe: Integration) -> None:
    """Stripe promises no order. Those of one second are put in the order in which they can only have happened."""
    newer, older, same, early = told(
        stripe,
        event("updated", at=60, status="past_due"),
        event("updated", at=30, status="active"),
        event("created", at=60, status="trialing"),
        event("created", at=0, status="trialing"),
    )
    assert newer.startswith("handled")
    assert [each.partition(":")[0] for each in (older, same, early)] == ["ignored"] * 3
    assert Subscription.objects.get().status == "past_due"


def test_an_event_is_dealt_with_once(stripe: Integration) -> None:
    first = event("created")
    assert [deliver(stripe, first).status_code for _ in range(3)] == [202, 200, 200]
    assert IntegrationEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"customer": "cus_other"}, "ignored", "another customer"),
        ({"status": "incomplete"}, "ignored", "nothing yet"),
        ({"status": "canceled"}, "ignored", "never known here"),
        ({"items": {"data": [item("price_unknown")]}}, "failed", "names no plan for price_unknown"),
        ({"items": {"data": [item(recurring={"interval": "week"})]}}, "failed", "not every 1 weeks"),
        ({"items": {"data": [item(unit_amount=None, unit_amount_decimal=None)]}}, "failed", "by tiers or by use"),
        ({"items": {"data": []}}, "failed", "names no plan"),
        ({"currency": "xyz"}, "failed", "lacks something"),
        ({"currency": None}, "failed", "lacks something"),
    ],
)
def test_what_cannot_be_followed_says_why(changes: dict[str, Any], status: str, said: str, stripe: Integration) -> None:
    [outcome] = told(stripe, event(**changes))
    assert outcome.startswith(status)
    assert said in outcome
    assert not Subscription.objects.exists()


def test_another_live_subscription_stays_and_the_event_fails(stripe: Integration) -> None:
    own = SubscriptionFactory(organization=stripe.organization, status="active")
    [outcome] = told(stripe, event("created"))
    assert outcome.startswith("failed: The organization has a subscription already")
    assert Subscription.objects.get() == own


def test_one_that_ended_here_is_not_revived(stripe: Integration) -> None:
    told(stripe, event("created"))
    run("UPDATE catalog_subscription SET status = 'cancelled', cancelled_at = now()")
    [revived, ended] = told(stripe, event(at=60), event("deleted", at=90, status="canceled"))
    assert revived == "failed: The subscription is cancelled here, and active in Stripe."
    assert ended == "ignored: The subscription has ended here already."


@pytest.mark.parametrize(
    ("currency", "amount", "expected"),
    [("jpy", "500", "1500"), ("isk", "50000", "1500"), ("kwd", "5000", "15.000"), ("usd", "999", "29.97")],
)
def test_amounts_are_in_the_currencys_own_units(currency: str, amount: str, expected: str, stripe: Integration) -> None:
    told(stripe, event(currency=currency, items={"data": [item(unit_amount_decimal=amount)]}))
    assert Subscription.objects.get().price == Decimal(expected)


def test_periods_of_older_versions_of_the_api_are_understood(stripe: Integration) -> None:
    start = int(NOON.timestamp()) - 86400
    told(stripe, event(current_period_start=start, current_period_end=start + 86400))
    assert Subscription.objects.get().current_period_end == NOON


# --- Signatures ------------------------------------------------------------------------------------

BODY = json.dumps(event()).encode()


@pytest.mark.parametrize(
    "header",
    [
        lambda: "",
        lambda: "t=1,v1=",
        lambda: signature(BODY, "whsec_another_secret"),
        lambda: signature(BODY + b" "),
        lambda: signature(BODY, age=301),
        lambda: signature(BODY).replace("v1=", "v0="),
        lambda: "nonsense",
    ],
)
def test_what_is_not_signed_or_was_signed_long_ago_is_refused(header: Any, stripe: Integration) -> None:
    answer = deliver(stripe, BODY, header())
    assert (answer.status_code, answer.json()["type"]) == (401, "/api/problems/bad_signature/")
    assert not IntegrationEvent.objects.exists()
    assert AuditEvent.objects.get(event_type="integration.refuse").resource_id == stripe.pk


def test_a_signature_of_some_minutes_ago_holds(stripe: Integration) -> None:
    assert deliver(stripe, BODY, signature(BODY, age=290)).status_code == 202


@pytest.mark.parametrize("body", [b"{}", b"[]", b"\xff", b'{"type": "customer.subscription.updated", "id": "evt"}'])
def test_what_is_signed_and_cannot_be_read_is_refused(body: bytes, stripe: Integration) -> None:
    assert deliver(stripe, body).status_code in (400, 401)
    assert not IntegrationEvent.objects.exists()


def test_other_events_are_taken_and_not_kept(stripe: Integration) -> None:
    other = event() | {"type": "invoice.paid"}
    assert deliver(stripe, other).status_code == 200
    assert not IntegrationEvent.objects.exists()
