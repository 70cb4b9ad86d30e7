"""The agents app."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """The roster of agents, the work that they are given, and the evidence of what they did."""

    name = "agents"
    verbose_name = "Agents and work"
