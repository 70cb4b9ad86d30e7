"""core's background jobs: the queue's own upkeep, sessions, retention."""

import logging
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from procrastinate import JobContext

from core import jobs
from core.integrations.retries import NOTICE_RETRY
from core.jobs.commands import run_command
from core.jobs.stalls import STALL_SECONDS, give_back
from core.models import IdempotencyKey
from core.services import retention

logger = logging.getLogger(__name__)

KEEP_SUCCEEDED_HOURS = 24
KEEP_OTHERS_HOURS = 24 * 30


# Both are the library's own work, by the worker's connection. No lock: a worker that dies in the middle would leave it
# taken, and this is what frees it.
@jobs.app.periodic(cron="* * * * *", queueing_lock="core.tasks.retry_stalled_jobs")
@jobs.app.task(name="core.tasks.retry_stalled_jobs", pass_context=True, priority=100)
async def retry_stalled_jobs(context: JobContext, timestamp: int) -> None:
    """Give the jobs of workers that are gone to others."""
    stalled = await context.app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALL_SECONDS)
    await give_back(context.app, stalled)


@jobs.app.periodic(cron="23 * * * *", queueing_lock="core.tasks.forget_old_jobs")
@jobs.app.task(name="core.tasks.forget_old_jobs", pass_context=True, priority=jobs.ON_SCHEDULE)
async def forget_old_jobs(context: JobContext, timestamp: int) -> None:
    """Delete jobs that succeeded a day ago, and those that failed or were cancelled a month ago."""
    manager = context.app.job_manager
    await manager.delete_old_jobs(nb_hours=KEEP_SUCCEEDED_HOURS)
    await manager.delete_old_jobs(
        nb_hours=KEEP_OTHERS_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )


@jobs.periodic("41 3 * * *")
def forget_expired_sessions() -> None:
    """Delete the sessions that have expired."""
    run_command("clearsessions")


@jobs.periodic("11 4 * * *")
def purge_deleted() -> None:
    """Remove for good what was deleted softly longer ago than ``PURGE_AFTER_DAYS``; nothing where that is 0."""
    if not settings.PURGE_AFTER_DAYS:
        return
    outcome = retention.purge(deleted_before=timezone.now() - timedelta(days=settings.PURGE_AFTER_DAYS))
    for model, count in outcome.removed.items():
        logger.info("Purged %d rows of %s.", count, model._meta.label)
    if outcome.held:
        logger.warning("%d records are deleted, and kept because others refer to them.", len(outcome.held))


@jobs.periodic("17 * * * *")
def forget_idempotency_keys() -> None:
    """Delete the keys whose answers are no longer given."""
    IdempotencyKey.objects.outdated().delete()


# Dispatchers exclude one another by a lock that goes with their connection, and so at once when their worker dies.
@jobs.periodic("* * * * *", queue="webhooks", priority=90, retry=jobs.RETRY, alone=False)
def dispatch_webhooks() -> None:
    """Send to webhooks what is due. A trigger of the event stream enqueues it too, by this name and priority."""
    from core.services import webhooks_dispatch

    webhooks_dispatch.dispatch()


@jobs.periodic("53 3 * * *")
def forget_webhook_deliveries() -> None:
    """Delete the deliveries of a month ago that are done or given up."""
    from core.services import webhooks

    webhooks.forget_deliveries()


@jobs.task(queue="integrations", retry=NOTICE_RETRY)
def notify_slack(integration_id: str, event_id: str) -> None:
    """Tell a Slack channel of an event. A trigger of the event stream enqueues it, by this name."""
    from core.services import integrations

    integrations.notify_slack(integration_id=UUID(integration_id), event_id=UUID(event_id))


@jobs.task(queue="integrations")
def handle_integration_event(event_id: str) -> None:
    """Do what follows from what a service told us."""
    from core.services import integrations

    integrations.handle(event_id=UUID(event_id))


@jobs.periodic("29 4 * * *")
def forget_integration_events() -> None:
    """Delete what services told us a month ago, once it was dealt with."""
    from core.services import integrations

    integrations.forget_events()
