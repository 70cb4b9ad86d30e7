"""What a try to deliver came to, and what follows from it."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from core.models import Webhook, WebhookDelivery
from core.models.webhooks import PauseReason

# After the first try, the second, and so on: ten tries over three days.
WAITS = [
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=18),
    timedelta(hours=22),
]
TRIES = len(WAITS) + 1
JITTER = 0.1
LONGEST_WAIT = timedelta(days=1)  # however long a receiver asks us to wait
PAUSE_AFTER = timedelta(days=5)  # of failures, without one success between them
EXCERPT = 1000
KEPT_ATTEMPTS = 50
GONE = 410


@dataclass(frozen=True)
class Outcome:
    """One try: the answer's status, Retry-After and beginning, or the reason why there was none."""

    milliseconds: int
    status: int | None = None
    retry_after: str = ""
    excerpt: str = ""
    error: str = ""
    final: bool = False

    @property
    def succeeded(self) -> bool:
        """Tell whether the receiver has taken the event."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_worth_another_try(self) -> bool:
        """Tell whether the next try may fare better.

        It may, whatever the receiver answers but that it is gone: a 404 or a 401 may be a release that went wrong. See
        the Standard Webhooks specification, “Delivery success and failure”.
        """
        return not self.final and self.status != GONE


def wait_after(outcome: Outcome, tries: int, now: datetime) -> timedelta:
    """Return how long to wait after so many tries: by the schedule, give or take a tenth, and as asked for at least."""
    wait = WAITS[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (no secret)
    return max(wait, min(asked_wait(outcome.retry_after, now), LONGEST_WAIT))


def asked_wait(text: str, now: datetime) -> timedelta:
    """Return the wait that Retry-After asks for, in seconds or until a date (RFC 9110, section 10.2.3); else none."""
    if text.isascii() and text.isdecimal():
        return timedelta(seconds=min(int(text[:9]), int(LONGEST_WAIT.total_seconds())))
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):  # a year or a zone beyond all calendars is an OverflowError
        return timedelta(0)
    return (until if until.tzinfo else until.replace(tzinfo=UTC)) - now


@transaction.atomic
def settle(*, delivery_id: UUID, outcome: Outcome) -> None:
    """Note a try, and decide: delivered, to be tried again, or failed for good.

    A failure switches the webhook off where the receiver says that it is gone (410), or has failed for five days.
    """
    delivery = WebhookDelivery.objects.select_for_update(no_key=True).filter(pk=delivery_id, status="pending").first()
    if delivery is None:  # settled by a try that overlapped with this one
        return
    now = datetime.now(UTC)
    tries = delivery.attempt_count + 1
    attempt = {
        "at": now.isoformat(timespec="milliseconds"),
        "status": outcome.status,
        "milliseconds": outcome.milliseconds,
        "error": outcome.error,
        "excerpt": outcome.excerpt[:EXCERPT],
    }
    noted: dict[str, Any] = {
        "attempt_count": tries,
        "attempts": [*delivery.attempts, attempt][-KEPT_ATTEMPTS:],
        "response_code": outcome.status,
        "response_excerpt": outcome.excerpt[:EXCERPT],
        "duration_ms": outcome.milliseconds,
    }
    webhook = Webhook.objects.filter(pk=delivery.webhook_id)
    if outcome.succeeded:
        WebhookDelivery.lifecycle.move(delivery, "deliver", next_attempt_at=None, **noted)
        webhook.filter(failing_since__isnull=False).update(failing_since=None)
        return
    if outcome.is_worth_another_try and tries < TRIES:
        due = now + wait_after(outcome, tries, now)
        WebhookDelivery.objects.filter(pk=delivery_id).update(next_attempt_at=due, **noted)
    else:
        WebhookDelivery.lifecycle.move(delivery, "fail", next_attempt_at=None, **noted)
    webhook.filter(failing_since=None).update(failing_since=Now())
    if outcome.status == GONE:
        webhook.filter(is_active=True).update(is_active=False, pause_reason=PauseReason.GONE)
    webhook.filter(is_active=True, failing_since__lt=Now() - PAUSE_AFTER).update(
        is_active=False, pause_reason=PauseReason.FAILING
    )
