"""What is asked of the database when metrics are read, since it is the same whichever process is asked."""

from collections.abc import Iterator

from django.db import connection
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.health import OUT_OF_REACH
from core.jobs.state import read_state

# Other programs choose their names as they like, pgAdmin one a connection, and each would be a series for ever.
CONNECTIONS = """
    SELECT CASE WHEN application_name LIKE 'muster %' THEN application_name ELSE 'other' END,
           coalesce(state, 'unknown'), count(*)
      FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1, 2
"""
JOBS = """
    SELECT queue_name, status::text, count(*) FROM procrastinate_jobs
     WHERE status IN ('todo', 'doing', 'failed') GROUP BY 1, 2
"""
OLDEST = """
    SELECT first.queue_name, extract(epoch FROM now() - max(greatest(event.at, job.scheduled_at)))
      FROM (SELECT queue_name, min(id) AS id FROM procrastinate_jobs
             WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now()) GROUP BY 1) AS first
      JOIN procrastinate_jobs job ON job.id = first.id
      JOIN procrastinate_events event ON event.job_id = first.id
     GROUP BY 1
"""


class DatabaseCollector(Collector):
    """Whether the database is up; its connections, the queue and its workers. While it is away, only that it is."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        try:
            found = [*_connections(), *_jobs()]
        except OUT_OF_REACH:
            found = []
        yield GaugeMetricFamily("muster_database_up", "Whether the database answers.", value=bool(found))
        yield from found


def _connections() -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "muster_database_connections",
        "Connections to the database, by application name (other: not Muster's) and state.",
        labels=["application", "state"],
    )
    with connection.cursor() as cursor:
        cursor.execute(CONNECTIONS)
        for application, state, count in cursor.fetchall():
            family.add_metric([application, state], count)
        cursor.execute("SELECT current_setting('max_connections')::int")
        (limit,) = cursor.fetchone()
    yield family
    yield GaugeMetricFamily("muster_database_connections_maximum", "Connections that the server takes.", value=limit)


def _jobs() -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "muster_queue_jobs",
        "Background jobs, by queue and status: todo (waiting), doing (running), failed (kept).",
        labels=["queue", "status"],
    )
    age = GaugeMetricFamily(
        "muster_queue_oldest_seconds",
        "For how long the first of the jobs that could start has waited.",
        labels=["queue"],
    )
    with connection.cursor() as cursor:
        cursor.execute(JOBS)
        for queue, status, count in cursor.fetchall():
            depth.add_metric([queue, status], count)
        cursor.execute(OLDEST)
        for queue, seconds in cursor.fetchall():
            age.add_metric([queue], float(seconds))
    state = read_state()
    yield depth
    yield age
    yield GaugeMetricFamily("muster_queue_stalled_jobs", "Jobs under way whose worker is gone.", value=state.stalled)
    yield GaugeMetricFamily("muster_workers", "Workers heard of in the last 30 seconds.", value=state.workers)
