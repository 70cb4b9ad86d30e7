"""Modifications: asked for, reviewed by somebody else, applied; and the rules that the database keeps."""

from functools import partial
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from agents.models import Modification
from agents.services import modifications
from core.errors import ConflictError
from core.lifecycle import TransitionConflictError
from core.models import AuditEvent, Organization, User
from tests.factories.agents import ModificationFactory, ProjectContextFactory
from tests.factories.core import UserFactory
from tests.kit.cast import Actor
from tests.kit.races import errors, race, values
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

ADDRESS = "/api/v1/modifications/"
COMMENT = {"comment": "Read and understood."}


@pytest.fixture
def pending(teammate: Actor) -> Modification:
    """A modification that the teammate asks for."""
    return ModificationFactory(organization=teammate.organization, requested_by=teammate.user)


@pytest.fixture
def approved(pending: Modification, owner: Actor) -> Modification:
    """A modification that the owner approved."""
    return modifications.approve(modification=pending, reviewer=owner.user, comment="Go ahead.")


def allow_self_review(organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).update(settings={"modifications": {"self_review": True}})


def test_a_modification_is_asked_for_by_who_sends_it(teammate: Actor) -> None:
    context = ProjectContextFactory(organization=teammate.organization)
    body = {
        "context": str(context.pk),
        "title": "Cache the list",
        "request": "Keep it for a minute.",
        "impact_analysis": {"latency": "-40 ms"},
        "risk_level": "low",
        "affected_files": ["shop/views.py"],
    }
    answer = teammate.by_key.post(ADDRESS, body)
    assert answer.status_code == 201
    made = answer.json()
    assert {name: made[name] for name in body} == body
    assert (made["status"], made["requested_by"], made["project"]) == (
        "pending",
        str(teammate.user.pk),
        str(context.project_id),
    )
    assert made["reviewed_by"] is made["reviewed_at"] is None


@pytest.mark.parametrize(("action", "status"), [("approve", "approved"), ("reject", "rejected")])
def test_somebody_else_reviews(owner: Actor, pending: Modification, action: str, status: str) -> None:
    answer = owner.by_key.post(f"{ADDRESS}{pending.pk}/{action}/", COMMENT)
    assert answer.status_code == 200
    reviewed = answer.json()
    assert (reviewed["status"], reviewed["reviewed_by"]) == (status, str(owner.user.pk))
    assert reviewed["review_comment"] == COMMENT["comment"]
    assert reviewed["reviewed_at"] is not None
    event = AuditEvent.objects.about(pending).latest("timestamp")
    assert (event.event_type, event.user_id) == (f"modification.{action}", owner.user.pk)


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_who_asked_does_not_review(teammate: Actor, pending: Modification, action: str, writes_nothing: Any) -> None:
    teammate.by_key.get(ADDRESS)
    with writes_nothing():
        answer = teammate.by_key.post(f"{ADDRESS}{pending.pk}/{action}/", COMMENT)
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith(f"Whoever asked for a modification can't {action} it")


def test_an_organization_may_let_them_review_their_own(teammate: Actor, pending: Modification) -> None:
    allow_self_review(teammate.organization)
    assert teammate.by_key.post(f"{ADDRESS}{pending.pk}/approve/", COMMENT).status_code == 200


@pytest.mark.parametrize("settings", [{}, {"modifications": {"self_review": "yes"}}, {"modifications": True}])
def test_nothing_but_true_lets_them(teammate: Actor, pending: Modification, settings: Any) -> None:
    Organization.objects.filter(pk=teammate.organization.pk).update(settings=settings)
    assert teammate.by_key.post(f"{ADDRESS}{pending.pk}/approve/", COMMENT).status_code == 403


@pytest.mark.parametrize("body", [{}, {"comment": ""}, {"comment": "  "}])
@pytest.mark.parametrize("action", ["approve", "reject"])
def test_a_review_says_why(owner: Actor, pending: Modification, action: str, body: dict[str, str]) -> None:
    answer = owner.by_key.post(f"{ADDRESS}{pending.pk}/{action}/", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "comment")


def test_a_review_of_something_else_than_was_read_is_a_conflict(
    owner: Actor, teammate: Actor, pending: Modification
) -> None:
    read = owner.by_key.get(f"{ADDRESS}{pending.pk}/").json()
    teammate.by_key.patch(f"{ADDRESS}{pending.pk}/", {"request": "And drop the table."})
    body = COMMENT | {"updated_at": read["updated_at"]}
    answer = owner.by_key.post(f"{ADDRESS}{pending.pk}/approve/", body)
    assert (answer.status_code, "changed since" in answer.json()["detail"]) == (409, True)
    body["updated_at"] = owner.by_key.get(f"{ADDRESS}{pending.pk}/").json()["updated_at"]
    assert owner.by_key.post(f"{ADDRESS}{pending.pk}/approve/", body).status_code == 200


def test_only_who_asked_changes_what_is_asked_for(owner: Actor, teammate: Actor, pending: Modification) -> None:
    assert owner.by_key.patch(f"{ADDRESS}{pending.pk}/", {"request": "Mine now."}).status_code == 403
    answer = teammate.by_key.patch(f"{ADDRESS}{pending.pk}/", {"title": "Cache less", "risk_level": "low"})
    assert (answer.status_code, answer.json()["title"]) == (200, "Cache less")


def test_what_was_reviewed_is_not_changed(teammate: Actor, approved: Modification, writes_nothing: Any) -> None:
    teammate.by_key.get(ADDRESS)
    with writes_nothing():
        answer = teammate.by_key.patch(f"{ADDRESS}{approved.pk}/", {"request": "And drop the table."})
    assert answer.status_code == 409


@pytest.mark.parametrize("field", ["context", "status", "requested_by", "review_comment"])
def test_a_change_does_not_reach_further(teammate: Actor, pending: Modification, field: str) -> None:
    answer = teammate.by_key.patch(f"{ADDRESS}{pending.pk}/", {field: str(teammate.user.pk)})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unknown")


def test_an_approved_one_is_applied(owner: Actor, approved: Modification) -> None:
    answer = owner.by_key.post(f"{ADDRESS}{approved.pk}/apply/", {"result": {"commit": "abc123"}})
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["result"]) == ("applied", {"commit": "abc123"})
    assert answer.json()["applied_at"] is not None


def test_an_approved_one_may_fail(owner: Actor, approved: Modification) -> None:
    assert owner.by_key.post(f"{ADDRESS}{approved.pk}/fail/", {}).status_code == 400
    answer = owner.by_key.post(f"{ADDRESS}{approved.pk}/fail/", {"error": "The tests broke."})
    assert (answer.json()["status"], answer.json()["error_message"]) == ("failed", "The tests broke.")
    assert answer.json()["failed_at"] is not None


@pytest.mark.parametrize(
    ("action", "body"), [("apply", {}), ("fail", {"error": "Broken."}), ("approve", COMMENT), ("reject", COMMENT)]
)
def test_a_rejected_one_goes_nowhere(
    owner: Actor, pending: Modification, action: str, body: dict[str, str], writes_nothing: Any
) -> None:
    modifications.reject(modification=pending, reviewer=owner.user, comment="No.")
    owner.by_key.get(ADDRESS)
    with writes_nothing():
        assert owner.by_key.post(f"{ADDRESS}{pending.pk}/{action}/", body).status_code == 409


def test_a_pending_one_is_not_applied(owner: Actor, pending: Modification) -> None:
    assert owner.by_key.post(f"{ADDRESS}{pending.pk}/apply/").status_code == 409


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=pending,approved", True),
        ("status=rejected", False),
        ("affected_files=catalog/views.py", True),
        ("affected_files=other.py", False),
        ("project={pending.context.project_id}", True),
        ("context={pending.context_id}&risk_level=medium", True),
        ("requested_by={pending.requested_by_id}", True),
        ("reviewed_by={pending.requested_by_id}", False),
    ],
)
def test_modifications_can_be_filtered(owner: Actor, pending: Modification, query: str, found: bool) -> None:
    answer = owner.by_key.get(f"{ADDRESS}?{query.format(pending=pending)}")
    assert bool(answer.json()["results"]) is found


@pytest.mark.django_db(transaction=True)
def test_of_two_reviews_at_once_one_counts(organization: Organization) -> None:
    pending = ModificationFactory(organization=organization)
    reviewers = [UserFactory(memberships__organization=organization) for _ in range(2)]
    outcomes = race(
        partial(modifications.approve, modification=pending, reviewer=reviewers[0], comment="Yes."),
        partial(modifications.reject, modification=pending, reviewer=reviewers[1], comment="No."),
    )
    assert len(values(outcomes)) == 1
    assert [type(error) for error in errors(outcomes)] == [TransitionConflictError]


@pytest.mark.django_db(transaction=True)
def test_what_is_approved_is_never_changed_meanwhile(organization: Organization) -> None:
    pending = ModificationFactory(organization=organization)
    reviewer = UserFactory(memberships__organization=organization)
    read = pending.updated_at
    change = partial(modifications.amend, modification=pending, user=pending.requested_by, request="Drop the table.")
    review = partial(modifications.approve, modification=pending, reviewer=reviewer, comment="Yes.", as_of=read)
    outcomes = race(change, review)
    pending.refresh_from_db()
    assert len(values(outcomes)) == 1
    assert [type(error) for error in errors(outcomes)] == [ConflictError]
    assert (pending.status, pending.request != "Drop the table.") in [("approved", True), ("pending", False)]


def test_the_service_refuses_too(pending: Modification) -> None:
    with pytest.raises(PermissionDenied):
        modifications.approve(modification=pending, reviewer=pending.requested_by, comment="Mine is good.")


# --- The rules -------------------------------------------------------------------------------------

REVIEWED = "reviewed_at = now(), review_comment = 'Fine.', reviewed_by_id = "


def somebody() -> User:
    return UserFactory()


@pytest.mark.parametrize("status", ["approved", "rejected"])
def test_the_database_refuses_a_review_by_who_asked(pending: Modification, status: str) -> None:
    ignore_all_triggers()
    statement = f"UPDATE agents_modification SET status = %s, {REVIEWED} requested_by_id WHERE id = %s"
    assert refused(statement, status, pending.pk) == "agents_modification_self_review"


def test_the_database_reads_the_organization_s_setting(pending: Modification) -> None:
    allow_self_review(pending.organization)
    run(f"UPDATE agents_modification SET status = 'approved', {REVIEWED} requested_by_id WHERE id = %s", pending.pk)
    # What was allowed then stays, whatever is allowed now.
    Organization.objects.update(settings={})
    run("UPDATE agents_modification SET status = 'applied', applied_at = now() WHERE id = %s", pending.pk)


def test_the_database_refuses_one_that_begins_reviewed_by_who_asked(pending: Modification) -> None:
    rule = refused(
        "INSERT INTO agents_modification (organization_id, context_id, title, request, status, impact_analysis,"
        " risk_level, affected_files, requested_by_id, reviewed_by_id, review_comment, error_message, reviewed_at)"
        " SELECT organization_id, context_id, title, request, 'approved', '{}', 'low', '{}', requested_by_id,"
        " requested_by_id, 'Fine.', '', now() FROM agents_modification WHERE id = %s",
        pending.pk,
    )
    assert rule == "agents_modification_self_review"


def test_who_asked_never_changes(pending: Modification) -> None:
    rule = refused("UPDATE agents_modification SET requested_by_id = %s WHERE id = %s", somebody().pk, pending.pk)
    assert rule == "agents_modification_requested_by_id_immutable"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("title", "'Other'"),
        ("request", "'Drop the table.'"),
        ("impact_analysis", "'{\"none\": true}'"),
        ("risk_level", "'low'"),
        ("affected_files", "'{x.py}'"),
    ],
)
def test_what_was_asked_for_never_changes_from_the_review_on(
    pending: Modification, owner: Actor, column: str, value: str
) -> None:
    at_once = f"UPDATE agents_modification SET {column} = {value}, status = 'approved', {REVIEWED} %s WHERE id = %s"
    rule = f"agents_modification_{column}_immutable"
    assert refused(at_once, owner.user.pk, pending.pk) == rule
    modifications.approve(modification=pending, reviewer=owner.user, comment="Go ahead.")
    assert refused(f"UPDATE agents_modification SET {column} = {value} WHERE id = %s", pending.pk) == rule


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("title = ''", "agents_modification_title_given"),
        ("request = ''", "agents_modification_request_given"),
        ("risk_level = 'none'", "agents_modification_risk_level"),
        ("impact_analysis = '[]'", "agents_modification_impact_object"),
        ("status = 'applied', applied_at = now()", "agents_modification_status_transitions"),
        ("status = 'approved'", "agents_modification_status_reviewed"),
        ("review_comment = 'Early.'", "agents_modification_status_reviewed"),
        ("applied_at = now()", "agents_modification_status_applied"),
        ("error_message = 'Early.'", "agents_modification_status_failed"),
        ("result = '{}'", "agents_modification_result"),
    ],
)
def test_rules_of_a_pending_modification(pending: Modification, change: str, rule: str) -> None:
    assert refused(f"UPDATE agents_modification SET {change} WHERE id = %s", pending.pk) == rule


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("status = 'applied'", "agents_modification_status_applied"),
        ("status = 'failed', failed_at = now()", "agents_modification_status_failed"),
        ("status = 'pending'", "agents_modification_status_transitions"),
        ("reviewed_by_id = NULL", "agents_modification_status_reviewed"),
        ("review_comment = ''", "agents_modification_status_reviewed"),
    ],
)
def test_rules_of_an_approved_modification(approved: Modification, change: str, rule: str) -> None:
    assert refused(f"UPDATE agents_modification SET {change} WHERE id = %s", approved.pk) == rule


def test_a_modification_s_context_is_of_its_organization(
    organization: Organization, other_organization: Organization
) -> None:
    context = ProjectContextFactory(organization=other_organization)
    rule = refused(
        "INSERT INTO agents_modification (organization_id, context_id, title, request, status, impact_analysis,"
        " risk_level, affected_files, requested_by_id, review_comment, error_message)"
        " VALUES (%s, %s, 't', 'r', 'pending', '{}', 'low', '{}', %s, '', '')",
        organization.pk,
        context.pk,
        somebody().pk,
    )
    assert rule == "agents_modification_context"
