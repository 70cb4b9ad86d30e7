"""Tasks that leave a trace: an event in the audit log for each step."""

import os
import time
from pathlib import Path

from core import audit, jobs
from tests.kit.waiting import PATIENCE

LONG = jobs.long_queue("long-probes")


@jobs.task(queue="probes")
def note(number: int) -> None:
    audit.record("probe.note", details={"number": number, "process": os.getpid()})


@jobs.task(queue="probes")
def wait_for(path: str) -> None:
    """Wait until the file is there."""
    audit.record("probe.begin", details={"process": os.getpid()})
    deadline = time.monotonic() + PATIENCE
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    audit.record("probe.end", details={"process": os.getpid()})


@jobs.task(queue="probes", retry=None)
def only_once() -> None:
    audit.record("probe.note", details={})


@jobs.task(queue=LONG)
def wait_long_for(path: str) -> None:
    wait_for(path)


@jobs.task(queue=LONG)
def note_in_long_queue(number: int) -> None:
    note(number)
