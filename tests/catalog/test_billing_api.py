"""Subscriptions and usage over HTTP."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import BillingInterval, Subscription, UsageRecord
from core.models import AuditEvent, Organization
from tests.catalog.conftest import path_of
from tests.factories.catalog import SubscriptionFactory, UsageRecordFactory
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db

SUBSCRIPTIONS, USAGE = "/api/v1/subscriptions/", "/api/v1/usage-records/"
SUMMARY = f"{USAGE}summary/"
NEW = {"plan_tier": "pro", "price": "99", "currency": "EUR", "seats": 5}
TOKENS = {"metric": "tokens.input", "quantity": "1000", "unit": "token"}
Proof = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def subscription(organization: Organization) -> Subscription:
    return SubscriptionFactory(organization=organization)


# --- Subscriptions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "start", "end"),
    [
        ("month", "2026-01-31T10:00:00Z", "2026-02-28T10:00:00+00:00"),
        ("month", "2026-12-05T10:00:00Z", "2027-01-05T10:00:00+00:00"),
        ("year", "2024-02-29T00:00:00Z", "2025-02-28T00:00:00+00:00"),
        ("year", "2026-11-22T00:00:00Z", "2027-11-22T00:00:00+00:00"),
    ],
)
def test_a_subscription_begins_for_one_interval(interval: str, start: str, end: str, admin: Actor) -> None:
    body = NEW | {"billing_interval": interval, "current_period_start": start}
    answer = admin.by_key.post(SUBSCRIPTIONS, body)
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["status"], answer.json()["current_period_end"]) == ("active", end)


def test_a_subscription_begins_now_unless_told_otherwise(admin: Actor) -> None:
    made = admin.by_key.post(SUBSCRIPTIONS, NEW).json()
    start = datetime.fromisoformat(made["current_period_start"])
    assert abs(start - datetime.now(tz=UTC)) < timedelta(minutes=1)
    assert datetime.fromisoformat(made["current_period_end"]) == BillingInterval.MONTH.after(start)


def test_one_subscription_at_a_time(admin: Actor, subscription: Subscription, writes_nothing: Proof) -> None:
    client = admin.by_key
    with writes_nothing():
        answer = client.post(SUBSCRIPTIONS, NEW)
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/already_subscribed/")
    assert client.post(path_of(subscription, "cancel")).json()["status"] == "cancelled"
    assert client.post(SUBSCRIPTIONS, NEW).status_code == 201


@pytest.mark.parametrize(
    "change",
    [
        {"seats": 0},
        {"price": "-1"},
        {"price": "0.001"},
        {"currency": "XXX"},
        {"plan_tier": "gold"},
        {"status": "past_due"},
        {"billing_interval": "week"},
        {"current_period_start": "2026-02-01T00:00:00Z", "current_period_end": "2026-01-01T00:00:00Z"},
    ],
)
def test_a_wrong_subscription_is_refused(change: dict[str, Any], admin: Actor, writes_nothing: Proof) -> None:
    client = admin.by_key
    with writes_nothing():
        assert client.post(SUBSCRIPTIONS, NEW | change).status_code == 400


def test_a_subscription_moves(admin: Actor, subscription: Subscription) -> None:
    client = admin.by_key
    assert client.post(path_of(subscription, "activate")).status_code == 409
    assert client.post(path_of(subscription, "mark-past-due")).json()["status"] == "past_due"
    assert client.post(path_of(subscription, "activate")).json()["status"] == "active"
    expired = client.post(path_of(subscription, "expire")).json()
    assert (expired["status"], expired["expired_at"] is not None) == ("expired", True)
    for action in ("activate", "mark-past-due", "renew", "cancel", "expire"):
        answer = client.post(path_of(subscription, action))
        assert answer.status_code == 409, action
        assert "expired" in answer.json()["detail"]


def test_renewing_begins_the_next_period(admin: Actor, subscription: Subscription) -> None:
    renewed = admin.by_key.post(path_of(subscription, "renew")).json()
    assert renewed["current_period_start"] == "2026-12-01T00:00:00+00:00"
    assert renewed["current_period_end"] == "2027-01-01T00:00:00+00:00"


def test_a_subscription_ends_with_its_period(admin: Actor, subscription: Subscription) -> None:
    client = admin.by_key
    answer = client.post(path_of(subscription, "cancel"), {"at_period_end": True, "reason": "too dear"})
    assert (answer.json()["status"], answer.json()["cancel_at_period_end"]) == ("active", True)
    event = AuditEvent.objects.about(subscription).first()
    assert event is not None
    assert event.details["reason"] == "too dear"
    assert client.post(path_of(subscription, "renew")).json()["status"] == "cancelled"
    assert client.post(path_of(subscription, "cancel"), {"at_period_end": True}).status_code == 409


@pytest.mark.parametrize("role", ["teammate", "viewer", "customer"])
def test_only_admins_change_subscriptions(
    role: str, request: pytest.FixtureRequest, subscription: Subscription, writes_nothing: Proof
) -> None:
    client = request.getfixturevalue(role).by_key
    with writes_nothing():
        answers = [client.post(SUBSCRIPTIONS, NEW), client.patch(path_of(subscription), {"seats": 2})]
        answers += [
            client.post(path_of(subscription, action))
            for action in ("activate", "mark-past-due", "renew", "cancel", "expire")
        ]
    assert {answer.status_code for answer in answers} == {403}


def test_a_stranger_reaches_no_subscription_of_ours(
    stranger: Actor, subscription: Subscription, writes_nothing: Proof
) -> None:
    client = stranger.by_key
    with writes_nothing():
        assert client.get(path_of(subscription)).status_code == 404
        assert client.post(path_of(subscription, "cancel")).status_code == 404


def test_seats_and_price_change(admin: Actor, subscription: Subscription) -> None:
    changed = admin.by_key.patch(path_of(subscription), {"seats": 7, "price": "120", "status": "expired"}).json()
    assert (changed["seats"], changed["price"], changed["status"]) == (7, "120.0000", "active")


# --- Usage: recording ------------------------------------------------------------------------------


def test_one_record(teammate: Actor, subscription: Subscription) -> None:
    body = TOKENS | {"subscription": str(subscription.pk), "recorded_at": "2026-11-03T00:00:00Z", "source": "gateway"}
    answer = teammate.by_key.post(USAGE, body)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert made.items() >= (body | {"quantity": "1000.000000", "recorded_at": "2026-11-03T00:00:00+00:00"}).items()
    assert made["period"] == "2026-11-01"
    assert AuditEvent.objects.filter(event_type="usage_record.create", user=teammate.user).count() == 1


def test_many_records_come_back_in_their_order(teammate: Actor) -> None:
    body = [TOKENS | {"quantity": str(number)} for number in range(20)]
    answer = teammate.by_key.post(USAGE, body)
    assert answer.status_code == 201
    assert [Decimal(row["quantity"]) for row in answer.json()] == list(range(20))
    assert UsageRecord.objects.count() == 20


def test_a_thousand_records_take_few_queries(teammate: Actor, subscription: Subscription) -> None:
    body = [TOKENS | {"subscription": str(subscription.pk), "idempotency_key": str(n)} for n in range(1000)]
    client = teammate.by_key
    client.get(USAGE)
    with CaptureQueriesContext(connection) as queries:
        assert client.post(USAGE, body).status_code == 201
    assert len(queries) < 25
    assert UsageRecord.objects.count() == 1000


def test_all_records_or_none_with_errors_by_position(teammate: Actor, writes_nothing: Proof) -> None:
    client = teammate.by_key
    body = [TOKENS, TOKENS | {"quantity": "-1", "metric": "A B"}, {}, TOKENS | {"extra": 1}, 7]
    with writes_nothing():
        answer = client.post(USAGE, body)
    assert answer.status_code == 400
    fields = [error["field"] for error in answer.json()["errors"]]
    assert {"1.quantity", "1.metric", "2.metric", "2.quantity", "2.unit", "3.extra", "4"} == set(fields)


@pytest.mark.parametrize("size", [0, 1001])
def test_an_array_has_one_to_a_thousand_records(size: int, teammate: Actor, writes_nothing: Proof) -> None:
    client = teammate.by_key
    with writes_nothing():
        assert client.post(USAGE, [TOKENS] * size).status_code == 400


def test_another_organizations_subscription_does_not_exist(
    teammate: Actor, other_organization: Organization, writes_nothing: Proof
) -> None:
    foreign = SubscriptionFactory(organization=other_organization)
    client = teammate.by_key
    with writes_nothing():
        answer = client.post(USAGE, [TOKENS, TOKENS | {"subscription": str(foreign.pk)}])
    assert answer.status_code == 400
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [("1.subscription", "does_not_exist")]


def test_a_replay_answers_the_first_record(teammate: Actor) -> None:
    client = teammate.by_key
    first = client.post(USAGE, TOKENS | {"idempotency_key": "k"})
    again = client.post(USAGE, TOKENS | {"idempotency_key": "k"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    mixed = client.post(USAGE, [TOKENS | {"idempotency_key": "k"}, TOKENS, TOKENS | {"idempotency_key": "k"}])
    assert mixed.status_code == 201
    rows = mixed.json()
    assert rows[0] == rows[2] == first.json()
    assert rows[1]["id"] != first.json()["id"]
    assert UsageRecord.objects.count() == 2


@pytest.mark.parametrize(
    "change",
    [{"quantity": "1"}, {"metric": "other"}, {"unit": "x"}, {"source": "x"}, {"recorded_at": "2020-01-01T00:00:00Z"}],
)
def test_a_replay_that_differs_is_a_conflict(change: dict[str, Any], teammate: Actor, writes_nothing: Proof) -> None:
    client = teammate.by_key
    client.post(USAGE, TOKENS | {"idempotency_key": "k"})
    with writes_nothing():
        answer = client.post(USAGE, [TOKENS, TOKENS | {"idempotency_key": "k"} | change])
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/idempotency_conflict/")
    assert next(iter(change)) in answer.json()["detail"]
    assert answer.json()["detail"].startswith("Entry 1")


def test_another_organizations_key_is_free(teammate: Actor, stranger: Actor) -> None:
    assert stranger.by_key.post(USAGE, TOKENS | {"idempotency_key": "k"}).status_code == 201
    assert teammate.by_key.post(USAGE, TOKENS | {"idempotency_key": "k", "quantity": "7"}).status_code == 201


@pytest.mark.parametrize("role", ["viewer", "customer"])
def test_only_members_record_usage(role: str, request: pytest.FixtureRequest, writes_nothing: Proof) -> None:
    client = request.getfixturevalue(role).by_key
    with writes_nothing():
        assert client.post(USAGE, TOKENS).status_code == 403


def test_usage_is_neither_changed_nor_deleted(owner: Actor, organization: Organization) -> None:
    record = UsageRecordFactory(organization=organization)
    assert owner.by_key.patch(f"{USAGE}{record.pk}/", {"quantity": "1"}).status_code == 405
    assert owner.by_key.delete(f"{USAGE}{record.pk}/").status_code == 405


# --- Usage: sums -----------------------------------------------------------------------------------


@pytest.fixture
def consumption(organization: Organization, other_organization: Organization) -> None:
    """Tokens on three days of two months, an hour of another unit, and another organization's."""
    for moment, quantity in (("2026-10-31T23:00Z", 1), ("2026-11-01T00:00Z", 20), ("2026-11-01T12:00Z", 300)):
        UsageRecordFactory(organization=organization, recorded_at=moment, quantity=quantity)
    UsageRecordFactory(organization=organization, recorded_at="2026-11-02T00:00Z", quantity="4000.5")
    UsageRecordFactory(
        organization=organization, metric="compute", unit="hour", recorded_at="2026-11-02T00:00Z", quantity=2
    )
    UsageRecordFactory(organization=other_organization, recorded_at="2026-11-02T00:00Z", quantity=7)


def sums(answer: Any) -> list[tuple[str, str, str, Decimal, int]]:
    assert answer.status_code == 200, answer.json()
    return [
        (row["metric"], row["unit"], row["starts"], Decimal(row["total"]), row["records"])
        for row in answer.json()["results"]
    ]


RANGE = "from=2026-10-01T00:00:00Z&to=2026-12-01T00:00:00Z"


@pytest.mark.usefixtures("consumption")
def test_usage_is_summed_by_metric_and_month(viewer: Actor) -> None:
    assert sums(viewer.by_key.get(f"{SUMMARY}?{RANGE}")) == [
        ("compute", "hour", "2026-11-01", Decimal(2), 1),
        ("tokens.input", "token", "2026-10-01", Decimal(1), 1),
        ("tokens.input", "token", "2026-11-01", Decimal("4320.5"), 3),
    ]


@pytest.mark.usefixtures("consumption")
def test_usage_is_summed_by_day(viewer: Actor) -> None:
    assert sums(viewer.by_key.get(f"{SUMMARY}?{RANGE}&period=day&metric=tokens.input")) == [
        ("tokens.input", "token", "2026-10-31", Decimal(1), 1),
        ("tokens.input", "token", "2026-11-01", Decimal(320), 2),
        ("tokens.input", "token", "2026-11-02", Decimal("4000.5"), 1),
    ]


@pytest.mark.usefixtures("consumption")
def test_a_range_includes_its_start_and_not_its_end(viewer: Actor) -> None:
    answer = viewer.by_key.get(f"{SUMMARY}?from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z")
    assert sums(answer) == [("tokens.input", "token", "2026-11-01", Decimal(320), 2)]


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("to=2026-11-22T10:00:00Z", "2025-12-01T00:00:00Z"),
        ("to=2026-12-22T10:00:00Z", "2026-01-01T00:00:00Z"),
        ("to=2026-01-22T10:00:00Z", "2025-02-01T00:00:00Z"),
        ("to=2026-11-22T10:00:00Z&period=day", "2026-10-22T00:00:00Z"),
    ],
)
def test_the_range_has_a_default(query: str, start: str, viewer: Actor) -> None:
    assert viewer.by_key.get(f"{SUMMARY}?{query}").json()["from"] == start


@pytest.mark.parametrize(
    "query",
    [
        "period=week",
        "from=x",
        "from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z",
        "period=day&from=2020-01-01T00:00:00Z&to=2026-11-01T00:00:00Z",
        "metrik=tokens",
    ],
)
def test_a_wrong_question_is_refused(query: str, viewer: Actor) -> None:
    assert viewer.by_key.get(f"{SUMMARY}?{query}").status_code == 400


@pytest.mark.usefixtures("consumption")
def test_customers_see_no_usage(customer: Actor) -> None:
    assert customer.by_key.get(SUMMARY).status_code == 403
    assert customer.by_key.get(USAGE).status_code == 403


@pytest.mark.parametrize(
    ("query", "count"),
    [("metric=compute", 1), ("period=2026-10-01", 1), ("unit=token", 4), ("recorded_at_after=2026-11-02T00:00Z", 2)],
)
@pytest.mark.usefixtures("consumption")
def test_usage_is_found(query: str, count: int, viewer: Actor) -> None:
    assert len(viewer.by_key.get(f"{USAGE}?{query}").json()["results"]) == count


@pytest.mark.django_db(transaction=True)
def test_an_idempotency_key_answers_a_record_of_usage_again(owner: Actor) -> None:
    answers = [
        owner.by_key.post(USAGE, TOKENS | {"idempotency_key": "k"}, headers={"Idempotency-Key": "again"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("query", ["to=0001-01-05T00:00:00Z", "to=0001-01-05T00:00:00Z&period=day"])
def test_a_summary_of_times_before_all_is_refused(query: str, owner: Actor) -> None:
    answer = owner.by_key.get(f"{USAGE}summary/?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "to")


def test_a_period_that_ends_after_all_times_is_refused(owner: Actor, writes_nothing: Any) -> None:
    body = {"plan_tier": "pro", "price": "9.00", "currency": "EUR", "current_period_start": "9999-12-31T00:00:00Z"}
    with writes_nothing():
        answer = owner.by_key.post("/api/v1/subscriptions/", body)
    assert (answer.status_code, "9999" in answer.json()["detail"]) == (409, True), answer.json()
