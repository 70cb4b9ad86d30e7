"""What people do to single jobs: retry those that failed, cancel those that wait."""

from django.db import transaction
from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.jobs import Status
from procrastinate.manager import JobManager
from procrastinate.utils import utcnow

from core.errors import ConflictError

_queue = JobManager(DjangoConnector())


@transaction.atomic
def retry(job_id: int) -> None:
    """Let a failed job run again, now, once: the attempts that its task gives it are used up.

    Raises ConflictError when it hasn't failed, or when a job waits already that excludes it.
    """
    job = _locked(job_id)
    if job.status != Status.FAILED.value:
        raise ConflictError(f"The job is “{job.status}”; only one that failed can be retried.")
    waiting = ProcrastinateJob.objects.filter(queueing_lock=job.queueing_lock, status=Status.TODO.value)
    if job.queueing_lock is not None and waiting.exists():
        raise ConflictError("Such a job waits already.")
    _queue.retry_job_by_id(job_id, retry_at=utcnow())


@transaction.atomic
def cancel(job_id: int) -> None:
    """Take a job out of the queue. Raises ConflictError when it isn't waiting."""
    job = _locked(job_id)
    if job.status != Status.TODO.value:
        raise ConflictError(f"The job is “{job.status}”; only one that waits can be cancelled.")
    _queue.cancel_job_by_id(job_id)


def _locked(job_id: int) -> ProcrastinateJob:
    return ProcrastinateJob.objects.select_for_update().get(pk=job_id)
