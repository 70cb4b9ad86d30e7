"""Background jobs of agents: leases, files in storage, counters."""

from agents.services import claims
from core import jobs
from core.jobs.commands import run_command


@jobs.periodic("* * * * *")
def return_abandoned_tasks() -> None:
    """Make pending again the tasks whose lease has lapsed, where nobody claims any and so returns them."""
    claims.return_all_abandoned()


@jobs.periodic("37 2 * * *")
def sweep_artifacts() -> None:
    """Remove what artifacts left behind in storage. Fails when storage has lost a file."""
    run_command("sweep_artifacts")


@jobs.periodic("7 5 * * *")
def check_counters() -> None:
    """Compare the counters of tasks with what counting says. Fails when some differ, and mends none."""
    run_command("check_counters")


@jobs.periodic("7 6 * * 0")
def check_spans() -> None:
    """Compare the rollups of spans with what counting says, on Sundays. Fails when some differ, and mends none."""
    run_command("check_spans")
