"""What the doctor says of background work: whether workers live, and whether jobs get done."""

from collections.abc import Iterator

from core.doctor.examination import Examination
from core.doctor.findings import Finding, ok, warning
from core.jobs.state import State, read_state

QUEUE = "procrastinate"


def check_workers(examination: Examination) -> Iterator[Finding]:
    """Look for a worker's sign of life."""
    state = _state(examination)
    if state is None:
        yield ok("not looked at before the queue is migrated")
    elif not state.workers:
        seen = "" if state.last_seen_seconds is None else f" since {state.last_seen_seconds:.0f} s"
        yield warning(
            f"No worker was heard of{seen}; {state.waiting} jobs wait, and nothing runs on schedule.",
            "manage.py worker",
        )
    else:
        yield ok(f"{state.workers} at work")


def check_jobs(examination: Examination) -> Iterator[Finding]:
    """Look for jobs that failed for good, and for those whose worker is gone."""
    state = _state(examination)
    if state is None:
        yield ok("not looked at before the queue is migrated")
        return
    if state.failed:
        yield warning(f"{state.failed} jobs failed.", "See them under “Jobs” in the admin, and retry or cancel them.")
    if state.stalled:
        yield warning(
            f"{state.stalled} jobs lost their worker.", "A running worker starts them again within two minutes."
        )
    yield ok(f"{state.waiting} wait, {state.scheduled} are scheduled, {state.running} run")


def _state(examination: Examination) -> State | None:
    return None if QUEUE in examination.pending_apps else read_state()
