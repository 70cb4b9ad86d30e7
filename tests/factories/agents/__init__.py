"""Factories of agents' records, one module a subject."""

from tests.factories.agents.projects import ModificationFactory, ProjectContextFactory, ProjectFactory
from tests.factories.agents.roster import AgentFactory, SquadFactory, SquadMemberFactory
from tests.factories.agents.templates import TemplateFactory

__all__ = [
    "AgentFactory",
    "ModificationFactory",
    "ProjectContextFactory",
    "ProjectFactory",
    "SquadFactory",
    "SquadMemberFactory",
    "TemplateFactory",
]
