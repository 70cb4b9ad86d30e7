"""Factories of tasks, runs and messages."""

import factory
from factory.django import DjangoModelFactory

from agents.models import AgentMessage, Task, TaskRun
from tests.factories.core import OrganizationFactory


class TaskFactory(DjangoModelFactory):
    """A pending task that nobody holds, without project, squad or agent."""

    class Meta:
        model = Task

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"Task {n}")


class TaskRunFactory(DjangoModelFactory):
    """A queued run of a new task."""

    class Meta:
        model = TaskRun

    organization = factory.SubFactory(OrganizationFactory)
    task = factory.SubFactory(TaskFactory, organization=factory.SelfAttribute("..organization"))


class AgentMessageFactory(DjangoModelFactory):
    """A message to all, said during a run of a new task."""

    class Meta:
        model = AgentMessage

    organization = factory.SubFactory(OrganizationFactory)
    task_run = factory.SubFactory(TaskRunFactory, organization=factory.SelfAttribute("..organization"))
    sender = factory.SubFactory(
        "tests.factories.agents.roster.SquadMemberFactory", organization=factory.SelfAttribute("..organization")
    )
    content = factory.Sequence(lambda n: f"Message {n}")
