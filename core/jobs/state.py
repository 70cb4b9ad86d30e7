"""How background work stands: workers, and jobs by status."""

from dataclasses import dataclass

from django.db import connection

from core.jobs.stalls import STALL_SECONDS

STATE = """
    SELECT (SELECT count(*) FROM procrastinate_workers
             WHERE last_heartbeat >= now() - make_interval(secs => %(silence)s)),
           (SELECT extract(epoch FROM now() - max(last_heartbeat)) FROM procrastinate_workers),
           count(*) FILTER (WHERE job.status = 'todo' AND coalesce(scheduled_at, now()) <= now()),
           count(*) FILTER (WHERE job.status = 'todo' AND scheduled_at > now()),
           count(*) FILTER (WHERE job.status = 'doing'),
           count(*) FILTER (WHERE job.status = 'doing' AND coalesce(
               worker.last_heartbeat < now() - make_interval(secs => %(silence)s), true)),
           count(*) FILTER (WHERE job.status = 'failed')
      FROM procrastinate_jobs job
      LEFT JOIN procrastinate_workers worker ON worker.id = job.worker_id
     WHERE job.status IN ('todo', 'doing', 'failed')
"""


@dataclass(frozen=True)
class State:
    """Figures of the queue, of all queues together.

    Attributes:
        workers: how many workers gave a sign of life in the last 30 seconds.
        last_seen_seconds: how long ago a worker was last heard of; None: none is known of.
        waiting: jobs that could start now.
        scheduled: jobs that wait for their time.
        running: jobs under way, stalled ones included.
        stalled: jobs under way whose worker is gone.
        failed: jobs that failed for good, and are kept.
    """

    workers: int
    last_seen_seconds: float | None
    waiting: int
    scheduled: int
    running: int
    stalled: int
    failed: int


def read_state() -> State:
    """Read the figures, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(STATE, {"silence": STALL_SECONDS})
        workers, last_seen, *counts = cursor.fetchone()
    return State(workers, None if last_seen is None else round(float(last_seen), 1), *counts)
