"""What people do with webhooks: make one, rotate its secret, try it, switch it on again, deliver once more."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from core import audit
from core.models import Webhook, WebhookDelivery
from core.models.webhooks import ROTATION, PauseReason, new_secret
from core.tasks import dispatch_webhooks

TEST_EVENT = "webhook.test"
KEPT = timedelta(days=30)


@transaction.atomic
def register(*, organization_id: UUID, url: str, event_types: Iterable[str], **fields: Any) -> tuple[Webhook, str]:
    """Make a webhook, and return it with its secret, which isn't shown again."""
    secret = new_secret()
    types = sorted(set(event_types))
    made = Webhook.objects.create(organization_id=organization_id, url=url, event_types=types, secret=secret, **fields)
    return made, secret


@transaction.atomic
def rotate_secret(*, webhook: Webhook) -> str:
    """Give the webhook a new secret, and return it. The present one signs too, for a day."""
    locked = Webhook.objects.select_for_update(no_key=True).get(pk=webhook.pk)
    secret = new_secret()
    Webhook.objects.filter(pk=webhook.pk).update(
        secret=secret, previous_secret=locked.secret, previous_secret_until=Now() + ROTATION
    )
    webhook.refresh_from_db()
    return secret


@transaction.atomic
def send_test(*, webhook: Webhook) -> WebhookDelivery:
    """Deliver an event that says only that it arrives, to this webhook alone; a paused one gets it when resumed."""
    event = audit.record(
        TEST_EVENT, organization_id=webhook.organization_id, resource_type="webhook", resource_id=webhook.pk
    )
    delivery = WebhookDelivery.objects.create(
        organization_id=webhook.organization_id,
        webhook=webhook,
        event=event,
        event_type=TEST_EVENT,
        next_attempt_at=Now(),
    )
    dispatch_webhooks.enqueue()
    return delivery


@transaction.atomic
def redeliver(*, delivery: WebhookDelivery) -> WebhookDelivery:
    """Try a delivery that is done or given up once more, ten times if need be. The message keeps its id.

    Raises TransitionConflictError when it is under way.
    """
    delivery = WebhookDelivery.lifecycle.move(
        delivery, "redeliver", attempt_count=0, next_attempt_at=Now(), delivered_at=None
    )
    dispatch_webhooks.enqueue()
    return delivery


@transaction.atomic
def resume(*, webhook: Webhook) -> Webhook:
    """Switch a webhook on again. What waited when it was paused is delivered first, in order."""
    Webhook.objects.filter(pk=webhook.pk).update(is_active=True, pause_reason=PauseReason.NONE, failing_since=None)
    WebhookDelivery.objects.filter(webhook=webhook, status="pending", next_attempt_at__gt=Now()).update(
        next_attempt_at=Now()
    )
    dispatch_webhooks.enqueue()
    webhook.refresh_from_db()
    return webhook


def pause(*, webhook: Webhook) -> Webhook:
    """Switch a webhook off: events are no longer noted for it. What waits already waits on."""
    Webhook.objects.filter(pk=webhook.pk).update(is_active=False)
    webhook.refresh_from_db()
    return webhook


def forget_deliveries() -> int:
    """Delete the deliveries of events of a month ago that are done or given up, and return how many there were."""
    return WebhookDelivery.objects.filter(created_at__lt=Now() - KEPT).exclude(status="pending").delete()[0]
