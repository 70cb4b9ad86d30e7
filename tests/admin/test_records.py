"""Buttons and list actions, soft deletion, and what the database refuses, shown on a model of the tests' own."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from core.models import APIKey, Membership, Organization, Role
from tests.admin import pages
from tests.admin.conftest import Staff, StaffMaker
from tests.admin.notes import Note, Remark, RemarkInline, site
from tests.factories.core import APIKeyFactory, MembershipFactory
from tests.kit.database import tables, writes_nothing

NO_REMARKS = {"remark_set-TOTAL_FORMS": "0", "remark_set-INITIAL_FORMS": "0"}


@pytest.fixture
def notes(db: None, organization: Organization) -> Iterator[type[Note]]:
    """The table of notes, and their pages."""
    with connection.schema_editor() as editor:
        editor.create_model(Note)
        editor.create_model(Remark)
        editor.execute(
            "ALTER TABLE core_note ADD CONSTRAINT note_rank CHECK (rank < 100),"
            " ADD CONSTRAINT note_late UNIQUE (rank) DEFERRABLE INITIALLY DEFERRED"
        )
    tables.cache_clear()
    with override_settings(ROOT_URLCONF="tests.admin.notes"):
        yield Note
    tables.cache_clear()


def note(organization: Organization, **fields: Any) -> Note:
    number = Note.objects.count()
    return Note.objects.create(organization=organization, **{"name": f"Note {number}", "rank": number} | fields)


def posted(staff: Staff, address: str, data: dict[str, Any]) -> str:
    response = staff.client.post(address, data, follow=True)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.usefixtures("notes")
class TestButtons:
    def test_show_what_the_status_allows(self, superuser: Staff, organization: Organization) -> None:
        draft = note(organization)
        html = superuser.client.get(pages.url("change", Note, draft.pk)).content.decode()
        assert pages.url("action", Note, draft.pk, "publish") in html
        assert pages.url("action", Note, draft.pk, "retract") not in html
        assert pages.inline_code(html) == []

    def test_run_at_once(self, superuser: Staff, organization: Organization) -> None:
        draft = note(organization)
        html = posted(superuser, pages.url("action", Note, draft.pk, "publish"), {})
        assert "Publish: Note 0." in html
        assert Note.objects.get().status == "public"

    def test_tell_of_a_conflict_and_change_nothing(self, superuser: Staff, organization: Organization) -> None:
        public = note(organization, status="public")
        html = posted(superuser, pages.url("action", Note, public.pk, "publish"), {})
        assert "it is &#x27;public&#x27;, and must be &#x27;draft&#x27;" in html
        html = posted(superuser, pages.url("action", Note, public.pk, "rename"), {"name": "taken", "confirmed": "1"})
        assert "That name is taken." in html
        assert Note.objects.get().name == "Note 0"

    def test_ask_first(self, superuser: Staff, organization: Organization) -> None:
        public = note(organization, status="public")
        address = pages.url("action", Note, public.pk, "retract")
        html = superuser.client.get(address).content.decode()
        assert "Retract it?" in html
        assert "csrfmiddlewaretoken" in html
        assert pages.inline_code(html) == []
        assert Note.objects.get().status == "public"
        superuser.client.post(address, {"reason": ""})
        assert Note.objects.get().status == "draft"

    def test_ask_for_what_they_need(self, superuser: Staff, organization: Organization) -> None:
        first = note(organization)
        address = pages.url("action", Note, first.pk, "rename")
        assert 'name="name"' in superuser.client.get(address).content.decode()
        assert "This field is required." in posted(superuser, address, {"name": ""})
        posted(superuser, address, {"name": "Better"})
        assert Note.objects.get().name == "Better"

    def test_are_posted_only_and_known_only(self, superuser: Staff, organization: Organization) -> None:
        first = note(organization)
        assert superuser.client.get(pages.url("action", Note, first.pk, "publish")).status_code == 405
        assert superuser.client.post(pages.url("action", Note, first.pk, "explode")).status_code == 404

    def test_take_the_permission(self, make_staff: StaffMaker, organization: Organization) -> None:
        staff = make_staff("looker", permissions=[])
        first = note(organization)
        assert staff.client.post(pages.url("action", Note, first.pk, "publish")).status_code == 403
        assert Note.objects.get().status == "draft"


@pytest.mark.usefixtures("notes")
class TestListActions:
    def test_run_on_each_and_tell_of_refusals(self, superuser: Staff, organization: Organization) -> None:
        drafts = [note(organization), note(organization)]
        public = note(organization, status="public")
        data = {"action": "publish", "_selected_action": [each.pk for each in [*drafts, public]], "index": "0"}
        html = posted(superuser, pages.url("changelist", Note), data)
        assert "Publish: 2 notes." in html
        assert "Note 2: Can&#x27;t publish this note" in html
        assert set(Note.objects.values_list("status", flat=True)) == {"public"}

    def test_ask_first(self, superuser: Staff, organization: Organization) -> None:
        first = note(organization, status="public")
        data = {"action": "retract", "_selected_action": [first.pk], "index": "0"}
        html = superuser.client.post(pages.url("changelist", Note), data).content.decode()
        assert "Retract it?" in html
        assert f'name="_selected_action" value="{first.pk}"' in html
        assert 'name="action" value="retract"' in html
        assert Note.objects.get().status == "public"
        data = {"action": "retract", "_selected_action": [first.pk], "confirmed": "1", "reason": ""}
        posted(superuser, pages.url("changelist", Note), data)
        assert Note.objects.get().status == "draft"


@pytest.mark.usefixtures("notes")
class TestInlines:
    ROWS = {"remark_set-TOTAL_FORMS": "1", "remark_set-INITIAL_FORMS": "0"}

    @pytest.mark.parametrize("page", ["add", "change"])
    def test_rows_belong_to_the_records_organization(
        self, superuser: Staff, organization: Organization, other_organization: Organization, page: str
    ) -> None:
        ours = MembershipFactory(organization=organization).user
        theirs = MembershipFactory(organization=other_organization).user
        arguments = (note(organization).pk,) if page == "change" else ()
        address = pages.url(page, Note, *arguments)
        data = {"organization": organization.pk, "name": "Note", "rank": "1", "tags": "{}"} | self.ROWS
        with writes_nothing():
            response = superuser.client.post(address, data | {"remark_set-0-author": theirs.pk})
        assert "This user belongs to another organization." in response.content.decode()
        assert superuser.client.post(address, data | {"remark_set-0-author": ours.pk}).status_code == 302
        remark = Remark.objects.get()
        assert (remark.organization, remark.author, remark.note.name) == (organization, ours, "Note")

    def test_foreign_rows_are_no_choice_for_staff(
        self, staff: Staff, organization: Organization, other_organization: Organization
    ) -> None:
        # The test's model has no permissions of its own, so ask the inline itself.
        theirs = MembershipFactory(organization=other_organization).user
        request = staff.client.get("/admin/").wsgi_request
        field = RemarkInline(Note, site).formfield_for_dbfield(Remark._meta.get_field("author"), request)
        assert not field.queryset.filter(pk=theirs.pk).exists()
        assert field.queryset.filter(pk=staff.user.pk).exists()


@pytest.mark.usefixtures("notes")
class TestSoftDeletion:
    def test_marks_and_restores(self, superuser: Staff, organization: Organization) -> None:
        first = note(organization)
        posted(superuser, pages.url("delete", Note, first.pk), {"post": "yes"})
        assert Note.objects.get().is_deleted
        address = pages.url("changelist", Note)
        assert pages.listed(superuser.client.get(address).content.decode()) == []
        for query in ("yes", "all"):
            html = superuser.client.get(address, {"deleted": query}).content.decode()
            assert pages.listed(html) == [str(first.pk)]
        html = superuser.client.get(pages.url("change", Note, first.pk)).content.decode()
        assert 'name="_save"' not in html
        assert pages.url("action", Note, first.pk, "restore") in html
        posted(superuser, pages.url("action", Note, first.pk, "restore"), {})
        assert not Note.objects.get().is_deleted

    def test_in_bulk(self, superuser: Staff, organization: Organization) -> None:
        both = [note(organization), note(organization)]
        ids = [each.pk for each in both]
        data = {"action": "delete_selected", "_selected_action": ids, "post": "yes"}
        posted(superuser, pages.url("changelist", Note), data)
        assert Note.objects.deleted().count() == 2
        data = {"action": "restore", "_selected_action": ids, "index": "0"}
        posted(superuser, pages.url("changelist", Note) + "?deleted=yes", data)
        assert Note.objects.alive().count() == 2

    def test_a_name_taken_meanwhile_is_told(self, superuser: Staff, organization: Organization) -> None:
        first = note(organization, name="Same")
        Note.objects.all().soft_delete()
        note(organization, name="Same", rank=7)
        html = posted(superuser, pages.url("action", Note, first.pk, "restore"), {})
        assert "This value is taken already." in html
        assert Note.objects.deleted().count() == 1


@pytest.mark.usefixtures("notes")
class TestRefusalsByTheDatabase:
    """The form of notes checks no rule, so that only the database can refuse."""

    def test_of_a_new_record(self, superuser: Staff, organization: Organization) -> None:
        note(organization, name="Same")
        data = {"organization": organization.pk, "name": "Same", "rank": "5", "tags": "{}"} | NO_REMARKS
        response = superuser.client.post(pages.url("add", Note), data)
        assert response.status_code == 200
        assert "This value is taken already." in response.content.decode()
        assert Note.objects.count() == 1

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"rank": "100"}, "violates check constraint"),
            ({"rank": "7"}, "This value is taken already."),  # deferred to the end of the transaction
            ({"tags": '{"a": "\\u0000"}'}, "Unsupported Unicode escape sequence."),
        ],
    )
    def test_of_a_change(
        self, superuser: Staff, organization: Organization, data: dict[str, str], message: str
    ) -> None:
        note(organization, name="Other", rank=7)
        first = note(organization, name="First", rank=1)
        whole = {"name": "Renamed", "rank": "1", "tags": "{}"} | NO_REMARKS | data
        with writes_nothing():
            response = superuser.client.post(pages.url("change", Note, first.pk), whole)
        assert response.status_code == 200
        assert message in response.content.decode()
        first.refresh_from_db()
        assert first.name == "First"


class TestRefusedDeletion:
    def test_of_the_last_owner(self, superuser: Staff, organization: Organization) -> None:
        owner = MembershipFactory(organization=organization, role=Role.OWNER)
        with writes_nothing():
            html = posted(superuser, pages.url("delete", Membership, owner.pk), {"post": "yes"})
            assert "would lose its last owner" in html
            data = {"action": "delete_selected", "_selected_action": [owner.pk], "post": "yes"}
            assert "would lose its last owner" in posted(superuser, pages.url("changelist", Membership), data)

    def test_the_page_tells_what_goes_along(self, superuser: Staff, organization: Organization) -> None:
        membership = MembershipFactory(organization=organization)
        APIKeyFactory.create_batch(25, user=membership.user, organization=organization)
        html = superuser.client.get(pages.url("delete", type(membership.user), membership.user.pk)).content.decode()
        assert html.count("API key: ") == 20
        assert "…and more" in html
        assert pages.url("change", Membership, membership.pk) in html


class TestOrganizationOfNewRecords:
    def test_is_the_only_one_by_default(self, staff: Staff, organization: Organization) -> None:
        html = staff.client.get(pages.url("add", APIKey)).content.decode()
        assert f'<option value="{organization.pk}" selected>' in html
