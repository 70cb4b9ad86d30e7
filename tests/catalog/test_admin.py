"""catalog's admin: the services behind its buttons and forms."""

from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Order, Product, Subscription, UsageRecord
from catalog.services import orders as services
from core.models import AuditEvent, Organization, Role
from tests.admin.conftest import Staff, StaffMaker
from tests.admin.pages import listed, url
from tests.catalog.conftest import place
from tests.factories.catalog import OrderFactory, ProductFactory, SubscriptionFactory, UsageRecordFactory
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db


def press(staff: Staff, record: Any, action: str, **data: Any) -> str:
    """Press a record's button, answer what it asks, and return the page that follows."""
    address = url("action", type(record), record.pk, action)
    answer = staff.client.post(address, {"confirmed": "1", **data}, follow=True)
    assert answer.status_code == 200
    record.refresh_from_db()
    return answer.content.decode()


def form_of(staff: Staff, address: str) -> dict[str, Any]:
    """Return what the form at this address holds."""
    context = staff.client.get(address).context
    values: dict[str, Any] = {}
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for name in form.fields:
            value = form[name].value()
            values[form.add_prefix(name)] = "" if value is None else value
    return values


# --- Orders ----------------------------------------------------------------------------------------


def test_an_order_goes_its_way_by_buttons(staff: Staff, order: Order, lamp: Product) -> None:
    for action, status in (("pay", "paid"), ("process", "processing"), ("ship", "shipped"), ("deliver", "delivered")):
        press(staff, order, action)
        assert order.status == status
    press(staff, order, "refund", restock="on", reason="came back")
    assert order.status == "refunded"
    lamp.refresh_from_db()
    assert (lamp.quantity_in_stock, lamp.quantity_reserved) == (10, 0)
    event = AuditEvent.objects.get(event_type="order.refund")
    assert (event.user_id, event.details["reason"]) == (staff.user.pk, "came back")


def test_a_button_that_the_status_does_not_allow_says_so(staff: Staff, order: Order) -> None:
    page = press(staff, order, "ship")
    assert order.status == "pending"
    assert "must be &#x27;processing&#x27;" in page


def test_orders_are_paid_from_the_list(staff: Staff, order: Order, customer: Actor, chair: Product) -> None:
    cancelled = services.cancel_order(order=place(customer, (chair, 1)))
    data = {"action": "pay", "_selected_action": [str(order.pk), str(cancelled.pk)]}
    page = staff.client.post(url("changelist", Order), data, follow=True).content.decode()
    order.refresh_from_db()
    assert order.status == "paid"
    assert f"Pay: {order.number}" in page
    assert f"{cancelled.number}: Can&#x27;t pay this order" in page


def new_order(staff: Staff, customer: Actor, *lines: tuple[Product, int]) -> dict[str, Any]:
    """Return the filled form of a new order."""
    form = form_of(staff, url("add", Order)) | {
        "organization": str(customer.organization.pk),
        "customer": str(customer.user.pk),
        "discount": "5",
    }
    for number, (product, quantity) in enumerate(lines):
        form |= {f"lines-{number}-product": str(product.pk), f"lines-{number}-quantity": str(quantity)}
    return form


def test_an_order_is_placed_with_its_lines(staff: Staff, customer: Actor, lamp: Product, chair: Product) -> None:
    answer = staff.client.post(url("add", Order), new_order(staff, customer, (lamp, 2), (chair, 1)))
    order = Order.objects.get()
    assert answer.status_code == 302, answer.content.decode()
    assert answer.headers["Location"] == url("changelist", Order)
    assert (order.subtotal, order.total, order.customer) == (Decimal(105), Decimal(100), customer.user)
    assert sorted(order.lines.values_list("sku", "quantity")) == [("CHAIR", 1), ("LAMP", 2)]
    lamp.refresh_from_db()
    assert lamp.quantity_reserved == 2


@pytest.mark.parametrize(
    ("quantity", "message"), [(11, "only 10 of “LAMP” available, 11 wanted"), (None, "An order has at least one line.")]
)
def test_an_order_that_cannot_be_placed_comes_back_with_the_reason(
    quantity: int | None, message: str, staff: Staff, customer: Actor, lamp: Product
) -> None:
    lines = [(lamp, quantity)] if quantity else []
    answer = staff.client.post(url("add", Order), new_order(staff, customer, *lines))
    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert not Order.objects.exists()


def test_another_organizations_product_is_not_to_be_had(staff: Staff, customer: Actor, foreign_lamp: Product) -> None:
    answer = staff.client.post(url("add", Order), new_order(staff, customer, (foreign_lamp, 1)))
    assert answer.status_code == 200
    assert not Order.objects.exists()


def test_a_pending_orders_amounts_are_amended(staff: Staff, order: Order) -> None:
    address = url("change", Order, order.pk)
    answer = staff.client.post(address, form_of(staff, address) | {"shipping": "4.90", "notes": "Ring."})
    assert answer.status_code == 302
    order.refresh_from_db()
    assert (order.total, order.notes) == (Decimal("29.90"), "Ring.")


def test_a_discount_beyond_the_subtotal_comes_back(staff: Staff, order: Order) -> None:
    address = url("change", Order, order.pk)
    answer = staff.client.post(address, form_of(staff, address) | {"discount": "26"})
    assert answer.status_code == 200
    assert "The discount exceeds the subtotal" in answer.content.decode()


def test_a_paid_orders_amounts_are_not_to_be_edited(staff: Staff, order: Order) -> None:
    services.pay_order(order=order)
    address = url("change", Order, order.pk)
    form = form_of(staff, address)
    assert "discount" not in form
    staff.client.post(address, form | {"discount": "5", "status": "delivered", "notes": "Ring."})
    order.refresh_from_db()
    assert (order.discount, order.status, order.notes) == (0, "paid", "Ring.")


def test_an_order_is_not_deleted(staff: Staff, order: Order) -> None:
    assert staff.client.post(url("delete", Order, order.pk), {"post": "yes"}).status_code == 403
    assert Order.objects.exists()


def test_orders_are_searched_by_number_and_email(staff: Staff, order: Order) -> None:
    OrderFactory(organization=order.organization)
    for term in (order.number, order.number[:6].lower(), order.customer.email.upper(), str(order.pk)):
        assert listed(staff.client.get(url("changelist", Order), {"q": term}).content.decode()) == [str(order.pk)], term
    assert listed(staff.client.get(url("changelist", Order), {"q": "nobody@x"}).content.decode()) == []


# --- Products --------------------------------------------------------------------------------------


def test_stock_is_adjusted_by_a_button(staff: Staff, lamp: Product) -> None:
    press(staff, lamp, "adjust_stock", delta="-3", why="breakage")
    assert lamp.quantity_in_stock == 7
    event = AuditEvent.objects.about(lamp).first()
    assert event is not None
    assert event.details["reason"] == "breakage"


def test_stock_below_what_is_reserved_is_refused(staff: Staff, lamp: Product, order: Order) -> None:
    page = press(staff, lamp, "adjust_stock", delta="-9", why="theft")
    assert lamp.quantity_in_stock == 10
    assert "in stock, 2 reserved" in page


def test_a_product_is_made_and_put_on_offer(staff: Staff, organization: Organization) -> None:
    form = form_of(staff, url("add", Product)) | {
        "organization": str(organization.pk),
        "sku": "DESK",
        "name": "Desk",
        "slug": "",
        "price": "10",
        "currency": "EUR",
    }
    answer = staff.client.post(url("add", Product), form)
    assert answer.status_code == 302, answer.content.decode()
    product = Product.objects.get()
    assert (product.slug, product.status) == ("desk-desk", "draft")
    press(staff, product, "activate")
    assert product.status == "active"


def test_products_are_searched_by_word(staff: Staff, lamp: Product, chair: Product) -> None:
    for term in ("amp", "LAMP", "lam"):
        assert listed(staff.client.get(url("changelist", Product), {"q": term}).content.decode()) == [str(lamp.pk)]


def test_products_are_filtered_by_category(staff: Staff, lamp: Product, organization: Organization) -> None:
    other = ProductFactory(organization=organization, category="tools")
    page = staff.client.get(url("changelist", Product), {"category__exact": "tools"}).content.decode()
    assert listed(page) == [str(other.pk)]


def test_staff_of_another_organization_reach_nothing(
    make_staff: StaffMaker, other_organization: Organization, order: Order, lamp: Product
) -> None:
    stranger = make_staff("other", at=other_organization)
    for record in (order, lamp):
        assert listed(stranger.client.get(url("changelist", type(record))).content.decode()) == []
        address = url("action", type(record), record.pk, "pay" if record is order else "archive")
        stranger.client.post(address)
        assert stranger.client.get(url("change", type(record), record.pk)).status_code == 302
    order.refresh_from_db()
    lamp.refresh_from_db()
    assert (order.status, lamp.status) == ("pending", "active")


def test_a_viewer_presses_no_button(make_staff: StaffMaker, order: Order) -> None:
    viewer = make_staff("looker", role=Role.VIEWER)
    assert viewer.client.post(url("action", Order, order.pk, "pay")).status_code == 403
    order.refresh_from_db()
    assert order.status == "pending"


# --- Subscriptions and usage -----------------------------------------------------------------------


def test_a_subscription_moves_by_buttons(staff: Staff, organization: Organization) -> None:
    subscription = SubscriptionFactory(organization=organization)
    press(staff, subscription, "fall_due")
    press(staff, subscription, "activate")
    press(staff, subscription, "renew")
    assert subscription.current_period_start.month == 12
    press(staff, subscription, "cancel", at_period_end="on")
    assert (subscription.status, subscription.cancel_at_period_end) == ("active", True)
    press(staff, subscription, "cancel")
    assert subscription.status == "cancelled"


def test_a_second_live_subscription_comes_back_with_the_reason(staff: Staff, organization: Organization) -> None:
    form = form_of(staff, url("add", Subscription)) | {
        "organization": str(organization.pk),
        "plan_tier": "pro",
        "price": "9",
        "currency": "EUR",
        "current_period_start_0": "2026-11-01",
        "current_period_start_1": "00:00:00",
        "current_period_end_0": "2026-12-01",
        "current_period_end_1": "00:00:00",
    }
    answer = staff.client.post(url("add", Subscription), form)
    assert answer.status_code == 302, answer.content.decode()
    answer = staff.client.post(url("add", Subscription), form)
    assert answer.status_code == 200
    assert "live subscription already" in answer.content.decode()
    assert Subscription.objects.count() == 1


def test_usage_is_deleted_and_not_changed(staff: Staff, organization: Organization) -> None:
    record = UsageRecordFactory(organization=organization)
    staff.client.post(url("change", UsageRecord, record.pk), {"quantity": "1"})
    record.refresh_from_db()
    assert record.quantity == 1000
    staff.client.post(url("delete", UsageRecord, record.pk), {"post": "yes"})
    assert not UsageRecord.objects.exists()
    assert AuditEvent.objects.filter(event_type="usage_record.delete", user=staff.user).count() == 1
