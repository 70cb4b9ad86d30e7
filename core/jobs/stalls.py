"""Jobs whose worker is gone, killed or cut off: given to another one, or given up."""

import logging
from collections.abc import Iterable

from procrastinate import App
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.utils import utcnow

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
"""How often a worker says that it lives."""

STALL_SECONDS = 30.0
"""After how long a silence a worker counts as gone."""


class WorkerLostError(Exception):
    """The worker that ran the job is gone. What a task's retry strategy is asked about."""


async def give_back(app: App, jobs: Iterable[Job]) -> None:
    """Let other workers start these jobs again, as far as their tasks' retry strategies allow; the others fail.

    So a job that kills each worker that runs it comes to its end too.
    """
    for job in jobs:
        task = app.tasks.get(job.task_name)
        try:
            if task and task.get_retry_exception(WorkerLostError(), job):
                await app.job_manager.retry_job(job, retry_at=utcnow())
                logger.warning("Job %s lost its worker, and is started again.", job.id)
            else:
                await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=False)
                logger.error("Job %s (%s) lost its worker, and isn't tried again.", job.id, job.task_name)
        except ConnectorException as error:
            # It ended meanwhile: the worker wasn't gone after all, or another one was quicker here.
            logger.info("Job %s stays as it is: %s", job.id, error.__cause__)
