"""The counters of tasks: compared with what counting the runs says, and mended.

The database's triggers keep them; they differ only after somebody wrote past the triggers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from agents.models import RunStatus, Task, TaskRun

# Which runs each counts: those of one status, or all.
COUNTERS = {"total_runs": None, "successful_runs": RunStatus.COMPLETED, "failed_runs": RunStatus.FAILED}
BATCH = 1000


@dataclass(frozen=True)
class Drift:
    """A task whose counters aren't what counting says; each by the name of the counter."""

    task_id: UUID
    name: str
    stored: dict[str, int]
    counted: dict[str, int]


def drifted() -> Iterator[Drift]:
    """Yield the tasks whose counters differ from what counting their runs says, the oldest first. Reads all runs."""
    rows = _counted(Task.objects.all())
    differs = Q()
    for counter in COUNTERS:
        differs |= ~Q(**{counter: F(f"counted_{counter}")})
    names = [*COUNTERS, *(f"counted_{counter}" for counter in COUNTERS)]
    for row in rows.filter(differs).order_by("pk").values("pk", "name", *names).iterator(BATCH):
        stored = {counter: row[counter] for counter in COUNTERS}
        counted = {counter: row[f"counted_{counter}"] for counter in COUNTERS}
        yield Drift(row["pk"], row["name"], stored, counted)


@transaction.atomic
def mend(task_ids: list[UUID]) -> int:
    """Set the counters of these tasks to what counting their runs says, and return how many tasks were changed.

    The tasks are locked first, so that no run ends between counting and writing.
    """
    locked = Task.objects.filter(pk__in=task_ids).order_by("pk").select_for_update(no_key=True)
    counts = {counter: _count(status) for counter, status in COUNTERS.items()}
    return Task.objects.filter(pk__in=[task.pk for task in locked]).update(**counts)


def _counted(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """Return the tasks with what counting says, as ``counted_…``, from one pass over the runs."""
    return tasks.annotate(
        **{
            f"counted_{counter}": Count("runs", filter=Q(runs__status=status) if status else None)
            for counter, status in COUNTERS.items()
        }
    )


def _count(status: RunStatus | None) -> Coalesce:
    runs = TaskRun.objects.filter(task=OuterRef("pk")).order_by()
    if status:
        runs = runs.filter(status=status)
    counted = runs.values("task").annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)
