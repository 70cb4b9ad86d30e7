"""Status fields move only as drawn: in every model with a lifecycle, by raw SQL, by ``move``, and in a race."""

from functools import partial
from itertools import permutations
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from catalog.models import Order, Product
from core.lifecycle import Lifecycle, Transition, TransitionConflictError
from core.models import Audited, AuditEvent, Organization
from tests.factories import make
from tests.factories.catalog import OrderFactory, ProductFactory
from tests.kit.database import writes_nothing
from tests.kit.races import Meeting, errors, race, values
from tests.kit.reflection import our_models
from tests.kit.sql import refused, run

pytestmark = pytest.mark.django_db

MOVING: list[Any] = [model for model in our_models() if getattr(model, "lifecycle", None)]
each_lifecycle = pytest.mark.parametrize("model", MOVING, ids=lambda model: model._meta.label)


def statuses(model: Any) -> list[str]:
    return [value for value, _ in model._meta.get_field(model.lifecycle.field).flatchoices]


def make_probe(model: Any, organization: Organization) -> None:
    """Make a table with one row and the model's triggers of transition and audit, but without its CHECKs."""
    make(model, organization)
    table = model._meta.db_table
    run(f"CREATE TEMP TABLE probe AS SELECT * FROM {table} LIMIT 1")
    definitions = run(
        "SELECT pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
        " WHERE tgrelid = %s::regclass AND proname IN ('muster_transition', 'muster_audit')",
        table,
    )
    assert len(definitions) == 1 + is_audited(model)
    run("; ".join(text.replace(f" ON public.{table} ", " ON probe ").replace("%", "%%") for (text,) in definitions))


def is_audited(model: Any) -> bool:
    """Tell whether the model's changes are events; what is itself a log's aren't."""
    return issubclass(model, Audited)


def stand(model: Any, status: str) -> None:
    """Put the probe's row in a status, past its triggers."""
    run("ALTER TABLE probe DISABLE TRIGGER USER")
    run(f"UPDATE probe SET {model.lifecycle.field} = %s", status)
    run("ALTER TABLE probe ENABLE TRIGGER USER")


@each_lifecycle
def test_raw_sql_moves_only_as_drawn_and_each_move_names_its_event(model: Any, organization: Organization) -> None:
    make_probe(model, organization)
    field, verbs = model.lifecycle.field, model.lifecycle.verbs()
    change = f"UPDATE probe SET {field} = %s"
    for old, new in permutations(statuses(model), 2):
        stand(model, old)
        if verb := verbs.get(f"{old}>{new}"):
            run(change, new)
            if not is_audited(model):
                continue
            newest = AuditEvent.objects.order_by("-timestamp", "-id").values_list("event_type", flat=True)[0]
            assert newest == f"{model.resource()}.{verb}"
        else:
            assert refused(change, new) == f"probe_{field}_transitions", (old, new)


@each_lifecycle
def test_the_moves_are_between_statuses_that_there_are(model: Any) -> None:
    known = set(statuses(model))
    for transition in model.lifecycle:
        assert set(transition.sources) | {transition.target} <= known
        if transition.stamp:
            model._meta.get_field(transition.stamp)


# --- Moving ----------------------------------------------------------------------------------------


def test_a_move_changes_status_and_stamps_the_time() -> None:
    order = OrderFactory()
    moved = Order.lifecycle.move(order, "pay", notes="By card.")
    assert moved is order
    assert (order.status, order.notes) == ("paid", "By card.")
    assert order.paid_at is not None
    assert AuditEvent.objects.filter(event_type="order.pay", resource_id=order.pk).count() == 1


def test_a_move_from_elsewhere_is_a_conflict_that_names_both_and_writes_nothing() -> None:
    product = ProductFactory(status="active")
    with writes_nothing(), pytest.raises(TransitionConflictError) as caught:
        Product.lifecycle.move(product, "activate")
    assert "'active'" in str(caught.value)
    assert "'draft'" in str(caught.value)
    assert (caught.value.code, caught.value.field) == ("transition_conflict", "status")


def test_a_move_goes_by_what_stands_and_not_by_what_is_remembered() -> None:
    order = OrderFactory()
    remembered = Order.objects.get(pk=order.pk)
    Order.lifecycle.move(order, "pay")
    with writes_nothing(), pytest.raises(TransitionConflictError, match="'paid'"):
        Order.lifecycle.move(remembered, "pay")


def test_a_lifecycle_tells_its_moves() -> None:
    lifecycle = Lifecycle(
        Transition("finish", {"running", "paused"}, "done"), Transition("start", {"new"}, "running"), field="state"
    )
    assert set(lifecycle.pairs()) == {("running", "done"), ("paused", "done"), ("new", "running")}
    assert lifecycle.verbs() == {"paused>done": "finish", "running>done": "finish", "new>running": "start"}
    assert lifecycle.allows("finish", "paused")
    assert not lifecycle.allows("finish", "new")
    assert [transition.name for transition in lifecycle] == ["finish", "start"]


# --- Racing ----------------------------------------------------------------------------------------


def pay(order_id: Any, meeting: Meeting) -> None:
    with transaction.atomic():
        meeting.announce()
        Order.lifecycle.move(Order.objects.get(pk=order_id), "pay")
        meeting.attend()


def look_then_pay(order_id: Any, meeting: Meeting) -> None:
    with transaction.atomic():
        meeting.announce()
        assert Order.objects.get(pk=order_id).status == "pending"
        meeting.attend()
        Order.objects.filter(pk=order_id).update(status="paid", paid_at=Now())


@pytest.mark.django_db(transaction=True)
def test_of_two_who_pay_at_once_one_pays() -> None:
    order, meeting = OrderFactory(), Meeting(2)
    outcomes = race(*[partial(pay, order.pk, meeting)] * 2)
    assert len(values(outcomes)) == 1
    assert [type(error) for error in errors(outcomes)] == [TransitionConflictError]
    assert AuditEvent.objects.filter(event_type="order.pay").count() == 1


@pytest.mark.django_db(transaction=True)
def test_control_who_looks_first_and_writes_then_pays_twice() -> None:
    order, meeting = OrderFactory(), Meeting(2)
    assert errors(race(*[partial(look_then_pay, order.pk, meeting)] * 2)) == []
