"""How tests claim tasks."""

from typing import Any

from tests.kit.cast import Actor
from tests.kit.sql import run

CLAIM = "/api/v1/tasks/claim/"


def claim(actor: Actor, **body: Any) -> Any:
    """Return the task that the actor is handed, or None."""
    answer = actor.by_key.post(CLAIM, body)
    assert answer.status_code in (200, 204), answer.content
    assert answer.status_code == 200 or not answer.content
    return answer.json() if answer.content else None


def lapse() -> None:
    """Let all leases end a moment ago, without waiting for it."""
    run("UPDATE agents_task SET lease_expires_at = now() - interval '1 second' WHERE lease_token IS NOT NULL")


def post(actor: Actor, path: str, status: int = 200, **body: Any) -> Any:
    answer = actor.by_key.post(f"/api/v1/{path}/", body)
    assert answer.status_code == status, answer.content
    return answer.json()
