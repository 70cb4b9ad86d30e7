"""Background work: functions that a worker runs later, again after a failure, or on a schedule.

An app states its tasks in ``tasks.py``, thin like views, for services do the work::

    @jobs.task(queue="knowledge")
    def embed_document(document_id: str) -> None: ...

    @jobs.periodic("*/5 * * * *")  # every five minutes, in UTC
    def tidy_up() -> None: ...

Whoever needs the work enqueues it in the transaction of the change that calls for it::

    embed_document.enqueue(document_id=str(document.pk))

The job is then in the database if and only if the change is. It runs at least once: a worker that dies in the middle
leaves it to another one, so a task must bear to be run again. Arguments are what JSON holds.
"""

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy
from procrastinate.tasks import Task as RegisteredTask

from core import audit

__all__ = ["LONG_QUEUES", "RETRY", "Task", "app", "long_queue", "periodic", "stopping", "task"]

P = ParamSpec("P")
R = TypeVar("R")

RETRY = RetryStrategy(max_attempts=5, exponential_wait=4)
"""Five more attempts, after 4 s, 16 s, 1 min, 4 min and 17 min."""

DEFAULT_QUEUE = "default"
ON_SCHEDULE = 50
"""The priority of what runs on a schedule: before all that is enqueued as it comes."""

LONG_QUEUES: set[str] = set()
"""The queues whose jobs may take minutes; see ``long_queue``."""

# What travels with a job beside the task's own arguments: who caused it, and for which time a schedule made it.
CAUSE = "cause"
TIMESTAMP = "timestamp"

stopping = threading.Event()
"""Set when the worker is told to stop: jobs that would go on for long end soon."""

# Always Django's connection, and its transaction: inside a worker, the library's own connector is another one.
_queue = JobManager(DjangoConnector())


@dataclass(frozen=True)
class Task(Generic[P, R]):
    """A function that workers run. Calling it runs it here and now, as tests do."""

    function: Callable[P, R]
    registered: RegisteredTask[Any, Any, Any]
    _options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function itself."""
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """Return the name by which jobs refer to the task."""
        return self.registered.name

    def options(
        self,
        *,
        lock: str | None = None,
        once: str | None = None,
        at: datetime | None = None,
        priority: int | None = None,
    ) -> "Task[P, R]":
        """Return the task with other circumstances for the jobs that are enqueued by it.

        Args:
            lock: of the jobs with the same word, one runs at a time, in the order in which they were enqueued.
            once: enqueue nothing while a job with the same word waits for its start. That one may start before your
                transaction ends, and miss your change: only for work that a schedule repeats anyhow.
            at: the job doesn't start before.
            priority: jobs of a higher one start first; 0 by default.
        """
        given = {"lock": lock, "queueing_lock": once, "schedule_at": at, "priority": priority}
        chosen = {name: value for name, value in given.items() if value is not None}
        return replace(self, _options={**self._options, **chosen})

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> int | None:
        """Put a job into the queue, in the present transaction, and return its id.

        None when ``once`` was asked for, and such a job waits already.

        Raises:
            TypeError: the arguments don't fit the function, or JSON can't hold them.
        """
        arguments = dict(inspect.signature(self.function).bind(*args, **kwargs).arguments)
        if cause := _cause():
            arguments[CAUSE] = cause
        job = self.registered.configure(**self._options).make_new_job(**arguments)
        try:
            # A savepoint, for a refusal would take the caller's transaction with it.
            with transaction.atomic(savepoint=job.queueing_lock is not None):
                return _queue.defer_job(job).id
        except AlreadyEnqueued:
            return None


def long_queue(name: str) -> str:
    """Name a queue whose jobs may take minutes, and return the name. A worker keeps one of its threads free of them."""
    LONG_QUEUES.add(name)
    return name


def task(
    *, queue: str = DEFAULT_QUEUE, retry: BaseRetryStrategy | None = RETRY, lock: str | None = None, priority: int = 0
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task that workers know.

    Args:
        queue: its queue; workers serve all of them unless they are told otherwise.
        retry: when to try again what raised an error or lost its worker; None: never.
        lock: as in ``Task.options``, for all jobs of the task.
        priority: likewise.
    """

    def register(function: Callable[P, R]) -> Task[P, R]:
        _refuse_reserved_names(function)
        registered = app.task(
            name=f"{function.__module__}.{function.__qualname__}",
            queue=queue,
            retry=retry or False,
            lock=lock,
            priority=priority,
            pass_context=True,
        )(partial(_run, function))
        return Task(function, registered)

    return register


def periodic(
    cron: str,
    *,
    queue: str = DEFAULT_QUEUE,
    retry: BaseRetryStrategy | None = None,
    priority: int = ON_SCHEDULE,
    alone: bool = True,
) -> Callable[[Callable[[], R]], Task[[], R]]:
    """Make a function a task that runs on a schedule, once for each time whatever the number of workers.

    While one run waits or goes on, no other starts, and at most one waits. A run that fails isn't tried again before
    its next time, unless ``retry`` says so. Times that passed while no worker ran are left out.

    Args:
        cron: minute, hour, day, month and day of the week, in UTC.
        queue: as for ``task``.
        retry: likewise.
        priority: likewise, but before other jobs unless it says otherwise.
        alone: False lets a run start while another one goes on. A run whose worker died seems to go on until that is
            noticed, after 90 seconds at most: for a task that can't wait so long, and bears to run beside itself.
    """

    def register(function: Callable[[], R]) -> Task[[], R]:
        name = f"{function.__module__}.{function.__qualname__}"
        made = task(queue=queue, retry=retry, lock=name if alone else None, priority=priority)(function)
        app.periodic(cron=cron, queueing_lock=name)(made.registered)
        return made

    return register


def _run(function: Callable[..., R], context: JobContext, /, **arguments: Any) -> R:
    """Run a task's function for a job, and let the audit log know the job and who caused it."""
    cause = arguments.pop(CAUSE, {})
    arguments.pop(TIMESTAMP, None)
    known: dict[str, Any] = {name: UUID(cause[name]) for name in ("user", "api_key", "organization") if name in cause}
    if "user" in known:
        emails = get_user_model()._base_manager.filter(pk=known["user"]).values_list("email", flat=True)
        known["email"] = emails.first() or ""
    details = {"task": context.job.task_name, "job": context.job.id}
    with audit.context("job", request_id=cause.get("request_id", ""), details=details, **known):
        return function(**arguments)


def _cause() -> dict[str, str]:
    """Return who enqueues, as far as the audit context tells. Without the email: the log shows arguments."""
    context = audit.current()
    names = ("user", "api_key", "organization", "request_id")
    return {name: str(value) for name in names if (value := getattr(context, name, None))}


def _refuse_reserved_names(function: Callable[..., Any]) -> None:
    reserved = {CAUSE, TIMESTAMP} & inspect.signature(function).parameters.keys()
    if reserved:
        raise TypeError(f"{function.__qualname__}: “{min(reserved)}” is a name that jobs use themselves.")
