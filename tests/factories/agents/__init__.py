"""Factories of agents' records, a module a subject."""

from tests.factories.agents.work import AgentMessageFactory, TaskFactory, TaskRunFactory

__all__ = ["AgentMessageFactory", "TaskFactory", "TaskRunFactory"]
