"""The agents app."""

from django.apps import AppConfig
from django.db.models import Count, Q

PROBLEMS = {
    "leased": "Somebody holds the task by a lease; only the lease's token lets one start, complete or fail it.",
    "lease_lost": "The token isn't that of the task's present lease, or the lease has lapsed: claim the task again.",
    "task_cancelled": "The task was cancelled; retry it before a run of it is made or started.",
    "active_runs": "As many runs of the task are active as its config's “max_active_runs” allows (1).",
    "several_runs": "Several runs of the task are active, so that each is to be finished by itself.",
    "run_active": "The run isn't finished yet, so that there is nothing to retry.",
    "no_answers": "All entries of the round table failed, so that there is nothing to judge; cancel it.",
    "judged": "The round table was judged, and is kept; it can be cancelled, and then counts no more.",
    "has_runs": "The task has runs, which are history; it can be cancelled, and not deleted.",
}


class AgentsConfig(AppConfig):
    """The roster of agents, the work that they are given, and the evidence of what they did."""

    name = "agents"
    verbose_name = "Agents and work"

    def ready(self) -> None:
        """Describe agents' own kinds of problem where their addresses lead, and listen to GitHub."""
        from agents.integrations.github import GitHubReceiver
        from core.api import problems
        from core.integrations import receivers

        problems.KINDS.update(PROBLEMS)
        receivers.register("github", GitHubReceiver())

    def summary(self) -> list[tuple[str, object]]:
        """Return lines for `manage.py seed`: the work in figures. An execution is a run that has come to its end."""
        from agents.models import Artifact, MetricSnapshot, RunStatus, Task, TaskRun

        finished = Q(status__in=[RunStatus.COMPLETED, RunStatus.FAILED])
        runs = TaskRun.objects.aggregate(
            all=Count("pk"),
            finished=Count("pk", filter=finished),
            successful=Count("pk", filter=Q(status=RunStatus.COMPLETED)),
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
