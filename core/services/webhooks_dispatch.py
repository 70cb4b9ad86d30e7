"""The dispatcher: sends what is due to the webhooks' receivers, many at once, and in order for each object.

One dispatcher works at a time; an advisory lock, which goes with its connection, says so. That only saves work: each
delivery is leased by whoever sends it, and what waits behind an earlier delivery of the same object isn't handed out. A
receiver has a few places of its own, so that a slow one holds up nobody else. No request is made inside a transaction.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from django.db import InterfaceError, OperationalError, connection, connections
from django.db.models import Model
from django.urls import get_resolver
from procrastinate.contrib.django import connector_params
from standardwebhooks import Webhook as Signer

from core import audit, jobs
from core.api.routers import RecordRouter
from core.encryption import UnreadableSecretError
from core.models import AuditEvent, SoftDeletion, WebhookDelivery
from core.outbound import Client, OutboundError, RefusedAddressError
from core.services.webhooks_outcome import Outcome, settle

logger = logging.getLogger(__name__)

PLACES_A_WEBHOOK = 4
PLACES = 64
ANSWER_SECONDS = 20.0  # the Standard Webhooks specification recommends 15 to 30
LEASE_SECONDS = 40  # longer than a request takes at most
LINGER_SECONDS = 10.0
POLL_SECONDS = 0.2
DATABASE_THREADS = 4
USER_AGENT = "Muster-Webhooks/1"
LOCK = "muster_webhooks"

CLAIM = """
    WITH due AS (
        SELECT found.id
          FROM (
            SELECT webhook.id, coalesce(busy.number, 0) AS number
              FROM core_webhook webhook
              LEFT JOIN unnest(%(webhooks)s::uuid[], %(numbers)s::int[]) AS busy (id, number) ON busy.id = webhook.id
             WHERE webhook.is_active
             ORDER BY 2  -- a place that gets free goes to who has fewest, so that many slow ones leave room for others
         ) AS webhook
         CROSS JOIN LATERAL (
            SELECT delivery.id
              FROM core_webhookdelivery delivery
             WHERE delivery.webhook_id = webhook.id
               AND delivery.status = 'pending' AND delivery.next_attempt_at <= now()
               AND NOT EXISTS (
                   SELECT FROM core_webhookdelivery earlier
                    WHERE earlier.webhook_id = webhook.id AND earlier.resource_id = delivery.resource_id
                      AND earlier.status = 'pending' AND earlier.id < delivery.id)
             ORDER BY delivery.next_attempt_at, delivery.id
             LIMIT greatest(0, %(places)s - webhook.number)
               FOR UPDATE SKIP LOCKED
         ) AS found
         LIMIT %(most)s
    )
    UPDATE core_webhookdelivery delivery
       SET next_attempt_at = now() + make_interval(secs => %(lease)s)
      FROM due
     WHERE delivery.id = due.id
    RETURNING delivery.id, delivery.webhook_id
"""

R = TypeVar("R")


@dataclass(frozen=True)
class Message:
    """What is sent: where, with which headers, and what."""

    url: str
    headers: dict[str, str]
    body: bytes


# --- In the database -------------------------------------------------------------------------------


def claim(busy: Counter[UUID], most: int) -> list[tuple[UUID, UUID]]:
    """Lease deliveries that are due, and return their ids and those of their webhooks.

    Args:
        busy: how many are under way at each webhook.
        most: how many to lease at most.
    """
    parameters: dict[str, Any] = {
        "webhooks": list(busy.keys()),
        "numbers": list(busy.values()),
        "places": PLACES_A_WEBHOOK,
        "most": most,
        "lease": LEASE_SECONDS,
    }
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, parameters)
        return list(cursor.fetchall())


def prepare(delivery_id: UUID) -> Message | None:
    """Return a delivery as a signed message; None when it isn't to be sent any more."""
    delivery = WebhookDelivery.objects.select_related("webhook", "event").filter(pk=delivery_id).first()
    if delivery is None or delivery.status != "pending" or not delivery.webhook.is_active:
        return None
    body = delivery.body
    if not body:
        body = render(delivery.event)
        WebhookDelivery.objects.filter(pk=delivery_id).update(body=body)
    now = datetime.now(UTC)
    message_id = f"evt_{delivery.event_id.hex}"
    signatures = [
        Signer(secret).sign(msg_id=message_id, timestamp=now, data=body)
        for secret in delivery.webhook.signing_secrets()
    ]
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return Message(delivery.webhook.url, headers, body.encode())


def render(event: AuditEvent) -> str:
    """Return the message's body: the event, and its object as the API shows it now, null when it is gone."""
    told = _shown(AuditEvent, event.pk, event.organization_id)
    model = _models().get(event.resource_type)
    thing = _shown(model, event.resource_id, event.organization_id) if model and event.resource_id else None
    at = event.timestamp.isoformat()
    return f'{{"type":"{event.event_type}","timestamp":"{at}","data":{{"event":{told},"object":{thing or "null"}}}}}'


def _shown(model: Any, key: UUID, organization_id: Any) -> str | None:
    """Return the JSON text by which the API shows a record, without the fields that its lists leave out."""
    viewset = _viewsets()[model]
    serializer_class = getattr(viewset, "read_serializer_class", viewset.serializer_class)
    names = [name for name in serializer_class.Meta.fields if name not in viewset.list_leaves_out]
    rows = viewset.queryset.for_organization(organization_id).filter(pk=key)
    if issubclass(model, SoftDeletion):
        rows = rows.alive()
    text: str | None = viewset().read_one(rows.order_by(), serializer_class(only=names))
    return text


@cache
def _viewsets() -> dict[type[Model], Any]:
    """Return how the API shows each record."""
    assert get_resolver().url_patterns  # loads the addresses, whose modules name the viewsets
    return RecordRouter.viewsets


@cache
def _models() -> dict[str, type[Model]]:
    """Return the records that the API shows, by their names in events."""
    return {model.resource(): model for model in _viewsets() if hasattr(model, "resource")}


def is_anything_due() -> bool:
    """Tell whether a delivery could be tried now."""
    return WebhookDelivery.objects.overdue().exists()


# --- The dispatcher --------------------------------------------------------------------------------


def dispatch(*, linger: float = LINGER_SECONDS) -> None:
    """Send what is due, until for so many seconds nothing was; return at once where another dispatcher works."""
    while _dispatch_alone(linger) and not jobs.stopping.is_set() and is_anything_due():
        """What came in the moment between the last look and the end of the lock."""


def _dispatch_alone(linger: float) -> bool:
    with psycopg.connect(**connector_params(), autocommit=True) as holder:
        for _ in range(3):  # a writer of an event holds it for a moment, to see whether anybody does
            [held] = holder.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [LOCK]).fetchone() or [False]
            if held:
                try:
                    asyncio.run(_Dispatcher(linger).run())
                finally:
                    # The server takes a while to notice that the connection is closed, and to free it by itself.
                    with suppress(psycopg.OperationalError):  # it went with the connection
                        holder.execute("SELECT pg_advisory_unlock(hashtext(%s))", [LOCK])
                return True
            time.sleep(0.02)
    return False


class _Dispatcher:
    def __init__(self, linger: float) -> None:
        self.linger = linger
        self.under_way: dict[asyncio.Task[None], UUID] = {}
        self.threads = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="webhooks")

    async def run(self) -> None:
        until = 0.0
        with self.threads:
            async with Client(ANSWER_SECONDS) as client:
                while not jobs.stopping.is_set():
                    await self.hand_out(client)
                    if self.under_way:
                        until = time.monotonic() + self.linger
                        await asyncio.wait(self.under_way, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    elif time.monotonic() < until:
                        await asyncio.sleep(POLL_SECONDS)
                    else:
                        break
                if self.under_way:
                    await asyncio.wait(self.under_way)

    async def hand_out(self, client: Client) -> None:
        """Begin to send what is due, as far as there are places."""
        for task in [task for task in self.under_way if task.done()]:
            del self.under_way[task]
            task.result()
        free = PLACES - len(self.under_way)
        if not free:
            return
        claimed = await self.in_database(partial(claim, Counter(self.under_way.values()), free))
        for delivery_id, webhook_id in claimed:
            self.under_way[asyncio.create_task(self.send(client, delivery_id))] = webhook_id

    async def send(self, client: Client, delivery_id: UUID) -> None:
        """Try a delivery once, and note what came of it. What breaks here is one webhook's trouble, not the others'."""
        try:
            message = await self.in_database(partial(prepare, delivery_id))
            if message is None:
                return
            outcome = await attempt(client, message)
            await self.in_database(partial(settle, delivery_id=delivery_id, outcome=outcome))
        except (OperationalError, InterfaceError):
            raise  # the database is out of reach, for all of them
        except UnreadableSecretError:
            logger.exception("Delivery %s can't be signed.", delivery_id)
            await self.give_up(delivery_id, "The secret can't be read: rotate it.")
        except Exception:
            logger.exception("Delivery %s can't be sent.", delivery_id)
            await self.give_up(delivery_id, "Muster failed to send it: its log tells why.")

    async def give_up(self, delivery_id: UUID, reason: str) -> None:
        """Note a try that ended here, before anything was sent or understood."""
        await self.in_database(partial(settle, delivery_id=delivery_id, outcome=Outcome(0, error=reason)))

    async def in_database(self, work: Callable[[], R]) -> R:
        """Run what asks the database in a thread, and give its connection back."""

        def run() -> R:
            try:
                with audit.context("job", details={"task": "core.tasks.dispatch_webhooks"}):
                    return work()
            finally:
                connections.close_all()

        return await asyncio.get_running_loop().run_in_executor(self.threads, run)


async def attempt(client: Client, message: Message) -> Outcome:
    """Send a message once."""
    began = time.monotonic()

    def milliseconds() -> int:
        return round((time.monotonic() - began) * 1000)

    try:
        answer = await client.post(message.url, content=message.body, headers=message.headers)
    except OutboundError as error:
        return Outcome(milliseconds(), error=str(error), final=isinstance(error, RefusedAddressError))
    text = answer.body.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return Outcome(milliseconds(), answer.status, answer.headers.get("retry-after", "").strip(), text)
