"""The roster: what agents report of themselves."""

from django.db.models import F
from django.db.models.functions import Now

from agents.models import Agent


def report_activity(*, agent: Agent, actions: int = 0, errors: int = 0) -> Agent:
    """Note that the agent is there, and what it has done since it last reported.

    ``errors`` are those of the ``actions`` that failed. Reports that come at once are all counted.
    """
    Agent.objects.filter(pk=agent.pk).update(
        total_actions=F("total_actions") + actions, total_errors=F("total_errors") + errors, last_seen_at=Now()
    )
    agent.refresh_from_db()
    return agent
