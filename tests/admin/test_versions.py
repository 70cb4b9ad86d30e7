"""Two of the staff on one record: who saves later is told what the other changed, and nothing is overwritten unseen."""

from typing import Any

import pytest
from django.test import Client

from agents.models import Agent
from catalog.models import Product
from core import audit
from core.models import AuditEvent, Membership, Organization, Role
from tests.admin import pages
from tests.admin.conftest import Staff, StaffMaker
from tests.factories.agents import AgentFactory
from tests.factories.catalog import ProductFactory
from tests.factories.core import MembershipFactory, OrganizationFactory, UserFactory
from tests.kit.database import writes_nothing
from tests.kit.races import race
from tests.kit.sql import run

REFUSED = "This was changed since you opened it"
SHOWN = "Changed since you opened it"
db = pytest.mark.django_db


@pytest.fixture
def product(organization: Organization) -> Product:
    return ProductFactory(organization=organization, name="Lamp", slug="lamp", description="Bright")


def opened(staff: Staff, record: Any) -> dict[str, Any]:
    """Open the page of a record, and return what its form would send."""
    response = staff.client.get(pages.url("change", type(record), record.pk))
    form = response.context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    for formset in response.context["inline_admin_formsets"]:
        values |= {f"{formset.formset.prefix}-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    values["last_change"] = response.context["last_change"]
    assert f'name="last_change" value="{values["last_change"]}"' in response.content.decode()
    return {name: "" if value is None else value for name, value in values.items()}


def sent(staff: Staff, record: Any, values: dict[str, Any]) -> Any:
    return staff.client.post(pages.url("change", type(record), record.pk), values)


@db
def test_who_saves_first_wins_and_the_other_is_told(staff: Staff, make_staff: StaffMaker, product: Product) -> None:
    other = make_staff("other")
    first, second = opened(staff, product), opened(other, product)
    assert sent(staff, product, first | {"name": "Lantern", "description": "Dim"}).status_code == 302
    with writes_nothing():
        refusal = sent(other, product, second | {"name": "Torch", "low_stock_threshold": 7})
    html = refusal.content.decode()
    assert refusal.status_code == 200
    assert REFUSED in html
    shown = html[html.index(SHOWN) : html.index("The form below is as you filled it in")]
    assert f"by {staff.user.email}" in shown
    assert '<th scope="row">name</th><td>Lamp</td><td>Lantern</td>' in shown
    assert '<th scope="row">description</th><td>Bright</td><td>Dim</td>' in shown
    assert 'value="Torch"' in html
    assert 'name="low_stock_threshold" value="7"' in html
    assert pages.inline_code(html) == []

    again = second | {"name": "Torch", "last_change": refusal.context["last_change"]}
    assert sent(other, product, again).status_code == 302
    product.refresh_from_db()
    assert product.name == "Torch"


@db
def test_a_third_change_is_refused_again(staff: Staff, product: Product) -> None:
    values = opened(staff, product)
    run("UPDATE catalog_product SET name = 'By SQL' WHERE id = %s", product.pk)
    refusal = sent(staff, product, values)
    run("UPDATE catalog_product SET name = 'By SQL again' WHERE id = %s", product.pk)
    html = sent(staff, product, values | {"last_change": refusal.context["last_change"]}).content.decode()
    assert REFUSED in html
    assert "<td>By SQL</td><td>By SQL again</td>" in html
    assert "<td>Lamp</td><td>By SQL</td>" not in html
    assert "by nobody known" in html


@db
def test_who_is_alone_is_never_asked(staff: Staff, product: Product) -> None:
    for name in ("One", "Two", "Three"):
        assert sent(staff, product, opened(staff, product) | {"name": name}).status_code == 302
    product.refresh_from_db()
    assert product.name == "Three"


@db
def test_other_errors_are_told_with_it_and_without_it(staff: Staff, product: Product) -> None:
    values = opened(staff, product) | {"name": ""}
    html = sent(staff, product, values).content.decode()
    assert "This field is required." in html
    assert SHOWN not in html
    run("UPDATE catalog_product SET name = 'By SQL' WHERE id = %s", product.pk)
    html = sent(staff, product, values).content.decode()
    assert "This field is required." in html
    assert SHOWN in html


@db
def test_what_no_form_writes_refuses_none(staff: Staff, organization: Organization) -> None:
    agent = AgentFactory(organization=organization)
    values = opened(staff, agent)
    run("UPDATE agents_agent SET total_actions = total_actions + 1 WHERE id = %s", agent.pk)
    assert Agent.objects.get(pk=agent.pk).row_version == agent.row_version + 1
    assert sent(staff, agent, values | {"name": "Renamed"}).status_code == 302


@db
@pytest.mark.parametrize("stated", ["none", "", "nonsense", "2026-99-99T00:00:00"])
def test_a_form_that_states_another_change_is_refused(stated: str, staff: Staff, product: Product) -> None:
    values = opened(staff, product)
    run("UPDATE catalog_product SET name = 'By SQL' WHERE id = %s", product.pk)
    html = sent(staff, product, values | {"last_change": stated}).content.decode()
    assert REFUSED in html
    assert "<td>Lamp</td><td>By SQL</td>" in html


@db
def test_a_form_that_states_none_is_taken(staff: Staff, product: Product) -> None:
    values = opened(staff, product)
    del values["last_change"]
    run("UPDATE catalog_product SET name = 'By SQL' WHERE id = %s", product.pk)
    assert sent(staff, product, values).status_code == 302


@db
def test_what_one_may_not_know_isnt_shown(staff: Staff, organization: Organization) -> None:
    membership = MembershipFactory(organization=organization, role=Role.MEMBER)
    values = opened(staff, membership)
    with audit.context(source="test", email="seen@example.com"):
        Membership.objects.filter(pk=membership.pk).update(role=Role.VIEWER)
    hidden = AuditEvent.objects.create(
        event_type="membership.update",
        resource_type="membership",
        resource_id=membership.pk,
        organization=OrganizationFactory(),
        user_email="hidden@example.com",
        old_value={"role": "a"},
        new_value={"role": "b"},
        details={},
    )
    html = sent(staff, membership, values).content.decode()
    assert "seen@example.com" in html
    assert hidden.user_email not in html


@pytest.mark.django_db(transaction=True)
def test_of_forms_that_are_sent_at_once_one_is_saved() -> None:
    root = UserFactory(is_staff=True, is_superuser=True)
    product = ProductFactory(organization=OrganizationFactory(), name="Lamp", slug="lamp")

    class Root(Staff):
        def __init__(self) -> None:
            self.user, self.client = root, Client()
            self.client.force_login(root)

    staff = [Root() for _ in range(6)]
    forms = [opened(each, product) for each in staff]
    outcomes = race(
        *[
            lambda each=each, form=form, number=number: sent(each, product, form | {"name": f"N{number}"}).status_code
            for number, (each, form) in enumerate(zip(staff, forms, strict=True))
        ]
    )
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert sorted(outcome.value for outcome in outcomes) == [200] * 5 + [302]
    assert Product.objects.get(pk=product.pk).row_version == 2
