"""GitHub: issues that bear the chosen label become tasks, each issue once."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.utils.dateparse import parse_datetime

from agents.models import Task
from core.integrations.receivers import BadSignatureError, IgnoredError, Message, UnreadableMessageError
from core.models import Integration, IntegrationEvent

TASK_TYPE = "github_issue"
NAME_LENGTH = 300
EVENT = "issues"
ACTIONS = {"opened", "labeled", "reopened", "edited"}
DELIVERY = re.compile(r"[\x21-\x7e]{1,100}")


class GitHubReceiver:
    """Understands GitHub's webhooks (docs.github.com, “Validating webhook deliveries”).

    GitHub signs the body alone, without a time. A body that is sent again, under another delivery id even, can do no
    more than the first did: an issue becomes a task once.
    """

    def read(self, *, body: bytes, headers: Mapping[str, str], secret: str) -> Message | None:
        """Return the message of a request; None when it isn't about issues."""
        expected = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
        given = headers.get("X-Hub-Signature-256", "")
        if not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
            raise BadSignatureError("“X-Hub-Signature-256” isn't the body's signature with the integration's secret.")
        delivery_id, kind = headers.get("X-GitHub-Delivery", ""), headers.get("X-GitHub-Event", "")
        if not DELIVERY.fullmatch(delivery_id):
            raise UnreadableMessageError("“X-GitHub-Delivery” names no delivery.")
        if kind != EVENT:
            return None
        try:
            payload = orjson.loads(body)
            action, issue = str(payload["action"]), payload["issue"]
            subject, occurred_at = issue_name(issue), _time(issue.get("updated_at"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UnreadableMessageError(
                "The body is no event about an issue. Let GitHub send it as application/json."
            ) from error
        return Message(delivery_id, f"{EVENT}.{action}"[:100], payload, subject, occurred_at)

    def handle(self, *, integration: Integration, event: IntegrationEvent) -> str:
        """Make a task of the issue, unless there is one."""
        config = integration.config
        try:
            fields = task_fields(event.payload, config["repository"], config.get("label", ""))
        except (KeyError, TypeError, AttributeError) as error:
            raise UnreadableMessageError(f"The event lacks something, or says it otherwise: {error!r}.") from error
        task, is_new = Task.objects.get_or_create(
            organization_id=integration.organization_id,
            external_id=event.subject,
            defaults={"task_type": config.get("task_type", TASK_TYPE), **fields},
        )
        if not is_new:
            raise IgnoredError(f"The issue is task {task.pk} already.")
        return f"Made task {task.pk}."


def task_fields(payload: Mapping[str, Any], chosen_repository: str, chosen_label: str) -> dict[str, Any]:
    """Return what a task says of the issue that an event is about. Raises IgnoredError when it isn't to become one."""
    issue, repository = payload["issue"], payload["repository"]["full_name"]
    if repository.casefold() != chosen_repository.casefold():
        raise IgnoredError(f"It is about the repository {repository}.")
    if payload["action"] not in ACTIONS or issue["state"] != "open":
        raise IgnoredError("No open issue was made, changed or labeled.")
    if not chosen_label or chosen_label.casefold() not in [label["name"].casefold() for label in issue["labels"]]:
        raise IgnoredError("The issue doesn't bear the chosen label." if chosen_label else "No label is chosen.")
    return {
        "name": issue["title"][:NAME_LENGTH],
        "description": issue["body"] or "",
        "payload": {
            "repository": repository,
            "issue": issue["number"],
            "url": issue["html_url"],
            "author": (issue["user"] or {}).get("login"),
        },
    }


def issue_name(issue: Mapping[str, Any]) -> str:
    """Return the name by which a task knows its issue. GitHub's number of it stays when a repository is renamed."""
    host = urlsplit(issue["html_url"]).hostname
    return f"{host}/issue/{int(issue['id'])}"


def _time(text: Any) -> datetime | None:
    return parse_datetime(text) if isinstance(text, str) else None
