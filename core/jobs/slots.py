"""A worker's threads: one stays free for short jobs while long ones run."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from procrastinate import App, JobContext
from procrastinate.worker import Worker

from core.jobs import LONG_QUEUES


class FairWorker(Worker):
    """The library's worker, but that jobs of long queues never take all of its threads, if it has several.

    A worker that serves nothing but long queues gives them all.

    It reads ``queues`` anew for each job that it fetches. By itself it looks for a job when one is enqueued, or every
    few seconds; here, where a job may wait for another's end, it looks at that end too.
    """

    def __init__(self, app: App, *, queues: Iterable[str] | None, concurrency: int, **options: Any) -> None:
        self._served = None if queues is None else list(queues)
        self._long_running = self._long_ended = 0
        super().__init__(app, queues=self._served, concurrency=concurrency, worker_middleware=[self._count], **options)
        served = set(self._served or _known(app))
        self._short = sorted(served - LONG_QUEUES)
        self._most_long = max(concurrency - 1, 1) if self._short else concurrency

    @property
    def queues(self) -> Iterable[str] | None:
        """Return the queues of which a job may start now."""
        full = self._long_running >= self._most_long
        return self._short if full and self._short else self._served

    @queues.setter
    def queues(self, queues: Iterable[str] | None) -> None:
        self._served = None if queues is None else list(queues)

    async def _count(self, run: Callable[[], Awaitable[Any]], context: JobContext, worker: Worker) -> Any:
        """Run a job, and count it while it runs, if it is a long one. The worker's next look at ``queues`` is later."""
        if context.job.queue not in LONG_QUEUES:
            return await run()
        self._long_running += 1
        try:
            return await run()
        finally:
            self._long_running -= 1
            self._long_ended += 1
            self._new_job_event.set()

    async def _fetch_and_process_jobs(self) -> None:
        """Fetch jobs until there is none; again, when a long one ended on the way, whose call would be lost."""
        ended = -1
        while ended != self._long_ended and not self._stop_event.is_set():
            ended = self._long_ended
            await super()._fetch_and_process_jobs()


def _known(app: App) -> set[str]:
    return {task.queue for task in app.tasks.values()}
