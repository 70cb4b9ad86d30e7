"""Messages between the members of squads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from agents.models import AgentMessage, MessageType, SquadMember, TaskRun


@dataclass(frozen=True)
class Message:
    """What a member of a squad says during a run; to all, unless it has a recipient."""

    task_run_id: UUID
    sender_id: UUID
    content: str
    recipient_id: UUID | None = None
    message_type: str = MessageType.STATUS
    metadata: dict[str, Any] = field(default_factory=dict)
    thread: UUID | None = None


REFERENCES = {"task_run": TaskRun, "sender": SquadMember, "recipient": SquadMember}


@transaction.atomic
def send_messages(*, organization_id: UUID, messages: Sequence[Message]) -> list[AgentMessage]:
    """Store all messages, or none, and return them in their order.

    Raises ValidationError, by position and field (``3.sender``), for references to what the organization doesn't
    have, and for a member who writes to themselves.
    """
    errors = _unknown(organization_id, messages) | {
        f"{position}.recipient": ValidationError("The recipient is the sender.", "invalid")
        for position, message in enumerate(messages)
        if message.recipient_id == message.sender_id
    }
    if errors:
        raise ValidationError(errors)
    return AgentMessage.objects.bulk_create(
        AgentMessage(organization_id=organization_id, **vars(message)) for message in messages
    )


def _unknown(organization_id: UUID, messages: Sequence[Message]) -> dict[str, ValidationError]:
    """Return an error for each reference to a record that the organization doesn't have, in one query a kind."""
    errors = {}
    for name, model in REFERENCES.items():
        named = [getattr(message, f"{name}_id") for message in messages]
        rows = model._default_manager.filter(organization_id=organization_id, pk__in={each for each in named if each})
        known = set(rows.values_list("pk", flat=True))
        for position, each in enumerate(named):
            if each and each not in known:
                what = model._meta.verbose_name
                errors[f"{position}.{name}"] = ValidationError(f"There is no such {what}.", "does_not_exist")
    return errors
