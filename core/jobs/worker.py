"""A worker: runs jobs, as many at once as it has threads, until it is told to stop.

It outlives the database: while that is out of reach, or not migrated yet, it tries again and again.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from django.db import DatabaseError, connection
from procrastinate import App
from procrastinate.contrib.django import app, connector_params
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status
from procrastinate.psycopg_connector import PsycopgConnector
from procrastinate.worker import Worker

from core.jobs import stopping
from core.jobs.slots import FairWorker
from core.jobs.stalls import HEARTBEAT_SECONDS, STALL_SECONDS, give_back

logger = logging.getLogger(__name__)

OUT_OF_REACH = (ConnectorException, DatabaseError, psycopg.Error, OSError)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between attempts to reach the database
POOL_SIZE = 4  # connections for the queue's own statements; jobs take theirs from Django's pool
POOL_SECONDS = 10
LAST_WORDS_SECONDS = 5  # for telling the database that jobs are given back


@dataclass(frozen=True)
class Options:
    """How to work.

    Attributes:
        concurrency: how many jobs run at once, each in a thread.
        queues: the queues to serve; None: all.
        grace: how many seconds running jobs have to end, once the worker is told to stop.
    """

    concurrency: int
    queues: Sequence[str] | None
    grace: float


def work(options: Options) -> None:
    """Run jobs until SIGTERM or SIGINT; a second one doesn't wait for those that run."""
    asyncio.run(_Service(options).run())


class _Service:
    """The worker's life: sessions with the database one after another, and the end."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.stopping = asyncio.Event()
        self.hurrying = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(self.options.concurrency + 1, thread_name_prefix="job"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        pause = FIRST_PAUSE
        while not self.stopping.is_set():
            began = loop.time()
            try:
                await self.serve()
            except OUT_OF_REACH as error:
                reason = " ".join(str(error.__cause__ or error).split())
                logger.warning("The queue can't be reached, and is tried again: %s", reason)
            if loop.time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def stop(self) -> None:
        """Take no more jobs; at the second call, don't wait for those that run either."""
        stopping.set()
        (self.hurrying if self.stopping.is_set() else self.stopping).set()

    async def serve(self) -> None:
        """Run jobs until told to stop, or until the database is out of reach."""
        # Before the pool opens, which would wait long for a database that isn't there.
        parameters = await asyncio.to_thread(_reach_database)
        connector = PsycopgConnector(kwargs=parameters, min_size=1, max_size=POOL_SIZE, timeout=POOL_SECONDS)
        with app.replace_connector(connector) as opened:
            async with opened.open_async():
                await self.run_worker(self.make_worker(opened))

    def make_worker(self, app: App) -> Worker:
        """Return the library's worker."""
        app.perform_import_paths()
        return FairWorker(
            app,
            queues=self.options.queues,
            concurrency=self.options.concurrency,
            install_signal_handlers=False,  # ours tell a stop from the end of a session
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALL_SECONDS,
            task_middleware=app.worker_defaults.get("task_middleware"),
        )

    async def run_worker(self, worker: Worker) -> None:
        """Run it; when the time to stop has come, wait for the running jobs as long as they are given."""
        running = asyncio.create_task(worker.run())
        told = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                worker_id = worker.worker_id
                worker.stop()
                hurry = asyncio.create_task(self.hurrying.wait())
                await asyncio.wait({running, hurry}, timeout=self.options.grace, return_when=asyncio.FIRST_COMPLETED)
                hurry.cancel()
                if not running.done():
                    await self.abandon(worker_id)
            await running
        finally:
            told.cancel()

    async def abandon(self, worker_id: int | None) -> None:
        """Give the running jobs back, and end the process: their threads can't be ended otherwise."""
        with suppress(TimeoutError, *OUT_OF_REACH):  # then other workers find them stalled
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                jobs = await app.job_manager.list_jobs_async(status=Status.DOING.value, worker_id=worker_id)
                await give_back(app, jobs)
                if worker_id is not None:
                    await app.job_manager.unregister_worker(worker_id)
        logging.shutdown()
        os._exit(0)


def _reach_database() -> dict[str, object]:
    """Return the parameters of connections to the database, once it has answered."""
    try:
        connection.ensure_connection()
        return connector_params()
    finally:
        connection.close()
