"""What evidence has in common: the work that it comes from."""

from django.db import models

from agents.models.runs import TaskRun
from agents.models.tasks import Task
from core.triggers import SharedTrigger, pgtrigger


class RunOfTask(SharedTrigger):
    """Fills in the run's task where only a run is given, and refuses a run of another task."""

    name = "run_of_task"
    operation = pgtrigger.Insert | pgtrigger.Update
    function = "agents_run_of_task"


class OfWork(models.Model):
    """Something that comes from a task, and perhaps from one of its runs; both are optional.

    A concrete model has ``SameOrganization`` constraints for both, and indexes that begin with each.
    """

    task = models.ForeignKey(
        Task,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        help_text="The run's own, where only a run is given.",
    )
    task_run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, null=True, blank=True, db_constraint=False, db_index=False
    )

    class Meta:
        abstract = True

    @classmethod
    def inherited_triggers(cls) -> list[SharedTrigger]:
        """Return the triggers of the other base classes, and the one that keeps run and task together."""
        return [*super().inherited_triggers(), RunOfTask()]  # type: ignore[misc]
