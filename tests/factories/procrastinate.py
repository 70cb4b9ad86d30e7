"""The factory of jobs, whose model is the library's own, and read-only."""

from typing import Any

import factory
from factory.django import DjangoModelFactory
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob


class ProcrastinateJobFactory(DjangoModelFactory):
    """A job that waits, of a task that nobody knows."""

    class Meta:
        model = ProcrastinateJob

    task_name = factory.Sequence(lambda n: f"nobody.knows_{n}")
    queue_name = "default"

    @classmethod
    def _create(cls, model_class: Any, *args: Any, task_name: str, queue_name: str, **arguments: Any) -> Any:
        job = app.configure_task(task_name, queue=queue_name, allow_unknown=True).defer(**arguments)
        return ProcrastinateJob.objects.get(pk=job)
