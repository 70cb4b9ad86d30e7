"""What answers of receivers lead to, and webhooks in the API and the admin."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.encryption import reveal
from core.models import Organization, Webhook, WebhookDelivery
from core.services import webhooks
from core.services.webhooks_dispatch import dispatch, prepare
from core.services.webhooks_outcome import TRIES, WAITS, Outcome, asked_wait, settle, wait_after
from tests.core.receiver import Receiver, sends
from tests.factories.core import (
    UserFactory,
    WebhookDeliveryFactory,
    WebhookFactory,
)
from tests.kit.cast import Actor
from tests.kit.sql import run

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)


# --- Outcomes --------------------------------------------------------------------------------------


def settled(outcome: Outcome, **fields: Any) -> WebhookDelivery:
    """Return a delivery as an outcome leaves it."""
    delivery = WebhookDeliveryFactory(**fields)
    settle(delivery_id=delivery.pk, outcome=outcome)
    delivery.refresh_from_db()
    return delivery


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, "delivered"), (204, "delivered"), (299, "delivered")]
    + [(code, "pending") for code in (None, 301, 307, 400, 401, 403, 404, 422, 425, 429, 500, 503)]
    + [(410, "failed")],
)
def test_what_an_answer_leads_to(status: int | None, expected: str) -> None:
    delivery = settled(Outcome(7, status, error="" if status else "No answer."))
    assert (delivery.status, delivery.attempt_count, delivery.response_code) == (expected, 1, status)
    delivery.webhook.refresh_from_db()
    assert (delivery.webhook.failing_since is None) == (expected == "delivered")
    assert (delivery.webhook.is_active, delivery.webhook.pause_reason) == (
        (False, "gone") if status == 410 else (True, "")
    )


@pytest.mark.django_db
def test_the_tenth_try_is_the_last() -> None:
    assert settled(Outcome(1, 500), attempt_count=TRIES - 2).status == "pending"
    assert settled(Outcome(1, 500), attempt_count=TRIES - 1).status == "failed"


def test_ten_tries_take_three_days_give_or_take_a_tenth() -> None:
    assert TRIES == 10
    assert timedelta(days=2, hours=22) < sum(WAITS, timedelta()) < timedelta(days=3, hours=2)
    waits = {wait_after(Outcome(1, 500), 4, NOW) for _ in range(50)}
    assert len(waits) > 1
    assert min(waits) >= timedelta(hours=2) * 0.9
    assert max(waits) <= timedelta(hours=2) * 1.1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("Mon, 05 Oct 2026 12:10:00 GMT", 600),
        ("99999999999999", 86_400),
        ("soon", 0),
        ("", 0),
        ("-5", 0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Mon, 05 Oct 2026 12:10:00 +99999999999999999999", 0),
    ],
)
def test_retry_after_is_obeyed(text: str, seconds: int) -> None:
    assert max(asked_wait(text, NOW), timedelta(0)).total_seconds() == seconds
    assert wait_after(Outcome(1, 503, retry_after=text), 1, NOW) >= timedelta(seconds=seconds)
    assert wait_after(Outcome(1, 503, retry_after=text), 1, NOW) <= timedelta(seconds=max(seconds, 6))


@pytest.mark.django_db
def test_five_days_of_failing_pause_a_webhook_and_the_admin_tells(organization: Organization) -> None:
    failing = WebhookFactory(organization=organization, failing_since=timezone.now() - timedelta(days=5, minutes=1))
    recent = WebhookFactory(organization=organization, failing_since=timezone.now() - timedelta(days=4))
    for webhook in (failing, recent):
        settle(
            delivery_id=WebhookDeliveryFactory(webhook=webhook, organization=organization).pk, outcome=Outcome(5, 500)
        )
    failing.refresh_from_db()
    recent.refresh_from_db()
    assert ((failing.is_active, failing.pause_reason), recent.is_active) == ((False, "failing"), True)
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    index = client.get(reverse("admin:index")).content.decode()
    assert f"{failing.url}</a> of {organization} is paused" in index
    assert recent.url not in index
    client.post(reverse("admin:core_webhook_action", args=(failing.pk, "resume")))
    failing.refresh_from_db()
    assert (failing.is_active, failing.failing_since) == (True, None)


@pytest.mark.django_db
def test_five_days_after_one_failure_a_webhook_goes_on(organization: Organization) -> None:
    webhook = WebhookFactory(organization=organization, failing_since=timezone.now() - timedelta(days=6))
    settle(delivery_id=WebhookDeliveryFactory(webhook=webhook, organization=organization).pk, outcome=Outcome(5, 204))
    webhook.refresh_from_db()
    assert (webhook.is_active, webhook.failing_since) == (True, None)


@pytest.mark.django_db
def test_deliveries_are_kept_for_a_month_and_those_under_way_for_ever() -> None:
    old = timezone.now() - timedelta(days=30, minutes=1)
    outcomes = {
        "done": Outcome(1, 204),
        "given up": Outcome(1, error="Private.", final=True),
        "under way": None,
        "young": Outcome(1, 204),
    }
    made = {name: WebhookDeliveryFactory() for name in outcomes}
    for name, outcome in outcomes.items():
        if outcome:
            settle(delivery_id=made[name].pk, outcome=outcome)
        if name != "young":
            run("UPDATE core_webhookdelivery SET created_at = %s WHERE id = %s", old, made[name].pk)
    assert webhooks.forget_deliveries() == 2
    kept = {name for name, delivery in made.items() if WebhookDelivery.objects.filter(pk=delivery.pk).exists()}
    assert kept == {"under way", "young"}


# --- API and admin ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_secret_is_answered_once(owner: Actor) -> None:
    answer = owner.by_key.post("/api/v1/webhooks/", {"url": "https://hooks.example.org/", "event_types": ["task.*"]})
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert made["secret"] == reveal(Webhook.objects.get().secret)
    address = f"/api/v1/webhooks/{made['id']}/"
    assert "secret" not in owner.by_key.get(address).json()
    rotated = owner.by_key.post(f"{address}rotate-secret/").json()
    assert rotated["secret"] == reveal(Webhook.objects.get().secret) != made["secret"]
    assert reveal(Webhook.objects.get().previous_secret) == made["secret"]


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["ftp://example.org", "https://a:b@example.org", "https://", "nonsense", "https://a b"])
def test_an_address_that_is_none_is_refused_by_name(url: str, owner: Actor) -> None:
    answer = owner.by_key.post("/api/v1/webhooks/", {"url": url, "event_types": ["*"]})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "url"
    assert not Webhook.objects.exists()


@sends
def test_a_test_event_goes_to_its_webhook_alone_and_can_be_sent_again(receiver: Receiver, owner: Actor) -> None:
    one, _ = (WebhookFactory(organization=owner.organization, url=receiver.url(), event_types=["*"]) for _ in range(2))
    WebhookDelivery.objects.all().delete()
    answer = owner.by_key.post(f"/api/v1/webhooks/{one.pk}/test/")
    assert (answer.status_code, answer.json()["event_type"]) == (202, "webhook.test")
    dispatch(linger=0)
    assert len(receiver.requests) == 1
    address = f"/api/v1/webhook-deliveries/{answer.json()['id']}/"
    assert owner.by_key.get(address).json()["attempts"][0]["status"] == 204
    again = owner.by_key.post(f"{address}redeliver/")
    assert (again.status_code, again.json()["status"]) == (200, "pending")
    assert owner.by_key.post(f"{address}redeliver/").status_code == 409
    dispatch(linger=0)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [
        f"evt_{UUID(answer.json()['event']).hex}"
    ] * 2


@pytest.mark.django_db
def test_the_admin_shows_a_secret_once(organization: Organization) -> None:
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    form = {"organization": organization.pk, "url": "https://hooks.example.org/", "event_types": "task.*"}
    page = client.post(reverse("admin:core_webhook_add"), form).content.decode()
    webhook = Webhook.objects.get()
    assert reveal(webhook.secret) in page
    assert (
        reveal(webhook.secret)
        not in client.get(reverse("admin:core_webhook_change", args=(webhook.pk,))).content.decode()
    )
    rotate = reverse("admin:core_webhook_action", args=(webhook.pk, "rotate_secret"))
    page = client.post(rotate).content.decode()
    webhook.refresh_from_db()
    assert reveal(webhook.secret) in page


@pytest.mark.django_db
def test_what_is_switched_off_meanwhile_is_not_sent() -> None:
    delivery = WebhookDeliveryFactory(webhook__is_active=False)
    assert prepare(delivery.pk) is None
