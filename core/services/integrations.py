"""What is done with integrations: made, changed, checked; what they are told, and what they tell us."""

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.views.decorators.debug import sensitive_variables

from core import audit
from core.errors import ConflictError
from core.integrations import services, texts
from core.integrations.receivers import RECEIVERS, IgnoredError, Message, UnreadableMessageError
from core.models import AuditEvent, Integration, IntegrationEvent, IntegrationStatus
from core.tasks import handle_integration_event
from core.violations import explain

logger = logging.getLogger(__name__)

EVENTS_KEPT = timedelta(days=30)
CHANGED = {"config", "token"}


class NotSentError(Exception):
    """Slack took no message. ``lasting``: nor would it later; ``wait``: not before so many seconds."""

    def __init__(self, message: str, *, lasting: bool, wait: int) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.wait = wait


# --- Making and checking ---------------------------------------------------------------------------


@sensitive_variables("fields", "integration")
@transaction.atomic
def create(*, organization_id: UUID, **fields: Any) -> Integration:
    """Make an integration. Raises ValidationError, by field, when the provider doesn't take what is given."""
    integration = Integration(organization_id=organization_id, **fields)
    integration.clean()
    integration.save(force_insert=True)
    return integration


@sensitive_variables("changes")
@transaction.atomic
def change(*, integration: Integration, **changes: Any) -> Integration:
    """Change an integration; after another configuration or token, it isn't known any more whether it works.

    Raises ValidationError, by field, when the provider doesn't take what is given.
    """
    for name, value in changes.items():
        setattr(integration, name, value)
    integration.clean()
    integration.save(update_fields=list(changes))
    if CHANGED & changes.keys() and integration.status in (IntegrationStatus.WORKING, IntegrationStatus.FAILING):
        Integration.lifecycle.move(integration, "reset", last_error="")
    integration.refresh_from_db()
    return integration


def check(*, integration: Integration) -> Integration:
    """Ask the service whether the integration works, note the answer, and return the integration as it then stands.

    A request over the network: never call it inside a transaction. Raises ConflictError, code ``changed_meanwhile``,
    when the answer is about a configuration or a token that is no longer the present one.
    """
    return note(integration=integration, fault=services.fault_of(integration), last_checked_at=Now())


@transaction.atomic
def note(*, integration: Integration, fault: str, **times: Any) -> Integration:
    """Note that the integration works, or that it doesn't and why."""
    current = Integration.objects.select_for_update(no_key=True).get(pk=integration.pk)
    if (current.config, current.token) != (integration.config, integration.token):
        raise ConflictError("The integration was changed meanwhile: check it again.", code="changed_meanwhile")
    move = "fail" if fault else "confirm"
    if Integration.lifecycle.allows(move, current.status):
        return Integration.lifecycle.move(current, move, last_error=fault, **times)
    Integration.objects.filter(pk=current.pk).update(last_error=fault, **times)
    current.refresh_from_db()
    return current


@transaction.atomic
def disable(*, integration: Integration) -> Integration:
    """Switch an integration off: it is told nothing, and what it tells us is refused."""
    return Integration.lifecycle.move(integration, "disable")


@transaction.atomic
def enable(*, integration: Integration) -> Integration:
    """Switch an integration on again. Whether it works is to be checked."""
    return Integration.lifecycle.move(integration, "enable", last_error="")


# --- Telling ---------------------------------------------------------------------------------------


def notify_slack(*, integration_id: UUID, event_id: UUID) -> None:
    """Tell an integration's channel of an event. Nothing to do where one of them is gone, or it was disabled.

    Raises NotSentError when Slack doesn't take the message; the integration then says why, unless it is but too much.
    """
    integration = Integration.objects.exclude(status=IntegrationStatus.DISABLED).filter(pk=integration_id).first()
    event = AuditEvent.objects.filter(pk=event_id).first()
    if integration is None or event is None:
        return
    reply = services.post_to_slack(integration, texts.text_of(event))
    if reply.ok:
        _note_if_same(integration, "", last_synced_at=Now())
        return
    if not reply.wait:
        _note_if_same(integration, reply.error)
    raise NotSentError(reply.error, lasting=reply.lasting, wait=reply.wait)


def _note_if_same(integration: Integration, fault: str, **times: Any) -> None:
    try:
        note(integration=integration, fault=fault, **times)
    except (ConflictError, Integration.DoesNotExist):
        logger.info("What Slack answered is about an integration that was changed meanwhile.")


# --- Being told ------------------------------------------------------------------------------------


@transaction.atomic
def receive(*, integration: Integration, message: Message) -> tuple[IntegrationEvent, bool]:
    """Keep what a service told us, to be handled by a job. Return it, and whether it is new: it is kept once."""
    event, is_new = IntegrationEvent.objects.get_or_create(
        organization_id=integration.organization_id,
        integration=integration,
        delivery_id=message.delivery_id,
        defaults={
            "event_type": message.event_type,
            "subject": message.subject,
            "occurred_at": message.occurred_at,
            "payload": message.payload,
        },
    )
    if is_new:
        handle_integration_event.enqueue(event_id=str(event.pk))
    return event, is_new


@transaction.atomic
def handle(*, event_id: UUID) -> None:
    """Do what follows from an event, and note it. Nothing to do where that was done, or the event is gone.

    The events of one integration take turns. What can't be followed is noted as failed; an error that may pass is
    raised.
    """
    waiting = IntegrationEvent.objects.filter(pk=event_id, status="pending")
    found = waiting.values_list("integration_id", flat=True).first()
    integration = Integration.objects.select_for_update(no_key=True).filter(pk=found).first() if found else None
    event = waiting.select_for_update(no_key=True).first()
    if integration is None or event is None:
        return
    details = {"integration": str(integration.pk), "delivery": event.delivery_id}
    with audit.context("integration", organization=integration.organization_id, details=details):
        move, outcome = _follow(integration, event)
    IntegrationEvent.lifecycle.move(event, move, outcome=outcome)
    if move != "fail":
        Integration.objects.filter(pk=integration.pk).update(last_synced_at=Now())


def _follow(integration: Integration, event: IntegrationEvent) -> tuple[str, str]:
    """Return how an event's status moves, and why; what a failure began is taken back."""
    try:
        with transaction.atomic():
            outcome = RECEIVERS[integration.provider].handle(integration=integration, event=event)
            connection.check_constraints()
    except IgnoredError as error:
        return "ignore", str(error)
    except ValidationError as error:
        return "fail", " ".join(error.messages)
    except (ConflictError, UnreadableMessageError) as error:
        return "fail", str(error)
    except DatabaseError as error:
        if (violation := explain(error)) is None:
            raise
        return "fail", violation.message
    return "handle", outcome


@transaction.atomic
def retry(*, event: IntegrationEvent) -> IntegrationEvent:
    """Handle an event once more that failed, or one whose job is lost. Raises TransitionConflictError otherwise."""
    if event.status != "pending":
        event = IntegrationEvent.lifecycle.move(event, "retry", handled_at=None, outcome="")
    handle_integration_event.enqueue(event_id=str(event.pk))
    return event


def forget_events() -> int:
    """Delete the events that were dealt with long ago, and return how many there were."""
    old = IntegrationEvent.objects.exclude(status="pending").filter(handled_at__lt=Now() - EVENTS_KEPT)
    return old.delete()[0]
