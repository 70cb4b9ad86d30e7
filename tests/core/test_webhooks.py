"""Webhooks: what committed is told, signed, in order, again until it arrives; what was rolled back never is."""

import json
import time
from collections import Counter
from datetime import datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import transaction
from standardwebhooks import Webhook as Verifier

from agents.models import Project
from core import encryption
from core.encryption import UnreadableSecretError, reveal
from core.models import AuditEvent, Organization, Webhook, WebhookDelivery
from core.services import webhooks
from core.services.webhooks_dispatch import ANSWER_SECONDS, claim, dispatch
from tests.core.receiver import Received, Receiver, receiving, sends
from tests.factories.agents.projects import ProjectFactory
from tests.factories.core import (
    WEBHOOK_SECRET,
    OrganizationFactory,
    WebhookDeliveryFactory,
    WebhookFactory,
)
from tests.kit.cast import Actor
from tests.kit.sql import refused, run


@pytest.fixture
def _open(settings: Any) -> None:
    """The operator lets requests come to this machine."""
    settings.OUTBOUND_ALLOW = [ip_network("127.0.0.0/8")]


def deliveries(webhook: Webhook) -> list[tuple[str, str]]:
    """Return the event types and statuses of a webhook's deliveries, oldest first."""
    rows = WebhookDelivery.objects.filter(webhook=webhook).order_by("id")
    return list(rows.values_list("event_type", "status"))


def make_due() -> None:
    """Let every wait be over, as if time had passed."""
    run("UPDATE core_webhookdelivery SET next_attempt_at = now() WHERE status = 'pending'")


# --- What the database notes -----------------------------------------------------------------------


@pytest.mark.django_db
def test_raw_sql_is_told_too_and_a_change_rolled_back_is_not(organization: Organization) -> None:
    webhook = WebhookFactory(organization=organization, event_types=["project.*"])
    project = ProjectFactory(organization=organization)
    run("UPDATE agents_project SET name = 'By hand' WHERE id = %s", project.pk)
    with transaction.atomic():
        run("UPDATE agents_project SET name = 'Never' WHERE id = %s", project.pk)
        transaction.set_rollback(True)
    assert deliveries(webhook) == [("project.create", "pending"), ("project.update", "pending")]
    told = WebhookDelivery.objects.get(event_type="project.update")
    assert told.event.new_value == {"name": "By hand"}
    assert (told.resource_id, told.organization_id) == (project.pk, organization.pk)
    # And somebody is asked to send them: once, though there were two.
    assert run("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'core.tasks.dispatch_webhooks'") == [(1,)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("patterns", "expected"),
    [(["*"], 1), (["project.*"], 1), (["task.*", "project.create"], 1), (["project.update"], 0), (["projects.*"], 0)],
)
def test_who_is_told_is_a_matter_of_patterns(patterns: list[str], expected: int, organization: Organization) -> None:
    webhook = WebhookFactory(organization=organization, event_types=patterns)
    WebhookDelivery.objects.all().delete()
    ProjectFactory(organization=organization, squad=None)
    ProjectFactory(organization=OrganizationFactory())
    told = [event for event, _ in deliveries(webhook) if event.startswith("project.")]
    assert len(told) == expected


@pytest.mark.django_db
def test_a_webhook_that_is_off_is_told_nothing(organization: Organization) -> None:
    webhook = WebhookFactory(organization=organization, event_types=["*"], is_active=False)
    ProjectFactory(organization=organization)
    assert deliveries(webhook) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("url", "ftp://example.org/", "core_webhook_url_shape"),
        ("url", "https://user:pass@example.org/", "core_webhook_url_shape"),
        ("url", "https://", "core_webhook_url_shape"),
        ("event_types", [], "core_webhook_event_types_shape"),
        ("event_types", ["task"], "core_webhook_event_types_shape"),
        ("event_types", ["task.* *"], "core_webhook_event_types_shape"),
        ("event_types", ["*.complete"], "core_webhook_event_types_shape"),
        ("pause_reason", "failing", "core_webhook_paused"),
        ("url", "https://bücher.example/", "core_webhook_url_shape"),
        ("url", "https://example.org:999999/", "core_webhook_url_shape"),
        ("secret", "", "core_webhook_secret_given"),
        ("secret", "whsec_cGxhaW4=", "core_webhook_secret_encrypted"),
        ("previous_secret", "whsec_cGxhaW4=", "core_webhook_previous_secret_encrypted"),
    ],
)
def test_the_database_refuses(column: str, value: Any, rule: str) -> None:
    WebhookFactory()
    assert refused(f"UPDATE core_webhook SET {column} = %s", value) == rule


@pytest.mark.django_db
def test_an_event_goes_to_a_webhook_once_and_never_across_organizations() -> None:
    delivery = WebhookDeliveryFactory()
    columns = "organization_id, webhook_id, event_id, event_type, status, attempt_count"
    again = f"INSERT INTO core_webhookdelivery ({columns}) SELECT {columns} FROM core_webhookdelivery"
    assert refused(again) == "core_webhookdelivery_once"
    other = OrganizationFactory()
    stray = f"INSERT INTO core_webhookdelivery ({columns}) VALUES (%s, %s, muster_uuid7(), 'a.b', 'pending', 0)"
    assert refused(stray, other.pk, delivery.webhook_id) == "core_webhookdelivery_same_organization"
    assert refused("UPDATE core_webhookdelivery SET status = 'failed'") == "core_webhookdelivery_when_due"


# --- Secrets ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_secret_is_encrypted_in_the_database_and_redacted_in_the_log() -> None:
    webhook = WebhookFactory()
    [(stored,)] = run("SELECT secret FROM core_webhook")
    assert stored.startswith("gAAAAA")
    assert reveal(Webhook.objects.get().secret) == reveal(webhook.secret) == WEBHOOK_SECRET
    assert WEBHOOK_SECRET not in repr(webhook) + str(webhook)
    webhooks.rotate_secret(webhook=webhook)
    events = str(run("SELECT old_value, new_value FROM core_auditevent WHERE resource_type = 'webhook'"))
    assert "[redacted]" in events
    assert "whsec_" not in events
    assert "gAAAAA" not in events


@pytest.mark.django_db
def test_keys_rotate(settings: Any) -> None:
    first, second = (encryption.base64.urlsafe_b64encode(bytes([number] * 32)).decode() for number in (1, 2))
    settings.ENCRYPTION_KEYS = [first]
    WebhookFactory()
    settings.ENCRYPTION_KEYS = [second, first]
    assert reveal(Webhook.objects.get().secret) == WEBHOOK_SECRET
    assert encryption.rotate() == 1
    settings.ENCRYPTION_KEYS = [second]
    assert reveal(Webhook.objects.get().secret) == WEBHOOK_SECRET
    settings.ENCRYPTION_KEYS = [first]
    lost = Webhook.objects.get()
    with pytest.raises(UnreadableSecretError):
        lost.signing_secrets()
    with pytest.raises(UnreadableSecretError, match="No key decrypts “secret”"):
        encryption.rotate()
    assert webhooks.rotate_secret(webhook=lost) == reveal(lost.secret)


@sends
def test_a_message_is_signed_and_shows_the_event_and_its_object(receiver: Receiver, owner: Actor) -> None:
    webhook = WebhookFactory(organization=owner.organization, url=receiver.url(), event_types=["project.create"])
    project = ProjectFactory(organization=owner.organization, name="Orbit")
    dispatch(linger=0)
    [request] = receiver.requests
    message = Verifier(WEBHOOK_SECRET).verify(request.body, request.headers)
    event = AuditEvent.objects.get(event_type="project.create")
    assert message["type"] == "project.create"
    assert datetime.fromisoformat(message["timestamp"]) == event.timestamp
    assert message["data"]["event"] == owner.by_key.get(f"/api/v1/audit-events/{event.pk}/").json()
    shown = owner.by_key.get(f"/api/v1/projects/{project.pk}/").json()
    assert message["data"]["object"].items() <= shown.items()
    assert message["data"]["object"]["name"] == "Orbit"
    assert request.headers["webhook-id"] == f"evt_{event.pk.hex}"
    assert deliveries(webhook) == [("project.create", "delivered")]
    delivery = WebhookDelivery.objects.get()
    assert (delivery.attempt_count, delivery.response_code) == (1, 204)
    assert [attempt["status"] for attempt in delivery.attempts] == [204]


@sends
def test_for_a_day_both_secrets_sign(receiver: Receiver, organization: Organization) -> None:
    webhook = WebhookFactory(organization=organization, url=receiver.url())
    secret = webhooks.rotate_secret(webhook=webhook)
    webhooks.send_test(webhook=webhook)
    dispatch(linger=0)
    for each in (secret, WEBHOOK_SECRET):
        Verifier(each).verify(receiver.requests[0].body, receiver.requests[0].headers)
    run("UPDATE core_webhook SET previous_secret_until = now()")
    webhooks.send_test(webhook=webhook)
    dispatch(linger=0)
    assert len(receiver.requests[1].headers["webhook-signature"].split()) == 1


@sends
@pytest.mark.usefixtures("_open")
def test_what_is_sent_again_is_the_same_message(organization: Organization) -> None:
    answers = iter([500, 200])
    with receiving(lambda request: (next(answers), {}, b"not now")) as flaky:
        WebhookFactory(organization=organization, url=flaky.url(), event_types=["project.create"])
        project = ProjectFactory(organization=organization)
        dispatch(linger=0)
        Project.objects.filter(pk=project.pk).update(name="Later")
        make_due()
        dispatch(linger=0)
    first, second = flaky.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    delivery = WebhookDelivery.objects.get()
    assert [(each["status"], each["excerpt"]) for each in delivery.attempts] == [(500, "not now"), (200, "not now")]


@sends
@pytest.mark.usefixtures("_open")
def test_events_of_one_object_arrive_in_order_and_others_go_on(organization: Organization) -> None:
    """The first event of one project fails: what follows on that project waits, and the other project doesn't."""
    broken: list[UUID] = []

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        return (500 if json.loads(request.body)["data"]["event"]["resource_id"] in map(str, broken) else 204), {}, b""

    with receiving(answer) as flaky:
        WebhookFactory(organization=organization, url=flaky.url(), event_types=["project.*"])
        one, other = ProjectFactory(organization=organization), ProjectFactory(organization=organization)
        broken.append(one.pk)
        for number in range(3):
            Project.objects.update(description=f"Version {number}")
        dispatch(linger=0)
        told = [json.loads(request.body) for request in flaky.requests]
        assert [each["type"] for each in told if each["data"]["event"]["resource_id"] == str(one.pk)] == [
            "project.create"
        ]
        names = [each["data"]["event"]["new_value"]["description"] for each in told if each["type"] == "project.update"]
        assert names == ["Version 0", "Version 1", "Version 2"]
        assert {each["data"]["event"]["resource_id"] for each in told if each["type"] == "project.update"} == {
            str(other.pk)
        }
        broken.clear()
        make_due()
        dispatch(linger=0)
    last = [json.loads(request.body)["data"]["event"]["new_value"]["description"] for request in flaky.requests[-3:]]
    assert last == ["Version 0", "Version 1", "Version 2"]
    assert not WebhookDelivery.objects.exclude(status="delivered").exists()


@sends
def test_a_slow_receiver_does_not_hold_up_the_others(receiver: Receiver, organization: Organization) -> None:
    def slow_to_answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        """Wait for the others' messages, nearly as long as is waited for an answer."""
        limit = time.monotonic() + 0.8 * ANSWER_SECONDS
        while len(receiver.requests) < 12 and time.monotonic() < limit:
            time.sleep(0.01)
        return 204, {}, b""

    with receiving(slow_to_answer) as slow:
        for number in range(3):
            WebhookFactory(organization=organization, url=slow.url(f"/{number}"), event_types=["project.create"])
        WebhookFactory(organization=organization, url=receiver.url(), event_types=["project.create"])
        for _ in range(12):
            ProjectFactory(organization=organization)
        dispatch(linger=0)
    assert (len(receiver.requests), len(slow.requests)) == (12, 36)
    third_wave = sorted(request.at for request in slow.requests)[24]  # of four for each of three webhooks
    assert max(request.at for request in receiver.requests) < third_wave
    assert not WebhookDelivery.objects.exclude(status="delivered").exists()


@sends
def test_the_next_dispatcher_begins_though_the_last_one_s_connection_is_there(
    receiver: Receiver, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is for a while after this end has closed it."""
    WebhookFactory(organization=organization, url=receiver.url(), event_types=["project.create"])
    there: list[psycopg.Connection[Any]] = []

    def close_later(connection: psycopg.Connection[Any]) -> None:
        there.append(connection)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "close", close_later)
        for number in (1, 2):
            ProjectFactory(organization=organization)
            dispatch(linger=0)
            assert len(receiver.requests) == number
    for connection in there:
        connection.close()


@sends
def test_a_delivery_that_breaks_us_breaks_no_other(receiver: Receiver, organization: Organization) -> None:
    unsignable = WebhookFactory(
        organization=organization, url=receiver.url(), secret="whsec_x", event_types=["project.create"]
    )
    calendar = {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}
    with receiving(lambda request: (503, calendar, b"")) as odd:
        later = WebhookFactory(organization=organization, url=odd.url(), event_types=["project.create"])
        WebhookFactory(organization=organization, url=receiver.url("/good"), event_types=["project.create"])
        ProjectFactory(organization=organization)
        dispatch(linger=0)
    assert [request.path for request in receiver.requests] == ["/good"]
    [broken, asked] = (WebhookDelivery.objects.filter(webhook=each).latest("id") for each in (unsignable, later))
    assert (broken.attempts[-1]["error"], broken.attempt_count) == ("Muster failed to send it: its log tells why.", 1)
    assert (asked.attempts[-1]["status"], asked.attempt_count) == (503, 1)


@pytest.mark.django_db
def test_a_place_that_gets_free_goes_to_who_has_fewest(organization: Organization) -> None:
    webhooks = [WebhookFactory(organization=organization, event_types=["project.create"]) for _ in range(3)]
    ProjectFactory(organization=organization)
    make_due()
    busy = Counter({webhooks[0].pk: 3, webhooks[2].pk: 1})
    assert [webhook for _, webhook in claim(busy, 1)] == [webhooks[1].pk]
    assert [webhook for _, webhook in claim(busy, 1)] == [webhooks[2].pk]


@sends
def test_a_private_address_is_not_reached_and_not_tried_again(organization: Organization) -> None:
    with receiving() as inside:
        WebhookFactory(organization=organization, url=inside.url(), event_types=["project.create"])
        ProjectFactory(organization=organization)
        dispatch(linger=0)
    delivery = WebhookDelivery.objects.get()
    assert delivery.status == "failed"
    assert delivery.attempts[-1]["error"] == "The host leads to an address that isn't public."
    assert inside.requests == []
