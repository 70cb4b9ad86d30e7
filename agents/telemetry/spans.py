"""What the mapping gives: one record to store for each span, of any convention."""

from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID


@dataclass(slots=True)
class Evaluation:
    """A judgement of a span's result, from a ``gen_ai.evaluation.result`` event."""

    name: str
    score: float | None
    label: str
    explanation: str


@dataclass(slots=True)
class Span:
    """A record to store: an execution, a model call or a tool execution.

    Texts are clean and fit their columns; what isn't known is empty or None. ``input``, ``output``, ``attributes`` and
    ``parameters`` are JSON in UTF-8. A model call's ``input`` and ``output`` are lists of messages in the form of the
    GenAI conventions: ``[{"role": …, "parts": [{"type": "text", "content": …}, …]}, …]``; others are any JSON value.
    """

    kind: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    name: str
    started_ns: int
    ended_ns: int
    status: str = "completed"
    error_type: str = ""
    error_message: str = ""
    session_id: str = ""
    user_name: str = ""
    correlation_id: str = ""
    agent_name: str = ""
    task_run_id: UUID | None = None
    squad_id: UUID | None = None
    agent_id: UUID | None = None
    provider: str = ""
    request_model: str = ""
    response_model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    reported_cost: Decimal | None = None
    input: bytes | None = None
    output: bytes | None = None
    attributes: bytes = b"{}"
    agent_type: str = ""
    operation: str = ""
    parameters: bytes | None = None
    finish_reason: str = ""
    time_to_first_token_ms: float | None = None
    tool_name: str = ""
    tool_type: str = ""
    tool_call_id: str = ""
    evaluations: list[Evaluation] = field(default_factory=list)


@dataclass(slots=True)
class Mapped:
    """A request's spans but for those that were rejected, and how many these are, with the distinct reasons."""

    spans: list[Span]
    rejected: int
    reasons: list[str]
