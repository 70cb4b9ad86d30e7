"""What Muster has to show of each example's run: who contains whom, in order of time.

A line is a row: what it is, and its span's name; agents with the agent's name; the status unless ``completed``. What
contains a failed part isn't always failed: the frameworks say so themselves, and Muster tells what they say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from agents.models import AgentExecution, ModelCall, ToolExecution

Row = AgentExecution | ModelCall | ToolExecution

KINDS = (AgentExecution, ModelCall, ToolExecution)

STORIES = {
    "openai-agents": """
agent: Agent workflow (Agent workflow)
  chain: Agent workflow
    agent: support-desk (support-desk)
      chain: turn
        call: response
        tool: look_up_order
      chain: turn
        call: response
""",
    "openai-agents-failed-tool": """
agent: Agent workflow (Agent workflow)
  chain: Agent workflow
    agent: support-desk (support-desk)
      chain: turn
        call: response
        tool: look_up_order failed
      chain: turn
        call: response
""",
    "openai-agents-failed-call": """
agent: Agent workflow (Agent workflow)
  chain: Agent workflow
    agent: support-desk (support-desk) failed
      chain: turn
        call: response failed
""",
    "langchain": """
chain: support-desk
  chain: model
    call: ChatOpenAI
  chain: tools
    tool: look_up_order
  chain: model
    call: ChatOpenAI
""",
    "langchain-failed-tool": """
chain: support-desk failed
  chain: model
    call: ChatOpenAI
  chain: tools failed
    tool: look_up_order failed
""",
    "langchain-failed-call": """
chain: support-desk failed
  chain: model failed
    call: ChatOpenAI failed
""",
    "pydantic-ai": """
agent: invoke_agent support-desk (support-desk)
  call: chat gpt-5-mini
  tool: execute_tool look_up_order
  call: chat gpt-5-mini
""",
    "pydantic-ai-failed-tool": """
agent: invoke_agent support-desk (support-desk) failed
  call: chat gpt-5-mini
  tool: execute_tool look_up_order failed
""",
    "pydantic-ai-failed-call": """
agent: invoke_agent support-desk (support-desk) failed
  call: chat gpt-5-mini failed
""",
    "openai-v2": """
agent: invoke_agent support-desk (support-desk)
  call: chat gpt-5-mini
  tool: execute_tool look_up_order
  call: chat gpt-5-mini
""",
    "openai-v2-failed-tool": """
agent: invoke_agent support-desk (support-desk) failed
  call: chat gpt-5-mini
  tool: execute_tool look_up_order failed
""",
    "openai-v2-failed-call": """
agent: invoke_agent support-desk (support-desk) failed
  call: chat gpt-5-mini failed
""",
}


@dataclass(frozen=True)
class Stored:
    """What Muster has of a trace, each kind in order of time."""

    trace_id: str

    @cached_property
    def executions(self) -> list[AgentExecution]:
        return list(AgentExecution.objects.filter(trace_id=self.trace_id).order_by("started_at"))

    @cached_property
    def calls(self) -> list[ModelCall]:
        return list(ModelCall.objects.filter(trace_id=self.trace_id).order_by("started_at"))

    @cached_property
    def tools(self) -> list[ToolExecution]:
        return list(ToolExecution.objects.filter(trace_id=self.trace_id).order_by("started_at"))

    @property
    def rows(self) -> list[Row]:
        return sorted([*self.executions, *self.calls, *self.tools], key=lambda row: row.started_at)


def tree(stored: Stored) -> str:
    """Return the stored rows as a tree by their links, in order of time, two spaces a level."""

    def lines(parent: UUID | None, indent: str) -> Iterator[str]:
        for row in stored.rows:
            link = row.parent_execution_id if isinstance(row, AgentExecution) else row.execution_id
            if link == parent:
                yield f"{indent}{told(row)}"
                if isinstance(row, AgentExecution):
                    yield from lines(row.pk, indent + "  ")

    return "\n".join(lines(None, ""))


def told(row: Row) -> str:
    """Return a row as the stories tell it: its kind, its name, and its status when that isn't good."""
    if isinstance(row, AgentExecution):
        kind, name = row.agent_type, f"{row.name} ({row.agent_name})" if row.agent_type == "agent" else row.name
    else:
        kind, name = ("call" if isinstance(row, ModelCall) else "tool"), row.name
    return f"{kind}: {name}" + ("" if row.status == "completed" else f" {row.status}")
