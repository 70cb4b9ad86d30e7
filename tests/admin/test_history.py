"""What is done in the admin stands in the audit log, and the admin's histories read from there."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from core.models import APIKey, AuditEvent, Membership, Organization, User
from tests.admin import pages
from tests.admin.conftest import Staff
from tests.factories.core import APIKeyFactory, AuditEventFactory, MembershipFactory, OrganizationFactory, UserFactory

BROWSER = {"X-Request-ID": "walk-1", "User-Agent": "Firefox"}


def assert_told(event: AuditEvent, staff: Staff) -> None:
    """Check that an event says who did it, and how."""
    assert event.user_id == staff.user.pk
    assert event.user_email == staff.user.email
    assert event.details["source"] == "admin"
    assert (event.request_id, event.ip_address, event.user_agent) == ("walk-1", "127.0.0.1", "Firefox")


class TestWritesAreTold:
    def test_add_change_and_delete(self, staff: Staff, organization: Organization) -> None:
        data = {"organization": organization.pk, "email": "new@example.com", "name": "", "role": "member"}
        assert staff.client.post(pages.url("add", Membership), data, headers=BROWSER).status_code == 302
        membership = Membership.objects.get(user__email="new@example.com")
        address = pages.url("change", Membership, membership.pk)
        assert staff.client.post(address, {"role": "viewer"}, headers=BROWSER).status_code == 302
        address = pages.url("delete", Membership, membership.pk)
        assert staff.client.post(address, {"post": "yes"}, headers=BROWSER).status_code == 302

        events = list(AuditEvent.objects.about(membership))
        assert [event.event_type for event in events] == [
            "membership.delete",
            "membership.update",
            "membership.create",
        ]
        assert (events[1].old_value, events[1].new_value) == ({"role": "member"}, {"role": "viewer"})
        for event in events:
            assert_told(event, staff)
        assert not LogEntry.objects.exists()

    def test_an_action_with_its_reason(self, staff: Staff, organization: Organization) -> None:
        key = APIKeyFactory(organization=organization)
        data = {"confirmed": "1", "reason": "It leaked."}
        staff.client.post(pages.url("action", APIKey, key.pk, "revoke"), data, headers=BROWSER)
        event = AuditEvent.objects.about(key)[0]
        assert event.event_type == "api_key.update"
        assert event.details["reason"] == "It leaked."
        assert_told(event, staff)

    def test_logins_and_failures(self, superuser: Staff) -> None:
        client = Client(headers=BROWSER)
        data = {"username": superuser.user.email, "password": "wrong horse"}
        assert client.post(reverse("admin:login"), data).status_code == 200
        failed = AuditEvent.objects.get(event_type="login.fail")
        assert (failed.success, failed.user_email, failed.details["source"]) == (False, superuser.user.email, "admin")
        data["password"] = "correct horse"
        assert client.post(reverse("admin:login"), data).status_code == 302
        succeeded = AuditEvent.objects.get(event_type="login.succeed")
        assert succeeded.success
        assert succeeded.user_id == superuser.user.pk
        assert "horse" not in str(list(AuditEvent.objects.values()))

    def test_what_is_granted(self, superuser: Staff) -> None:
        permission = Permission.objects.get(codename="view_membership")
        data = {"name": "Clerks", "permissions": [permission.pk]}
        superuser.client.post(reverse("admin:auth_group_add"), data, headers=BROWSER)
        group = Group.objects.get()
        event = AuditEvent.objects.get(resource_type="group")
        assert event.event_type == "group.create"
        assert event.new_value == {"permissions": ["core.view_membership"]}
        assert_told(event, superuser)
        html = superuser.client.get(reverse("admin:auth_group_history", args=(group.pk,))).content.decode()
        assert "core.view_membership" in html

        user = UserFactory()
        data = {"email": user.email, "username": "x", "name": "", "is_active": "on", "groups": [group.pk]}
        assert superuser.client.post(pages.url("change", User, user.pk), data, headers=BROWSER).status_code == 302
        event = AuditEvent.objects.about(user).filter(new_value__has_key="groups").get()
        assert (event.old_value, event.new_value) == ({"groups": []}, {"groups": ["Clerks"]})
        assert_told(event, superuser)

        superuser.client.post(reverse("admin:auth_group_delete", args=(group.pk,)), {"post": "yes"})
        assert AuditEvent.objects.get(event_type="group.delete").old_value == event_permissions()


def event_permissions() -> dict[str, Any]:
    return {"permissions": ["core.view_membership"]}


class TestHistory:
    def test_shows_changes_old_and_new(self, superuser: Staff) -> None:
        organization = OrganizationFactory(name="Old name", settings={"a": 1})
        Organization.objects.filter(pk=organization.pk).update(name="New name", settings={"a": 2})
        html = superuser.client.get(pages.url("history", Organization, organization.pk)).content.decode()
        assert html.index("organization.update") < html.index("organization.create")
        assert "<td>Old name</td><td>New name</td>" in html
        assert "<pre>{\n  &quot;a&quot;: 2\n}</pre>" in html

    def test_leafs_through_many_events(self, superuser: Staff, organization: Organization) -> None:
        for number in range(60):
            AuditEventFactory(organization=organization, details={"reason": f"number {number:03}"})
        address = pages.url("history", Organization, organization.pk)
        response = superuser.client.get(address)
        html = response.content.decode()
        assert "number 059" in html
        assert "number 010" in html
        assert "number 009" not in html
        older = superuser.client.get(address + response.context["older"]).content.decode()
        assert "number 009" in older
        assert "number 010" not in older
        assert "organization.create" in older

    def test_a_wrong_cursor_shows_nothing(self, superuser: Staff, organization: Organization) -> None:
        address = pages.url("history", Organization, organization.pk)
        assert superuser.client.get(address, {"cursor": "nonsense"}).status_code == 200

    def test_the_index_shows_what_one_did_last(self, staff: Staff, organization: Organization) -> None:
        key = APIKeyFactory(organization=organization)
        staff.client.post(pages.url("action", APIKey, key.pk, "revoke"), {"confirmed": "1"})
        html = staff.client.get(reverse("admin:index")).content.decode()
        assert f'<a href="{pages.url("change", APIKey, key.pk)}">api_key.update</a>' in html


class TestAuditEvents:
    def test_tell_what_changed(self, superuser: Staff) -> None:
        organization = OrganizationFactory(name="Old name")
        Organization.objects.filter(pk=organization.pk).update(name="New name")
        event = AuditEvent.objects.about(organization)[0]
        html = superuser.client.get(pages.url("change", AuditEvent, event.pk)).content.decode()
        assert "<td>Old name</td><td>New name</td>" in html
        assert pages.url("change", Organization, organization.pk) in html

    @pytest.mark.parametrize("page", ["add", "change", "delete"])
    def test_can_only_be_read(self, superuser: Staff, page: str) -> None:
        event = AuditEventFactory()
        arguments = () if page == "add" else (event.pk,)
        response = superuser.client.post(pages.url(page, AuditEvent, *arguments), {"post": "yes"})
        assert response.status_code == 403
        assert AuditEvent.objects.filter(pk=event.pk).exists()

    def test_outlive_what_they_tell_of(self, superuser: Staff, organization: Organization) -> None:
        membership = MembershipFactory(organization=organization)
        event = AuditEventFactory(organization=organization, user=membership.user, resource_id=membership.pk)
        membership.user.delete()
        assert superuser.client.get(pages.url("change", AuditEvent, event.pk)).status_code == 200
        assert superuser.client.get(pages.url("changelist", AuditEvent)).status_code == 200

    def test_are_filtered(self, superuser: Staff, organization: Organization) -> None:
        failed = AuditEventFactory(organization=organization, event_type="request.refuse", success=False)
        done = AuditEventFactory(organization=organization, user=superuser.user)
        address = pages.url("changelist", AuditEvent)
        for query, expected in (
            ({"success__exact": "0"}, {failed}),
            ({"event_type__exact": "request.refuse"}, {failed}),
            ({"user__id__exact": superuser.user.pk, "resource_type": "organization"}, {done}),
            ({"q": str(organization.pk), "success__exact": "0"}, {failed}),
            ({"q": str(done.pk)}, {done}),
            ({"q": "no id"}, set()),
            ({"timestamp__lt": "2020-01-01"}, set()),
            ({"organization__id__exact": organization.pk, "event_type__exact": "organization.note"}, {done}),
        ):
            html = superuser.client.get(address, query).content.decode()
            assert set(pages.listed(html)) == {str(event.pk) for event in expected}, query
