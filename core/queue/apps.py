"""Procrastinate's Django app, under the names that staff read."""

from procrastinate.contrib.django.apps import ProcrastinateConfig


class QueueConfig(ProcrastinateConfig):
    """The queue in the database; finds each app's ``tasks.py``."""

    verbose_name = "Background work"

    def ready(self) -> None:
        """Find the tasks, and name the records."""
        super().ready()
        job = self.get_model("ProcrastinateJob")
        job._meta.verbose_name, job._meta.verbose_name_plural = "job", "jobs"
