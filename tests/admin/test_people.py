"""Users, memberships and API keys in the admin: who may change them, and which secrets no page shows."""

import re

import pytest
from django.contrib.auth.hashers import identify_hasher
from django.test import Client
from django.urls import reverse

from core.models import APIKey, AuditEvent, Membership, Organization, Role, User
from core.models.api_keys import matches, parse_key
from tests.admin import pages
from tests.admin.conftest import Staff
from tests.factories.core import APIKeyFactory, MembershipFactory, UserFactory
from tests.kit.database import writes_nothing

PASSWORD = "a long enough password"


def everywhere(staff: Staff, *records: APIKey | User | Membership) -> str:
    """Return all pages about the records, as one text."""
    texts = []
    for record in records:
        for page in ("changelist", "change", "history", "delete"):
            arguments = () if page == "changelist" else (record.pk,)
            texts.append(staff.client.get(pages.url(page, type(record), *arguments)).content.decode())
        for event in AuditEvent.objects.about(record):
            texts.append(staff.client.get(pages.url("change", AuditEvent, event.pk)).content.decode())
    return "".join(texts)


class TestUsers:
    def test_are_made_with_a_password(self, superuser: Staff) -> None:
        data = {"email": "New@Example.COM", "username": "new", "name": "New", "usable_password": "true"}
        data |= {"password1": PASSWORD, "password2": PASSWORD}
        response = superuser.client.post(pages.url("add", User), data)
        assert response.status_code == 302, response.context["errors"]
        user = User.objects.get(email="New@example.com")
        assert user.check_password(PASSWORD)
        assert identify_hasher(user.password).algorithm == "argon2"

    def test_are_made_without_a_password(self, superuser: Staff) -> None:
        data = {"email": "new@example.com", "username": "new", "name": "", "usable_password": "false"}
        assert superuser.client.post(pages.url("add", User), data).status_code == 302
        assert not User.objects.get(email="new@example.com").has_usable_password()

    def test_share_usernames_but_no_email(self, superuser: Staff) -> None:
        UserFactory(email="taken@example.com", username="same")
        data = {"email": "TAKEN@example.com", "username": "same", "name": "", "usable_password": "false"}
        response = superuser.client.post(pages.url("add", User), data)
        assert "belongs to another user already" in response.content.decode()
        assert superuser.client.post(pages.url("add", User), data | {"email": "free@example.com"}).status_code == 302

    def test_get_a_new_password_or_none(self, superuser: Staff) -> None:
        user = UserFactory()
        address = reverse("admin:auth_user_password_change", args=(user.pk,))
        assert pages.inline_code(superuser.client.get(address).content.decode()) == []
        data = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD, "set-password": "1"}
        assert superuser.client.post(address, data).status_code == 302
        user.refresh_from_db()
        assert user.check_password(PASSWORD)
        data = {"usable_password": "false", "unset-password": "1"}
        assert superuser.client.post(address, data).status_code == 302
        user.refresh_from_db()
        assert not user.has_usable_password()
        assert AuditEvent.objects.about(user)[0].new_value == {"password": "[redacted]"}

    def test_show_no_hash(self, superuser: Staff) -> None:
        user = UserFactory(password=PASSWORD)
        text = everywhere(superuser, user)
        assert "kept as argon2 hash" in text
        for part in user.password.split("$")[3:]:
            assert part not in text
            assert part[:6] not in text

    def test_are_changed_by_superusers_only(self, staff: Staff, organization: Organization) -> None:
        user = MembershipFactory(organization=organization).user
        html = staff.client.get(pages.url("change", User, user.pk)).content.decode()
        assert user.email in html
        assert 'name="email"' not in html
        assert "argon2" not in html
        with writes_nothing():
            posts = [
                (pages.url("change", User, user.pk), {"email": "mine@example.com", "is_superuser": "on"}),
                (pages.url("change", User, staff.user.pk), {"email": staff.user.email, "is_superuser": "on"}),
                (reverse("admin:auth_user_password_change", args=(user.pk,)), {"password1": PASSWORD}),
                (pages.url("delete", User, user.pk), {"post": "yes"}),
                (pages.url("add", User), {"email": "new@example.com"}),
                (reverse("admin:auth_group_add"), {"name": "Mine"}),
            ]
            assert [staff.client.post(*post).status_code for post in posts] == [403] * len(posts)

    def test_log_in_by_email(self, superuser: Staff) -> None:
        client = Client()
        html = client.get(reverse("admin:login")).content.decode()
        assert "Email:" in html
        assert pages.inline_code(html) == []
        data = {"username": "ROOT@muster.example", "password": "correct horse"}
        assert client.post(reverse("admin:login"), data).status_code == 302


class TestMemberships:
    def test_are_made_by_email(self, staff: Staff, organization: Organization) -> None:
        known = UserFactory(email="known@example.com")
        for email in ("Known@example.com", "new@example.com"):
            data = {"organization": organization.pk, "email": email, "name": "N.", "role": "viewer"}
            assert staff.client.post(pages.url("add", Membership), data).status_code == 302
        assert known.role_in(organization) == Role.VIEWER
        new = User.objects.get(email="new@example.com")
        assert (new.name, new.has_usable_password()) == ("N.", False)

    def test_are_made_once(self, staff: Staff, organization: Organization) -> None:
        member = MembershipFactory(organization=organization).user
        data = {"organization": organization.pk, "email": member.email, "name": "", "role": "viewer"}
        with writes_nothing():
            response = staff.client.post(pages.url("add", Membership), data)
        assert "is a member already" in response.content.decode()

    def test_leave_an_owner(self, superuser: Staff, organization: Organization) -> None:
        owner = MembershipFactory(organization=organization, role=Role.OWNER)
        with writes_nothing():
            response = superuser.client.post(pages.url("change", Membership, owner.pk), {"role": "member"})
        assert "never loses its last owner" in response.content.decode()


class TestAPIKeys:
    def test_are_shown_once(self, staff: Staff, organization: Organization) -> None:
        data = {"organization": organization.pk, "name": "Robot", "scopes": ["core:read", "audit:read"]}
        response = staff.client.post(pages.url("add", APIKey), data)
        html = response.content.decode()
        assert pages.inline_code(html) == []
        assert "no-store" in response.headers["Cache-Control"]
        text = re.search(r"mst_[A-Za-z0-9]{8}_[A-Za-z0-9]{43}", html)[0]  # type: ignore[index]
        key = APIKey.objects.get(name="Robot")
        prefix, secret = parse_key(text)  # type: ignore[misc]
        assert prefix == key.prefix
        assert matches(secret, key.digest)
        assert (key.user, key.scopes) == (staff.user, ["audit:read", "core:read"])

        later = everywhere(staff, key)
        assert key.prefix in later
        assert secret not in later
        assert key.digest not in later
        assert secret not in str(staff.client.session.items())

    def test_are_made_for_oneself(self, staff: Staff, superuser: Staff, organization: Organization) -> None:
        other = MembershipFactory(organization=organization, role=Role.OWNER).user
        data = {"organization": organization.pk, "name": "Robot", "scopes": ["core:read"], "user": other.pk}
        staff.client.post(pages.url("add", APIKey), data)
        assert APIKey.objects.get(name="Robot").user == staff.user
        superuser.client.post(pages.url("add", APIKey), data | {"name": "By root"})
        assert APIKey.objects.get(name="By root").user == other

    @pytest.mark.parametrize("scopes", [[], ["everything"]])
    def test_need_known_scopes(self, staff: Staff, organization: Organization, scopes: list[str]) -> None:
        data = {"organization": organization.pk, "name": "Robot", "scopes": scopes}
        with writes_nothing():
            assert staff.client.post(pages.url("add", APIKey), data).status_code == 200

    def test_are_revoked_after_asking(self, staff: Staff, organization: Organization) -> None:
        key = APIKeyFactory(organization=organization)
        address = pages.url("action", APIKey, key.pk, "revoke")
        assert f'href="{address}"' in staff.client.get(pages.url("change", APIKey, key.pk)).content.decode()
        with writes_nothing():
            assert "for good?" in staff.client.get(address).content.decode()
        staff.client.post(address, {"confirmed": "1"})
        key.refresh_from_db()
        assert key.is_revoked
        assert address not in staff.client.get(pages.url("change", APIKey, key.pk)).content.decode()
