"""The rules of subscriptions and usage, attacked with raw SQL."""

from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Subscription
from core.models import Organization
from tests.factories.catalog import (
    SubscriptionFactory,
    UsageRecordFactory,
)
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

# --- Subscription ----------------------------------------------------------------------------------


def live_subscription(organization: Organization, **fields: Any) -> Subscription:
    return SubscriptionFactory(organization=organization, **fields)


@pytest.mark.parametrize("first", ["trialing", "active", "past_due"])
@pytest.mark.parametrize("second", ["trialing", "active", "past_due"])
def test_an_organization_has_one_live_subscription(first: str, second: str, organization: Organization) -> None:
    live_subscription(organization, status=first)
    with pytest.raises(Exception, match="catalog_subscription_one_live"):
        live_subscription(organization, status=second)


def test_a_subscription_may_follow_one_that_ended(organization: Organization, other_organization: Organization) -> None:
    ended = "2026-11-02T00:00:00Z"
    live_subscription(organization, status="cancelled", cancelled_at=ended)
    live_subscription(organization, status="expired", expired_at=ended)
    live_subscription(organization)
    live_subscription(other_organization)
    assert Subscription.objects.live().count() == 2


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("current_period_end = current_period_start", "catalog_subscription_period"),
        ("current_period_start = current_period_end + interval '1 second'", "catalog_subscription_period"),
        ("seats = 0", "catalog_subscription_seats"),
        ("seats = -1", "catalog_subscription_seats"),
        ("billing_interval = 'week'", "catalog_subscription_billing_interval"),
        ("plan_tier = 'gold'", "catalog_subscription_plan_tier"),
        ("status = 'cancelled'", "catalog_subscription_cancelled_has_time"),
        ("cancelled_at = now()", "catalog_subscription_cancelled_time_fits"),
        ("status = 'expired'", "catalog_subscription_expired_has_time"),
        ("expired_at = now()", "catalog_subscription_expired_time_fits"),
        ("status = 'trialing'", "catalog_subscription_status_transitions"),
    ],
)
def test_subscription_rules(change: str, rule: str, organization: Organization) -> None:
    live_subscription(organization)
    for _ in range(2):
        assert refused(f"UPDATE catalog_subscription SET {change}").startswith(rule)
        ignore_all_triggers()


def test_a_subscription_that_ended_does_not_begin_again(organization: Organization) -> None:
    live_subscription(organization, status="cancelled", cancelled_at="2026-11-02T00:00:00Z")
    rule = refused("UPDATE catalog_subscription SET status = 'active', cancelled_at = NULL")
    assert rule == "catalog_subscription_status_transitions"


def test_external_id_is_unique_in_the_organization(
    organization: Organization, other_organization: Organization
) -> None:
    ended = {"status": "cancelled", "cancelled_at": "2026-11-02T00:00:00Z"}
    live_subscription(organization, external_id="sub_1")
    live_subscription(other_organization, external_id="sub_1")
    live_subscription(organization, external_id="", **ended)
    live_subscription(organization, external_id="", **ended)
    with pytest.raises(Exception, match="catalog_subscription_external_id"):
        live_subscription(organization, external_id="sub_1", **ended)


# --- Usage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("quantity", Decimal("-0.000001"), "catalog_usage_quantity"),
        ("metric", "", "catalog_usage_metric_shape"),
        ("metric", "Tokens", "catalog_usage_metric_shape"),
        ("metric", "a..b", "catalog_usage_metric_shape"),
        ("unit", "", "catalog_usage_unit_given"),
    ],
)
def test_usage_rules(column: str, value: Any, rule: str, organization: Organization) -> None:
    with pytest.raises(Exception, match=rule):
        UsageRecordFactory(organization=organization, **{column: value})


@pytest.mark.parametrize(
    "change",
    ["quantity = 1", "metric = 'x'", "unit = 'x'", "recorded_at = now()", "source = 'x'", "idempotency_key = 'x'"],
)
def test_usage_never_changes(change: str, organization: Organization) -> None:
    UsageRecordFactory(organization=organization)
    for _ in range(2):
        rule = refused(f"UPDATE catalog_usagerecord SET {change}")
        assert rule == f"catalog_usagerecord_{change.split(' ')[0]}_immutable"
        ignore_all_triggers()


def test_an_idempotency_key_is_used_once_in_the_organization(
    organization: Organization, other_organization: Organization
) -> None:
    for _ in range(2):
        UsageRecordFactory(organization=organization)
    UsageRecordFactory(organization=organization, idempotency_key="k")
    UsageRecordFactory(organization=other_organization, idempotency_key="k")
    with pytest.raises(Exception, match="catalog_usage_idempotency_key"):
        UsageRecordFactory(organization=organization, idempotency_key="k")


@pytest.mark.parametrize(
    ("recorded_at", "period"),
    [
        ("2026-11-30T23:59:59Z", "2026-11-01"),
        ("2026-12-01T00:00:00Z", "2026-12-01"),
        ("2026-12-01T01:00:00+02:00", "2026-11-01"),
    ],
)
def test_the_period_is_the_month_of_utc(recorded_at: str, period: str, organization: Organization) -> None:
    run("SET LOCAL timezone = 'Asia/Kathmandu'")
    UsageRecordFactory(organization=organization, recorded_at=recorded_at)
    assert str(run("SELECT period FROM catalog_usagerecord")[0][0]) == period


def test_usage_belongs_to_a_subscription_of_its_organization(
    organization: Organization, other_organization: Organization
) -> None:
    foreign = live_subscription(other_organization)
    rule = refused(
        "INSERT INTO catalog_usagerecord (organization_id, subscription_id, metric, quantity, unit, source,"
        " idempotency_key) VALUES (%s, %s, 'a', 1, 'x', '', '')",
        organization.pk,
        foreign.pk,
    )
    assert rule == "catalog_usage_subscription_same_organization"


def test_a_subscription_with_usage_is_not_deleted(organization: Organization) -> None:
    subscription = live_subscription(organization)
    UsageRecordFactory(organization=organization, subscription=subscription)
    assert refused("DELETE FROM catalog_subscription") == "catalog_usage_subscription_same_organization"
