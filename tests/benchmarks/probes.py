"""Tasks that leave a trace in the audit log, and a worker that is at work as soon as it is started.

Loading the application takes longer than the workers of ``tests.benchmarks.workers`` live: they are forked from a
process that has loaded this module, and with it all of the application.
"""

import os
import random
import time

import django
from django.apps import apps

if not apps.ready:  # here, where a process begins with this module; a worker that imports it as its tasks is set up
    django.setup()

from django.core.management import call_command
from django.urls import get_resolver

from core import audit, jobs
from core.management.commands import worker as worker

assert get_resolver().url_patterns  # loads what answers requests too, which rendering events needs

MEAN_SECONDS = 0.3
ONCE = os.environ.get("BENCHMARK_CONTROL") == "once"


@jobs.task(queue="probes", retry=None if ONCE else jobs.RETRY)
def probe(number: int) -> None:
    """Work for a while."""
    time.sleep(MEAN_SECONDS * random.uniform(0.3, 1.7))
    audit.record("probe.done", details={"number": number})


@jobs.periodic("* * * * * */2", queue="probes")
def tick() -> None:
    """Run every two seconds."""
    audit.record("probe.tick", details={})


def run_worker() -> None:
    """Be a worker."""
    call_command("worker")
