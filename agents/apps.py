"""The agents app."""

from django.apps import AppConfig
from django.db.models import Count, Q


class AgentsConfig(AppConfig):
    """The roster of agents, the work that they are given, and the evidence of what they did."""

    name = "agents"
    verbose_name = "Agents and work"

    def summary(self) -> list[tuple[str, object]]:
        """Return lines for `manage.py seed`: the work in figures. An execution is a run that has come to its end."""
        from agents.models import Artifact, MetricSnapshot, RunStatus, Task, TaskRun

        finished = Q(status__in=[RunStatus.COMPLETED, RunStatus.FAILED])
        runs = TaskRun.objects.aggregate(
            all=Count("*"), finished=Count("*", finished), successful=Count("*", Q(status=RunStatus.COMPLETED))
        )
        rate = f"{runs['successful'] / runs['finished']:.1%}" if runs["finished"] else "none yet"
        return [
            ("tasks", Task.objects.count()),
            ("runs", runs["all"]),
            ("metrics", MetricSnapshot.objects.count()),
            ("artifacts", Artifact.objects.count()),
            ("executions", runs["finished"]),
            ("successful executions", runs["successful"]),
            ("success rate", rate),
        ]
