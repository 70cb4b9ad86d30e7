"""Factories of agents, squads and their members."""

import factory
from factory.django import DjangoModelFactory

from agents.models import Agent, Squad, SquadMember
from tests.factories.core import OrganizationFactory


class AgentFactory(DjangoModelFactory):
    """A language model that was never started."""

    class Meta:
        model = Agent

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"Agent {n}")
    model_provider = "anthropic"
    model_name = "claude-sonnet-4-5"


class SquadFactory(DjangoModelFactory):
    """An active squad without members."""

    class Meta:
        model = Squad

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"Squad {n}")


class SquadMemberFactory(DjangoModelFactory):
    """A new agent as developer in a new squad."""

    class Meta:
        model = SquadMember

    organization = factory.SubFactory(OrganizationFactory)
    squad = factory.SubFactory(SquadFactory, organization=factory.SelfAttribute("..organization"))
    agent = factory.SubFactory(AgentFactory, organization=factory.SelfAttribute("..organization"))
