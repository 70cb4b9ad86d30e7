"""Staff of one organization see and touch nothing of another, by no page, parameter or posted id."""

from typing import Any

import pytest
from django.db.models import Model
from django.urls import reverse

from core.models import APIKey, AuditEvent, Membership, Organization, Role, User, WebhookDelivery
from tests.admin import pages
from tests.admin.conftest import Staff, StaffMaker
from tests.factories.core import (
    APIKeyFactory,
    AuditEventFactory,
    IntegrationEventFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    WebhookDeliveryFactory,
)
from tests.kit.cast import Actor
from tests.kit.database import writes_nothing

SECRET = "Globexian"
MODELS = [Organization, Membership, APIKey, AuditEvent, User]


@pytest.fixture
def theirs(other_organization: Organization) -> dict[type[Model], Any]:
    """A record of each kind in the other organization, recognizable in any text."""
    Organization.objects.filter(pk=other_organization.pk).update(name=f"{SECRET} Corporation")
    other_organization.refresh_from_db()
    user = UserFactory(email=f"{SECRET}@globex.example", name=SECRET)
    membership = MembershipFactory(organization=other_organization, user=user)
    key = APIKeyFactory(organization=other_organization, user=user, name=f"{SECRET} key")
    event = AuditEventFactory(organization=other_organization, user=user, user_email=user.email)
    return {Organization: other_organization, Membership: membership, APIKey: key, AuditEvent: event, User: user}


def autocomplete(staff: Staff, model: type[Model], field: str, **query: Any) -> Any:
    options = model._meta
    source = {"app_label": options.app_label, "model_name": options.model_name, "field_name": field}
    return staff.client.get(reverse("admin:autocomplete"), {"term": "", **source, **query})


class TestReading:
    @pytest.mark.parametrize("model", MODELS)
    def test_lists_and_searches_show_nothing(
        self, staff: Staff, theirs: dict[type[Model], Any], model: type[Model]
    ) -> None:
        address, record = pages.url("changelist", model), theirs[model]
        html = staff.client.get(address).content.decode()
        assert SECRET.lower() not in html.lower()
        assert str(record.pk) not in html
        for term in (SECRET, f"{SECRET}@globex.example", str(record.pk)):
            html = staff.client.get(address, {"q": term}).content.decode()
            assert pages.listed(html) == [], term
            assert "0 found" in html

    def test_filters_show_nothing(self, staff: Staff, theirs: dict[type[Model], Any]) -> None:
        for model in (Membership, APIKey, AuditEvent):
            for lookup, target in (("organization", Organization), ("user", User)):
                query = {f"{lookup}__id__exact": str(theirs[target].pk)}
                html = staff.client.get(pages.url("changelist", model), query).content.decode()
                assert SECRET.lower() not in html.lower()
                assert "0 " in html

    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("page", ["change", "history", "delete"])
    def test_pages_of_a_record_are_unknown(
        self, staff: Staff, theirs: dict[type[Model], Any], model: type[Model], page: str
    ) -> None:
        response = staff.client.get(pages.url(page, model, theirs[model].pk), follow=True)
        text = response.content.decode().replace(str(theirs[model].pk), "")
        assert SECRET.lower() not in text.lower()
        if page == "delete" and response.status_code == 403:  # nobody of the staff deletes these
            return
        assert response.redirect_chain[0][0] == reverse("admin:index")
        unknown = staff.client.get(pages.url(page, model, "0197f3a0-0000-7000-8000-000000000000"))
        assert unknown.status_code == 302, "A foreign record must answer as one that doesn't exist."

    def test_autocompletes_offer_nothing(self, staff: Staff, theirs: dict[type[Model], Any]) -> None:
        for model, field in ((Membership, "organization"), (Membership, "user"), (APIKey, "user")):
            for term in ("", SECRET, str(theirs[User].pk), f"{SECRET}@globex.example"):
                response = autocomplete(staff, model, field, term=term)
                assert response.status_code == 200
                assert SECRET.lower() not in response.content.decode().lower()
        narrowed = autocomplete(staff, APIKey, "user", organization=theirs[Organization].pk)
        assert narrowed.json()["results"] == []

    def test_the_index_and_its_recent_events_show_nothing(self, staff: Staff, theirs: Any) -> None:
        AuditEventFactory(organization=theirs[Organization], user=staff.user, event_type="globexian.act")
        html = staff.client.get(reverse("admin:index")).content.decode()
        assert SECRET.lower() not in html.lower()

    def test_a_shared_user_shows_only_our_side(
        self, staff: Staff, organization: Organization, other_organization: Organization
    ) -> None:
        user = UserFactory(email="both@example.com")
        MembershipFactory(organization=organization, user=user)
        MembershipFactory(organization=other_organization, user=user, role=Role.OWNER)
        AuditEventFactory(
            organization=other_organization, resource_type="user", resource_id=user.pk, event_type="user.globexian"
        )
        assert staff.client.get(pages.url("change", User, user.pk)).status_code == 200
        html = staff.client.get(pages.url("history", User, user.pk)).content.decode()
        assert "globexian" not in html
        html = staff.client.get(pages.url("changelist", Membership), {"q": user.email}).content.decode()
        assert "Globex" not in html
        assert "both@example.com" in html


class TestWriting:
    def test_actions_with_foreign_ids_do_nothing(self, staff: Staff, theirs: dict[type[Model], Any]) -> None:
        key = theirs[APIKey]
        with writes_nothing():
            data = {"action": "revoke", "_selected_action": [key.pk], "confirmed": "1"}
            staff.client.post(pages.url("changelist", APIKey), data)
            staff.client.post(pages.url("changelist", APIKey), data | {"select_across": "1", "index": "0"})
            staff.client.post(pages.url("action", APIKey, key.pk, "revoke"), {"confirmed": "1"})
            staff.client.post(pages.url("delete", APIKey, key.pk), {"post": "yes"})
            staff.client.post(
                pages.url("changelist", APIKey),
                {"action": "delete_selected", "_selected_action": [key.pk], "post": "yes"},
            )

    def test_select_across_acts_on_the_ticked_rows_only(self, staff: Staff, organization: Organization) -> None:
        ticked, other = APIKeyFactory.create_batch(2, organization=organization)
        data = {"action": "revoke", "_selected_action": [ticked.pk], "confirmed": "1", "select_across": "1"}
        staff.client.post(pages.url("changelist", APIKey), data)
        ticked.refresh_from_db()
        other.refresh_from_db()
        assert ticked.is_revoked
        assert not other.is_revoked

    def test_a_change_of_a_foreign_record_is_refused(self, staff: Staff, theirs: dict[type[Model], Any]) -> None:
        with writes_nothing():
            response = staff.client.post(pages.url("change", Membership, theirs[Membership].pk), {"role": "viewer"})
        assert response.status_code in (302, 403)

    def test_a_record_is_not_added_to_a_foreign_organization(
        self, staff: Staff, theirs: dict[type[Model], Any]
    ) -> None:
        data = {"organization": theirs[Organization].pk, "email": "new@example.com", "name": "", "role": "member"}
        with writes_nothing():
            response = staff.client.post(pages.url("add", Membership), data)
        assert "Select a valid choice" in response.content.decode()

    def test_an_organization_is_never_changed(
        self, superuser: Staff, organization: Organization, other_organization: Organization
    ) -> None:
        membership = MembershipFactory(organization=organization)
        data = {"role": "viewer", "organization": other_organization.pk}
        assert superuser.client.post(pages.url("change", Membership, membership.pk), data).status_code == 302
        membership.refresh_from_db()
        assert membership.organization == organization
        assert membership.role == Role.VIEWER

    def test_a_reference_stays_in_the_organization(
        self, superuser: Staff, organization: Organization, theirs: dict[type[Model], Any]
    ) -> None:
        data = {"organization": organization.pk, "user": theirs[User].pk, "name": "Key", "scopes": ["core:read"]}
        with writes_nothing():
            response = superuser.client.post(pages.url("add", APIKey), data)
        assert "This user belongs to another organization." in response.content.decode()


class TestRoles:
    def test_a_viewer_changes_nothing(self, make_staff: StaffMaker, organization: Organization) -> None:
        viewer = make_staff("watcher", role=Role.VIEWER)
        membership = MembershipFactory(organization=organization)
        assert viewer.client.get(pages.url("change", Membership, membership.pk)).status_code == 200
        with writes_nothing():
            changed = viewer.client.post(pages.url("change", Membership, membership.pk), {"role": "admin"})
            added = viewer.client.get(pages.url("add", Membership))
            deleted = viewer.client.post(pages.url("delete", Membership, membership.pk), {"post": "yes"})
            viewer.client.post(
                pages.url("changelist", Membership),
                {"action": "delete_selected", "_selected_action": [membership.pk], "post": "yes"},
            )
        assert (changed.status_code, added.status_code, deleted.status_code) == (403, 403, 403)

    def test_a_viewer_neither_redelivers_nor_retries(self, make_staff: StaffMaker, organization: Organization) -> None:
        delivery = WebhookDeliveryFactory(organization=organization)
        WebhookDelivery.lifecycle.move(delivery, "fail", next_attempt_at=None)
        event = IntegrationEventFactory(organization=organization)
        actions = [(delivery, "redeliver"), (event, "retry")]
        answers = {}
        for role in (Role.VIEWER, Role.ADMIN):
            client = make_staff(role.value, role=role).client
            for record, action in actions:
                assert client.get(pages.url("change", type(record), record.pk)).status_code == 200
                answer = client.post(pages.url("action", type(record), record.pk, action), {"confirmed": "1"})
                answers[role, action] = answer.status_code
            if role == Role.VIEWER:
                delivery.refresh_from_db()
                assert delivery.status == "failed"
        assert list(answers.values()) == [403, 403, 302, 302]

    def test_a_role_is_worth_nothing_elsewhere(
        self, make_staff: StaffMaker, organization: Organization, other_organization: Organization
    ) -> None:
        staff = make_staff("both")
        MembershipFactory(organization=other_organization, user=staff.user, role=Role.VIEWER)
        key = APIKeyFactory(organization=other_organization)
        staff.client.post(pages.url("action", APIKey, key.pk, "revoke"), {"confirmed": "1"})
        key.refresh_from_db()
        assert not key.is_revoked
        data = {"action": "revoke", "_selected_action": [key.pk], "confirmed": "1"}
        response = staff.client.post(pages.url("changelist", APIKey), data, follow=True)
        key.refresh_from_db()
        assert not key.is_revoked
        assert "You may only look at it." in response.content.decode()

    @pytest.mark.parametrize("reason", ["customer", "inactive"])
    def test_no_organization_no_rows(self, make_staff: StaffMaker, organization: Organization, reason: str) -> None:
        staff = make_staff("outside", role=Role.CUSTOMER if reason == "customer" else Role.OWNER)
        if reason == "inactive":
            Organization.objects.update(is_active=False)
        key = APIKeyFactory(organization=organization, name="Unseen")
        assert "Unseen" not in staff.client.get(pages.url("changelist", APIKey)).content.decode()
        assert staff.client.get(pages.url("change", APIKey, key.pk)).status_code == 302
        assert staff.client.get(pages.url("add", Membership)).status_code == 403

    def test_permissions_decide_what_may_be_done(self, make_staff: StaffMaker, organization: Organization) -> None:
        clerk = make_staff("clerk", permissions=["view_membership"])
        membership = MembershipFactory(organization=organization)
        assert clerk.client.get(pages.url("changelist", Membership)).status_code == 200
        assert clerk.client.get(pages.url("changelist", APIKey)).status_code == 403
        with writes_nothing():
            response = clerk.client.post(pages.url("change", Membership, membership.pk), {"role": "viewer"})
        assert response.status_code == 403

    def test_who_is_no_staff_stays_outside(self, owner: Actor) -> None:
        response = owner.client.get(pages.url("changelist", Organization))
        assert response.status_code == 302
        assert response.headers["Location"].startswith(reverse("admin:login"))

    def test_superusers_reach_all(self, superuser: Staff) -> None:
        first, second = OrganizationFactory.create_batch(2)
        html = superuser.client.get(pages.url("changelist", Organization)).content.decode()
        assert first.name in html
        assert second.name in html
