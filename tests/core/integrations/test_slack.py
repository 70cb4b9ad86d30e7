"""Slack is told of the events it was chosen for: whoever made the change, and only of what committed."""

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from agents.models import Project
from core.integrations.retries import MOST_ATTEMPTS, NOTICE_RETRY
from core.integrations.texts import text_of
from core.models import AuditEvent, Integration, Organization
from core.services import integrations
from core.services.integrations import NotSentError
from core.tasks import notify_slack
from tests.core.integrations.conftest import StandIn, says
from tests.factories.agents.projects import ProjectFactory
from tests.factories.core import CONFIGS, AuditEventFactory, IntegrationFactory, OrganizationFactory
from tests.kit.cast import Actor
from tests.kit.sql import run

pytestmark = pytest.mark.django_db

POST = "/slack/chat.postMessage"


def told(integration: Integration) -> list[str]:
    """Return the types of the events that messages are enqueued of, oldest first."""
    jobs = run(
        "SELECT args ->> 'event_id' FROM procrastinate_jobs WHERE task_name = 'core.tasks.notify_slack'"
        " AND queue_name = 'integrations' AND args ->> 'integration_id' = %s ORDER BY id",
        str(integration.pk),
    )
    return [AuditEvent.objects.get(pk=event).event_type for (event,) in jobs]


def chosen(*events: str) -> dict[str, Any]:
    return CONFIGS["slack"] | {"events": list(events)}


# --- What the database enqueues --------------------------------------------------------------------


def test_raw_sql_is_told_too_and_a_change_rolled_back_is_not(organization: Organization) -> None:
    slack = IntegrationFactory(organization=organization, provider="slack", config=chosen("project.*"))
    project = ProjectFactory(organization=organization)
    run("UPDATE agents_project SET name = 'By hand' WHERE id = %s", project.pk)
    with transaction.atomic():
        run("UPDATE agents_project SET name = 'Never' WHERE id = %s", project.pk)
        transaction.set_rollback(True)
    assert told(slack) == ["project.create", "project.update"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [(["*"], 1), (["project.*"], 1), (["task.*", "project.create"], 1), (["project.update"], 0), (["projects.*"], 0)],
)
def test_who_is_told_is_a_matter_of_patterns(patterns: list[str], expected: int, organization: Organization) -> None:
    slack = IntegrationFactory(organization=organization, provider="slack", config=chosen(*patterns))
    run("DELETE FROM procrastinate_jobs")
    ProjectFactory(organization=organization, squad=None)
    ProjectFactory(organization=OrganizationFactory())
    assert told(slack).count("project.create") == expected


def test_neither_a_disabled_one_nor_another_provider_is_told(organization: Organization) -> None:
    off = IntegrationFactory(organization=organization, provider="slack", config=chosen("*"), status="disabled")
    code = IntegrationFactory(organization=organization, provider="github")
    ProjectFactory(organization=organization)
    assert told(off) == told(code) == []


def test_one_is_not_told_of_itself(organization: Organization) -> None:
    """Or a message that fails would be an event, that would be a message, that fails."""
    slack = IntegrationFactory(organization=organization, provider="slack", config=chosen("*"))
    other = IntegrationFactory(organization=organization, provider="slack", name="Other", config=chosen("task.*"))
    integrations.note(integration=Integration.objects.get(pk=slack.pk), fault="Slack refuses.")
    integrations.note(integration=Integration.objects.get(pk=other.pk), fault="Slack refuses.")
    events = AuditEvent.objects.filter(event_type="integration.fail")
    assert {event.resource_id for event in events} == {slack.pk, other.pk}
    assert told(slack) == ["integration.create", "integration.fail"]
    assert told(other) == []


# --- What is sent ----------------------------------------------------------------------------------


def test_a_message_says_what_happened_and_no_values(stand_in: StandIn, owner: Actor) -> None:
    slack = stand_in.integration("slack", owner.organization, config={"events": ["project.*"]})
    answer = owner.by_key.post("/api/v1/projects/", {"name": "Orbit <!channel> & more", "description": "private"})
    assert answer.status_code == 201
    owner.by_key.patch(f"/api/v1/projects/{answer.json()['id']}/", {"description": "also private"})
    waiting = "SELECT args ->> 'event_id' FROM procrastinate_jobs WHERE task_name = %s ORDER BY id"
    for (event_id,) in run(waiting, notify_slack.name):
        notify_slack(str(slack.pk), event_id)
    first, second = (json.loads(request.body) for request in stand_in.requests)
    assert [request.path for request in stand_in.requests] == [POST, POST]
    assert first["channel"] == "#deployments"
    assert first["text"] == f"*project.create*  Orbit &lt;!channel&gt; &amp; more\nby {owner.user.email}"
    assert "changed: description" in second["text"]
    assert "private" not in str(stand_in.requests)
    slack.refresh_from_db()
    assert slack.status == "working"
    assert slack.last_synced_at is not None


def test_what_is_gone_is_told_by_the_name_it_had(organization: Organization) -> None:
    project = ProjectFactory(organization=organization, name="Orbit")
    Project.objects.filter(pk=project.pk).delete()
    event = AuditEvent.objects.get(event_type="project.delete")
    assert text_of(event).startswith("*project.delete*  Orbit")


def sent(stand_in: StandIn, organization: Organization, *answers: Any) -> tuple[Integration, UUID]:
    """Return an integration whose service answers so, and an event to tell it of."""
    stand_in.answers[POST] = list(answers)
    return stand_in.integration("slack", organization), AuditEventFactory(organization=organization).pk


@pytest.mark.parametrize(
    ("answer", "lasting", "wait", "status"),
    [
        (says({"ok": False, "error": "channel_not_found"}), True, 0, "failing"),
        (says({"ok": False, "error": "token_revoked"}), True, 0, "failing"),
        (says({"ok": False, "error": "internal_error"}), False, 0, "failing"),
        (says({}, 503), False, 0, "failing"),
        ((200, {}, b"<html>"), True, 0, "failing"),
        ((429, {"Retry-After": "30"}, b""), False, 30, "unchecked"),
    ],
)
def test_what_fails_is_noted_and_tried_again_where_that_may_help(
    answer: Any, lasting: bool, wait: int, status: str, stand_in: StandIn, organization: Organization
) -> None:
    slack, event_id = sent(stand_in, organization, answer, says({"ok": True}))
    with pytest.raises(NotSentError) as caught:
        integrations.notify_slack(integration_id=slack.pk, event_id=event_id)
    assert (caught.value.lasting, caught.value.wait) == (lasting, wait)
    slack.refresh_from_db()
    assert slack.status == status
    decision = NOTICE_RETRY.get_retry_decision(exception=caught.value, job=SimpleNamespace(attempts=0))  # type: ignore[arg-type]
    assert (decision is None) == lasting
    integrations.notify_slack(integration_id=slack.pk, event_id=event_id)
    slack.refresh_from_db()
    assert (slack.status, slack.last_error) == ("working", "")


def test_it_is_not_tried_again_for_ever() -> None:
    job: Any = SimpleNamespace(attempts=MOST_ATTEMPTS)
    assert NOTICE_RETRY.get_retry_decision(exception=NotSentError("", lasting=False, wait=0), job=job) is None


def test_one_that_was_disabled_or_deleted_meanwhile_is_told_nothing(
    stand_in: StandIn, organization: Organization
) -> None:
    slack, event_id = sent(stand_in, organization, says({"ok": True}))
    integrations.disable(integration=slack)
    integrations.notify_slack(integration_id=slack.pk, event_id=event_id)
    slack.delete()
    integrations.notify_slack(integration_id=slack.pk, event_id=event_id)
    assert stand_in.requests == []
