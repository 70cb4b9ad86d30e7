"""Factories of executions, model calls and tool executions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import factory
from factory.django import DjangoModelFactory

from agents.models import AgentExecution, ModelCall, SpanStatus, ToolExecution
from agents.models.spans import ENDED_SPAN
from tests.factories.core import OrganizationFactory


class SpanFactory(DjangoModelFactory):
    """Something that took two seconds, a minute ago; not a span of OpenTelemetry unless ids are given."""

    class Meta:
        abstract = True

    organization = factory.SubFactory(OrganizationFactory)
    status = SpanStatus.COMPLETED
    agent_name = "Planner"

    @factory.lazy_attribute
    def started_at(self) -> datetime | None:
        return None if self.status == SpanStatus.PENDING else datetime.now(tz=UTC) - timedelta(minutes=1)

    @factory.lazy_attribute
    def completed_at(self) -> Any:
        return self.started_at + timedelta(seconds=2) if self.status in ENDED_SPAN else None


class AgentExecutionFactory(SpanFactory):
    """A completed execution of an agent."""

    class Meta:
        model = AgentExecution

    name = factory.Sequence(lambda n: f"Execution {n}")
    execution_id = factory.Sequence(lambda n: f"execution-{n}")
    input = factory.LazyFunction(lambda: {"task": "Plan the day."})
    output = factory.LazyFunction(lambda: ["Get up", "Go to bed"])


class ModelCallFactory(SpanFactory):
    """A completed call of a model, inside a new execution, of unknown usage."""

    class Meta:
        model = ModelCall

    execution = factory.SubFactory(AgentExecutionFactory, organization=factory.SelfAttribute("..organization"))
    name = "chat claude-sonnet-4-5"
    provider = "anthropic"
    request_model = "claude-sonnet-4-5"
    input_messages = factory.LazyFunction(lambda: [{"role": "user", "parts": [{"type": "text", "content": "Hello?"}]}])


class ToolExecutionFactory(SpanFactory):
    """A completed use of a tool, inside a new execution."""

    class Meta:
        model = ToolExecution

    execution = factory.SubFactory(AgentExecutionFactory, organization=factory.SelfAttribute("..organization"))
    name = "execute_tool search"
    tool_name = "search"
    input = factory.LazyFunction(lambda: {"query": "drive belts"})
