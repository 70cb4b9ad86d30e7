"""The admin of agents' roster, projects and templates: reviews, soft deletion, versions, what is shared with all."""

from collections.abc import Callable
from typing import Any

import pytest

from agents.models import Agent, Modification, Project, ProjectContext, Template
from core.models import AuditEvent, Organization, Role
from tests.admin import pages
from tests.admin.conftest import Staff
from tests.factories.agents import (
    AgentFactory,
    ModificationFactory,
    ProjectContextFactory,
    ProjectFactory,
    SquadFactory,
    SquadMemberFactory,
    TemplateFactory,
)
from tests.kit.database import writes_nothing

pytestmark = pytest.mark.django_db

MakeStaff = Callable[..., Staff]


@pytest.fixture
def pending(organization: Organization) -> Modification:
    """A modification that is to be reviewed, of a context with one before."""
    project = ProjectFactory(organization=organization, name="Shop")
    ProjectContextFactory(organization=organization, project=project, dependencies={"django": "5.1"})
    context = ProjectContextFactory(organization=organization, project=project, dependencies={"django": "5.2"})
    return ModificationFactory(
        organization=organization,
        context=context,
        title="Cache the list",
        request="Keep it.\n<script>alert(1)</script>",
        impact_analysis={"latency": "-40 ms"},
        affected_files=["shop/views.py", "shop/urls.py"],
    )


def review(staff: Staff, modification: Modification, decision: str, **data: Any) -> Any:
    """Post a review, as the page that was read last would."""
    data = {"comment": "Read.", "as_of": modification.updated_at.isoformat(), "decision": decision} | data
    return staff.client.post(pages.url("review", Modification, modification.pk), data, follow=True)


# --- The review page -------------------------------------------------------------------------------


def test_the_review_page_shows_what_a_reviewer_needs(staff: Staff, pending: Modification) -> None:
    page = staff.client.get(pages.url("review", Modification, pending.pk)).content.decode()
    for text in (
        "Keep it.",
        "&lt;script&gt;",
        "-40 ms",
        "shop/views.py",
        "shop/urls.py",
        "Shop v2",
        "From version 1 to version 2",
        "dependencies/django",
        "5.1",
        "5.2",
        str(pending.requested_by),
        'value="approve"',
        'value="reject"',
    ):
        assert text in page
    assert pages.inline_code(page) == []
    assert "<script>alert" not in page


def test_the_record_s_page_leads_to_the_review_while_it_is_pending(staff: Staff, pending: Modification) -> None:
    address = pages.url("review", Modification, pending.pk)
    assert address in staff.client.get(pages.url("change", Modification, pending.pk)).content.decode()
    review(staff, pending, "reject")
    assert address not in staff.client.get(pages.url("change", Modification, pending.pk)).content.decode()


@pytest.mark.parametrize(("decision", "status"), [("approve", "approved"), ("reject", "rejected")])
def test_the_buttons_decide(staff: Staff, pending: Modification, decision: str, status: str) -> None:
    page = review(staff, pending, decision).content.decode()
    pending.refresh_from_db()
    assert (pending.status, pending.reviewed_by, pending.review_comment) == (status, staff.user, "Read.")
    assert f"is {status}." in page
    assert AuditEvent.objects.about(pending).latest("timestamp").event_type == f"modification.{decision}"


@pytest.mark.parametrize(
    "data", [{"comment": ""}, {"comment": "  "}, {"as_of": "yesterday"}, {"as_of": "2026-01-01"}, {"decision": "shrug"}]
)
def test_an_incomplete_review_is_asked_for_again(staff: Staff, pending: Modification, data: dict[str, str]) -> None:
    with writes_nothing():
        page = review(staff, pending, **{"decision": "approve"} | data)
    assert page.status_code == 200
    assert "errorlist" in page.content.decode()


def test_who_asked_is_told_why_there_are_no_buttons_and_refused(
    staff: Staff, pending: Modification, organization: Organization
) -> None:
    own = ModificationFactory(organization=organization, context=pending.context, requested_by=staff.user)
    page = staff.client.get(pages.url("review", Modification, own.pk)).content.decode()
    assert "You asked for this modification" in page
    assert 'name="decision"' not in page
    with writes_nothing():
        assert review(staff, own, "approve").status_code == 403
    Organization.objects.update(settings={"modifications": {"self_review": True}})
    assert 'name="decision"' in staff.client.get(pages.url("review", Modification, own.pk)).content.decode()
    assert review(staff, own, "approve").status_code == 200
    own.refresh_from_db()
    assert own.status == "approved"


def test_a_change_since_the_page_was_read_is_a_refusal(staff: Staff, pending: Modification) -> None:
    Modification.objects.update(request="And drop the table.")
    with writes_nothing():
        page = review(staff, pending, "approve").content.decode()
    assert "changed since you read it" in page


def test_a_second_review_is_a_refusal(staff: Staff, make_staff: MakeStaff, pending: Modification) -> None:
    second = make_staff("second")
    review(staff, pending, "reject")
    with writes_nothing():
        page = review(second, pending, "approve").content.decode()
    assert "changed since you read it" in page
    assert "It is rejected already." in page


def test_a_viewer_reads_and_does_not_review(make_staff: MakeStaff, pending: Modification) -> None:
    viewer = make_staff("viewer", role=Role.VIEWER)
    page = viewer.client.get(pages.url("review", Modification, pending.pk)).content.decode()
    assert "You may only look at it." in page
    with writes_nothing():
        assert review(viewer, pending, "approve").status_code == 403


def test_staff_of_another_organization_see_no_review(foreign_staff: Staff, pending: Modification) -> None:
    address = pages.url("review", Modification, pending.pk)
    with writes_nothing():
        assert foreign_staff.client.get(address).status_code == 404
        assert review(foreign_staff, pending, "approve").status_code == 404


def test_only_who_asked_edits_what_is_asked_for(staff: Staff, pending: Modification) -> None:
    page = staff.client.get(pages.url("change", Modification, pending.pk)).content.decode()
    assert 'name="request"' not in page
    own = ModificationFactory(organization=pending.organization, context=pending.context, requested_by=staff.user)
    body = {
        "title": "Less",
        "request": "Keep it for a second.",
        "impact_analysis": "{}",
        "risk_level": "low",
        "affected_files": "a.py,b.py",
    }
    assert staff.client.post(pages.url("change", Modification, own.pk), body).status_code == 302
    own.refresh_from_db()
    assert (own.title, own.risk_level, own.affected_files) == ("Less", "low", ["a.py", "b.py"])


def test_a_request_made_in_the_admin_is_the_user_s_own(
    staff: Staff, organization: Organization, pending: Modification
) -> None:
    body = {
        "organization": str(organization.pk),
        "context": str(pending.context_id),
        "title": "New",
        "request": "Do it.",
        "impact_analysis": "{}",
        "risk_level": "low",
        "affected_files": "",
    }
    assert staff.client.post(pages.url("add", Modification), body).status_code == 302
    assert Modification.objects.get(title="New").requested_by == staff.user


def test_an_approved_one_is_noted_as_applied(staff: Staff, pending: Modification) -> None:
    review(staff, pending, "approve")
    address = pages.url("action", Modification, pending.pk, "apply")
    assert staff.client.post(address, {"confirmed": "1", "result": '{"commit": "abc"}'}).status_code == 302
    pending.refresh_from_db()
    assert (pending.status, pending.result) == ("applied", {"commit": "abc"})


# --- Contexts --------------------------------------------------------------------------------------


def test_a_context_made_in_the_admin_is_the_next_version(staff: Staff, pending: Modification) -> None:
    project = pending.context.project
    body = {
        "organization": str(project.organization_id),
        "project": str(project.pk),
        "codebase": "{}",
        "configuration": "{}",
        "dependencies": '{"django": "5.3"}',
        "test_coverage": "90",
    }
    assert staff.client.post(pages.url("add", ProjectContext), body).status_code == 302
    made = ProjectContext.objects.get(project=project, version=3)
    assert (made.created_by, made.test_coverage) == (staff.user, 90)
    page = staff.client.get(pages.url("change", ProjectContext, made.pk)).content.decode()
    assert "From version 2 to version 3" in page
    assert 'name="codebase"' not in page


def test_a_first_context_has_nothing_to_compare_with(staff: Staff, organization: Organization) -> None:
    context = ProjectContextFactory(organization=organization)
    page = staff.client.get(pages.url("change", ProjectContext, context.pk)).content.decode()
    assert "There is no version before." in page


# --- Soft deletion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [AgentFactory, ProjectFactory])
def test_deleting_and_restoring(staff: Staff, organization: Organization, factory: Any) -> None:
    record = factory(organization=organization, name="Phoenix")
    model = type(record)
    staff.client.post(pages.url("delete", model, record.pk), {"post": "yes"})
    assert model.objects.get().is_deleted
    assert str(record.pk) not in staff.client.get(pages.url("changelist", model)).content.decode()
    assert str(record.pk) in staff.client.get(pages.url("changelist", model) + "?deleted=yes").content.decode()
    staff.client.post(pages.url("action", model, record.pk, "restore"))
    assert not model.objects.get().is_deleted
    verbs = AuditEvent.objects.about(record).order_by("timestamp").values_list("event_type", flat=True)
    assert [verb.partition(".")[2] for verb in verbs] == ["create", "delete", "restore"]


@pytest.mark.parametrize("model", [Agent, Project])
def test_a_name_that_was_taken_meanwhile_keeps_it_deleted(staff: Staff, organization: Organization, model: Any) -> None:
    factory = {Agent: AgentFactory, Project: ProjectFactory}[model]
    record = factory(organization=organization, name="Phoenix")
    model.objects.all().soft_delete()
    factory(organization=organization, name="Phoenix")
    page = staff.client.post(pages.url("action", model, record.pk, "restore"), follow=True).content.decode()
    assert "belongs to another" in page
    record.refresh_from_db()
    assert record.is_deleted


# --- The roster ------------------------------------------------------------------------------------


def test_an_agent_is_started_by_a_button(staff: Staff, organization: Organization) -> None:
    agent = AgentFactory(organization=organization)
    staff.client.post(pages.url("action", Agent, agent.pk, "start"))
    agent.refresh_from_db()
    assert agent.status == "starting"


def test_a_squad_s_page_lists_and_takes_members(staff: Staff, organization: Organization) -> None:
    member = SquadMemberFactory(organization=organization)
    squad, new = member.squad, AgentFactory(organization=organization)
    body = {
        "name": squad.name,
        "settings": "{}",
        "members-TOTAL_FORMS": "1",
        "members-INITIAL_FORMS": "0",
        "members-0-agent": str(new.pk),
        "members-0-role": "tester",
        "members-0-is_active": "on",
    }
    page = staff.client.get(pages.url("change", type(squad), squad.pk)).content.decode()
    assert member.agent.name in page
    assert staff.client.post(pages.url("change", type(squad), squad.pk), body).status_code == 302
    assert set(squad.members.values_list("agent__name", "role")) == {
        (member.agent.name, "developer"),
        (new.name, "tester"),
    }


def test_an_agent_of_another_organization_does_not_join(
    superuser: Staff, organization: Organization, other_organization: Organization
) -> None:
    squad, stranger = SquadFactory(organization=organization), AgentFactory(organization=other_organization)
    body = {
        "name": squad.name,
        "settings": "{}",
        "members-TOTAL_FORMS": "1",
        "members-INITIAL_FORMS": "0",
        "members-0-agent": str(stranger.pk),
        "members-0-role": "tester",
    }
    with writes_nothing():
        page = superuser.client.post(pages.url("change", type(squad), squad.pk), body)
    assert "another organization" in page.content.decode()


# --- Templates -------------------------------------------------------------------------------------

NEW_TEMPLATE = {
    "name": "New",
    "version": "1",
    "complexity": "simple",
    "setup_minutes": "5",
    "files": '{"README.md": "# {{ name }}"}',
    "required_variables": "name",
    "optional_variables": "{}",
    "tech_stack": "",
    "tags": "",
}


def test_a_template_that_does_not_parse_is_not_saved(staff: Staff, organization: Organization) -> None:
    body = NEW_TEMPLATE | {"organization": str(organization.pk), "files": '{"README.md": "{{ other }}"}'}
    with writes_nothing():
        page = staff.client.post(pages.url("add", Template), body).content.decode()
    assert "“other”" in page


def test_staff_see_what_is_shared_and_only_superusers_share(
    staff: Staff, superuser: Staff, organization: Organization, other_organization: Organization
) -> None:
    shared, theirs = TemplateFactory(organization=None), TemplateFactory(organization=other_organization)
    listed = pages.listed(staff.client.get(pages.url("changelist", Template)).content.decode())
    assert listed == [str(shared.pk)]
    assert staff.client.get(pages.url("change", Template, theirs.pk)).status_code == 302
    with writes_nothing():
        assert staff.client.post(pages.url("change", Template, shared.pk), NEW_TEMPLATE).status_code == 403
        assert staff.client.post(pages.url("delete", Template, shared.pk), {"post": "yes"}).status_code == 403
        assert staff.client.post(pages.url("add", Template), NEW_TEMPLATE).status_code == 200
    assert superuser.client.post(pages.url("add", Template), NEW_TEMPLATE).status_code == 302
    assert Template.objects.get(name="New").organization is None


def test_staff_make_templates_of_their_organization(staff: Staff, organization: Organization) -> None:
    body = NEW_TEMPLATE | {"organization": str(organization.pk)}
    assert staff.client.post(pages.url("add", Template), body).status_code == 302
    assert Template.objects.get().organization == organization
