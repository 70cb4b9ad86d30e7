"""GitHub's issues become tasks: signed, with the chosen label, each once."""

import hashlib
import hmac
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection

from agents.models import Task
from core.models import AuditEvent, Integration, IntegrationEvent, Organization
from core.services import integrations
from core.tasks import handle_integration_event
from tests.factories.agents.work import TaskFactory
from tests.factories.core import INTEGRATION_SECRET, IntegrationFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.races import Meeting, Outcome, errors, race, values
from tests.kit.sql import refused, run

pytestmark = pytest.mark.django_db

Deliver = Callable[..., Any]


def issue(**changes: Any) -> dict[str, Any]:
    """Return what GitHub sends when an issue is labeled, as far as it matters here."""
    of_issue = {
        "id": 2147483001,
        "number": 41,
        "title": "Checkout forgets the coupon",
        "body": "Steps: …",
        "html_url": "https://github.com/octocat/hello-world/issues/41",
        "state": "open",
        "updated_at": "2026-10-05T12:00:00Z",
        "user": {"login": "octocat"},
        "labels": [{"name": "bug"}, {"name": "Muster"}],
    }
    return {
        "action": changes.pop("action", "labeled"),
        "repository": {"full_name": changes.pop("repository", "Octocat/Hello-World")},
        "issue": of_issue | changes,
    }


def signature(body: bytes, secret: str = INTEGRATION_SECRET) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def deliver(integration: Integration, payload: Any, delivery: str = "d-1", **headers: str) -> Any:
    """Send a payload as GitHub does, and return the answer."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    given = {
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": signature(body),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    path = f"/api/v1/integrations/{integration.pk}/receive/"
    return ApiClient().generic("POST", path, body, "application/json", headers=given)


def work_off() -> None:
    """Do what the jobs that wait would do."""
    waiting = "SELECT args ->> 'event_id' FROM procrastinate_jobs WHERE task_name = %s ORDER BY id"
    for (event_id,) in run(waiting, handle_integration_event.name):
        handle_integration_event(event_id)


@pytest.fixture
def github(organization: Organization) -> Integration:
    return IntegrationFactory(organization=organization, provider="github")


def test_a_labeled_issue_becomes_a_task(github: Integration, organization: Organization) -> None:
    assert deliver(github, issue()).status_code == 202
    assert not Task.objects.exists()
    work_off()
    task = Task.objects.get()
    assert (task.organization_id, task.name, task.description) == (
        organization.pk,
        "Checkout forgets the coupon",
        "Steps: …",
    )
    assert (task.task_type, task.status, task.external_id) == (
        "github_issue",
        "pending",
        "github.com/issue/2147483001",
    )
    assert task.payload["url"] == "https://github.com/octocat/hello-world/issues/41"
    event = IntegrationEvent.objects.get()
    assert (event.status, event.outcome) == ("handled", f"Made task {task.pk}.")
    made = AuditEvent.objects.get(event_type="task.create")
    assert made.details["integration"] == str(github.pk)
    github.refresh_from_db()
    assert github.last_synced_at is not None


def test_an_issue_becomes_a_task_once(github: Integration) -> None:
    """However often it is delivered, under the same name or, as somebody who replays it would, under another."""
    codes = [deliver(github, issue(), delivery).status_code for delivery in ("d-1", "d-1", "d-2", "d-1")]
    codes.append(deliver(github, issue(action="edited", title="Renamed"), "d-3").status_code)
    assert codes == [202, 200, 202, 200, 202]
    work_off()
    work_off()
    assert Task.objects.count() == 1
    assert sorted(IntegrationEvent.objects.values_list("status", flat=True)) == ["handled", "ignored", "ignored"]


def test_the_database_keeps_one_task_an_issue(github: Integration) -> None:
    first = TaskFactory(organization=github.organization, external_id="github.com/issue/1")
    TaskFactory(external_id="github.com/issue/1")
    second = TaskFactory(organization=first.organization)
    rename = "UPDATE agents_task SET external_id = 'github.com/issue/1' WHERE id = %s"
    assert refused(rename, second.pk) == "agents_task_external_id"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": [{"name": "bug"}]}, "doesn't bear the chosen label"),
        ({"state": "closed", "action": "closed"}, "No open issue"),
        ({"action": "deleted"}, "No open issue"),
        ({"repository": "octocat/other"}, "the repository octocat/other"),
    ],
)
def test_other_issues_are_let_be(changes: dict[str, Any], told: str, github: Integration) -> None:
    deliver(github, issue(**changes))
    work_off()
    event = IntegrationEvent.objects.get()
    assert event.status == "ignored"
    assert told in event.outcome
    assert not Task.objects.exists()


def test_what_lacks_something_fails_visibly_and_can_be_tried_again(github: Integration, owner: Actor) -> None:
    deliver(github, issue(title=None))
    work_off()
    event = IntegrationEvent.objects.get()
    assert event.status == "failed"
    assert "lacks something" in event.outcome
    answer = owner.by_key.post(f"/api/v1/integration-events/{event.pk}/retry/")
    assert answer.json()["status"] == "pending"
    assert owner.by_key.get("/api/v1/integration-events/", {"status": "pending"}).json()["results"][0]["id"] == str(
        event.pk
    )


# --- Signatures ------------------------------------------------------------------------------------

BODY = json.dumps(issue()).encode()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sha256=",
        signature(BODY).upper(),
        signature(BODY)[:-1],
        signature(BODY + b" "),
        signature(BODY, "another-secret-of-16"),
        signature(BODY).replace("sha256", "sha1"),
        "sha256=" + "é" * 64,
    ],
)
def test_what_is_not_signed_with_the_secret_is_refused_and_recorded(given: str, github: Integration) -> None:
    answer = deliver(github, BODY, X_Hub_Signature_256=given)
    assert (answer.status_code, answer.json()["type"]) == (401, "/api/problems/bad_signature/")
    assert not IntegrationEvent.objects.exists()
    event = AuditEvent.objects.get(event_type="integration.refuse")
    assert (event.organization_id, event.resource_id, event.success) == (github.organization_id, github.pk, False)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff", b'{"action": "labeled", "issue": 5}'])
def test_what_is_signed_and_cannot_be_read_is_a_bad_request(body: bytes, github: Integration) -> None:
    assert deliver(github, body).status_code == 400
    assert not IntegrationEvent.objects.exists()


def test_a_null_character_is_a_bad_request_and_no_failure(github: Integration) -> None:
    assert deliver(github, issue(title="a\0b")).status_code == 400


def test_what_is_about_something_else_is_taken_and_not_kept(github: Integration) -> None:
    assert deliver(github, {"zen": "Design for failure."}, X_GitHub_Event="ping").status_code == 200
    assert not IntegrationEvent.objects.exists()


def test_a_delivery_without_a_name_is_a_bad_request(github: Integration) -> None:
    assert deliver(github, issue(), delivery="").status_code == 400


def test_too_large_a_body_is_not_read(github: Integration) -> None:
    assert deliver(github, b"x" * (1024 * 1024 + 1)).status_code == 413


def test_an_unknown_disabled_or_silent_integration_is_not_there(github: Integration) -> None:
    others = [
        IntegrationFactory(provider="github", status="disabled"),
        IntegrationFactory(provider="github", webhook_secret=""),
        IntegrationFactory(provider="slack"),
        IntegrationFactory.build(provider="github", organization=github.organization),
    ]
    assert [deliver(other, issue()).status_code for other in others] == [404] * 4
    github.organization.is_active = False
    github.organization.save()
    assert deliver(github, issue()).status_code == 404


# --- At once ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_same_issue_many_times_at_once_is_one_task(github: Integration) -> None:
    def send(number: int) -> int:
        code: int = deliver(github, issue(), f"d-{number % 2}").status_code
        for event in IntegrationEvent.objects.all():
            integrations.handle(event_id=event.pk)
        return code

    outcomes = race(*(partial(send, number) for number in range(8)))
    assert errors(outcomes) == []
    assert sorted(values(outcomes)) == [200] * 6 + [202] * 2
    assert Task.objects.count() == 1
    assert sorted(IntegrationEvent.objects.values_list("status", flat=True)) == ["handled", "ignored"]


def deliver_at_once(github: Integration) -> list[Outcome]:
    """Send a delivery twice, each after the other has seen that it is new."""
    meeting = Meeting(2)

    def wait(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('INSERT INTO "core_integrationevent"'):
            meeting.attend()
        return execute(sql, params, many, context)

    def send() -> int:
        meeting.announce()
        with connection.execute_wrapper(wait):
            code: int = deliver(github, issue()).status_code
            return code

    return race(send, send)


@pytest.mark.django_db(transaction=True)
def test_the_same_delivery_at_once_is_kept_once(github: Integration) -> None:
    outcomes = deliver_at_once(github)
    assert (sorted(values(outcomes)), errors(outcomes)) == ([200, 202], [])
    assert IntegrationEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_control_without_the_rule_it_is_kept_twice(github: Integration) -> None:
    run("ALTER TABLE core_integrationevent DROP CONSTRAINT core_integrationevent_once")
    try:
        outcomes = deliver_at_once(github)
        assert (values(outcomes), errors(outcomes)) == ([202, 202], [])
        assert IntegrationEvent.objects.count() == 2
    finally:
        IntegrationEvent.objects.all().delete()
        run(
            "ALTER TABLE core_integrationevent"
            " ADD CONSTRAINT core_integrationevent_once UNIQUE (integration_id, delivery_id)"
        )
