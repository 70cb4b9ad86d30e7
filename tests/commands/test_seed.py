"""`manage.py seed`, and the story in `fixtures/`."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from io import StringIO
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db.models import Sum

from catalog.models import Order, OrderLine, OrderStatus, Product, ProductStatus, Subscription, SubscriptionStatus
from core import demo
from core.encryption import secret_fields
from core.models import APIKey, AuditEvent, Membership, Organization, Record, Role, User
from tests.factories.core import OrganizationFactory
from tests.kit.database import digests

pytestmark = pytest.mark.django_db
WritesNothing = Callable[[], AbstractContextManager[None]]
OURS = [model for model in apps.get_models() if issubclass(model, (Record, AuditEvent))]


def seed() -> str:
    """What the command prints."""
    out = StringIO()
    call_command("seed", stdout=out)
    return out.getvalue()


def test_every_table_of_ours_has_rows_and_is_counted() -> None:
    printed = seed()
    assert printed.startswith("Loaded core/demo.json, catalog/demo.json, agents/demo.json, knowledge/demo.json.")
    for model in OURS:
        count = model._base_manager.count()
        assert count or model.__name__ == "StoredContent", model  # that one is filled by uploads
        assert f"{model._meta.verbose_name_plural} {count}" in " ".join(printed.split())


def test_the_apps_add_lines_of_their_own() -> None:
    printed = " ".join(seed().split())
    assert f"orders delivered {Order.objects.filter(status='delivered').count()} " in printed
    assert "revenue in EUR " in printed


def test_loading_again_changes_nothing(writes_nothing: WritesNothing) -> None:
    call_command("loaddata", "demo", verbosity=0)
    before = digests()
    call_command("loaddata", "demo", verbosity=0)
    changed = {table for table, digest in digests().items() if digest != before[table]}
    # Secrets, which stand in the fixtures as they are, are encrypted anew.
    assert changed <= {"core_auditevent", *(model._meta.db_table for model, _ in secret_fields())}
    with writes_nothing():
        assert seed().startswith("The story is there already.")


def test_what_was_deleted_or_changed_since_stays_so(writes_nothing: WritesNothing) -> None:
    seed()
    User.objects.filter(email="mira@gearloom.example").update(name="Mira C.")
    Product.objects.filter(status=ProductStatus.DRAFT).delete()
    with writes_nothing():
        seed()


def test_a_database_that_excludes_the_story_stays_as_it_was(writes_nothing: WritesNothing) -> None:
    OrganizationFactory(slug="northlight")
    with writes_nothing(), pytest.raises(CommandError, match="Nothing was loaded"):
        seed()


def test_the_triggers_wrote_the_events() -> None:
    seed()
    events = AuditEvent.objects.filter(event_type="order.create")
    assert events.count() == Order.objects.count()
    assert {event.details["database_role"] for event in events}
    assert not any(
        row["model"] == "core.auditevent" for path in demo.fixtures() for row in json.loads(path.read_text())
    )


def test_identifiers_are_time_ordered_and_times_are_in_order() -> None:
    seed()
    for model in OURS:
        if model is not AuditEvent:
            for record in model._base_manager.all():
                assert isinstance(record.pk, UUID)
                assert record.pk.version == 7
                assert abs(record.pk.int >> 80) // 1000 == int(record.created_at.timestamp())
                assert record.created_at <= record.updated_at


def test_nobody_comes_in_by_the_fixtures() -> None:
    seed()
    assert not any(user.has_usable_password() for user in User.objects.all())
    assert not User.objects.filter(is_superuser=True).exists()
    assert not APIKey.objects.usable().exists()


def test_the_people() -> None:
    seed()
    tiers = Organization.objects.values_list("plan_tier", flat=True)
    assert sorted(tiers) == ["enterprise", "pro"]
    for organization in Organization.objects.all():
        assert set(organization.memberships.values_list("role", flat=True)) == set(Role.values)
    both = User.objects.get(email="tomas@northlight.example")
    assert Membership.objects.filter(user=both).count() == 2
    staff = Group.objects.get(name="Staff")
    assert staff.user_set.filter(is_staff=True).count() == User.objects.filter(is_staff=True).count() > 0
    assert staff.permissions.filter(codename="change_order").exists()


def test_the_goods() -> None:
    seed()
    assert set(Product.objects.values_list("status", flat=True)) == set(ProductStatus.values)
    assert Product.objects.on_offer().low_on_stock().count() >= 3
    for product in Product.objects.all():
        held = OrderLine.objects.filter(product=product, order__status__in=["pending", "paid", "processing"])
        assert product.quantity_reserved == (held.aggregate(sum=Sum("quantity"))["sum"] or 0), product


def test_the_sales() -> None:
    seed()
    assert set(Order.objects.values_list("status", flat=True)) == set(OrderStatus.values)
    assert {SubscriptionStatus.ACTIVE, SubscriptionStatus.CANCELLED} <= set(
        Subscription.objects.values_list("status", flat=True)
    )
    for order in Order.objects.all():
        times: list[datetime] = [
            time
            for time in (order.placed_at, order.paid_at, order.processing_at, order.shipped_at, order.delivered_at)
            if time
        ]
        assert times == sorted(times)
        assert order.customer.role_in(order.organization)
