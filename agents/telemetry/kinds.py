"""What the kinds of spans of all conventions are to us, by the values of the attributes that tell them.

The kind of a span is decided by the first of these that knows its value: :data:`SPAN_KINDS` (openinference.span.kind
and its like in ``conventions.TABLE``), :data:`OPERATIONS` (gen_ai.operation.name and its like), :data:`ENTITY_KINDS`
(OpenLLMetry's); then by a tool's name or call id, which makes it a :data:`TOOL`; then by a model's name, which makes it
a :data:`CHAT`; else it is a :data:`STEP`.
"""

from dataclasses import dataclass

# Kinds of records.
EXECUTION, MODEL_CALL, TOOL_EXECUTION = "execution", "model_call", "tool_execution"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a span is: the kind of its record, an execution's type, a model call's operation.

    ``whole`` says that nothing is lost when the attribute that told it isn't kept.
    """

    record: str
    agent_type: str = ""
    operation: str = ""
    whole: bool = True


STEP = Kind(EXECUTION, "step")
"""What a span is that no rule knows."""

TOOL = Kind(TOOL_EXECUTION)
CHAT = Kind(MODEL_CALL, operation="chat")
EMBEDDINGS = Kind(MODEL_CALL, operation="embeddings")
WRAPPING = Kind(EXECUTION, "chain", whole=False)

SPAN_KINDS: dict[str, Kind] = {  # OpenInference, «Span Kinds»; Langfuse, «Observation Types»; in capitals
    "LLM": CHAT,
    "EMBEDDING": EMBEDDINGS,
    "TOOL": TOOL,
    "AGENT": Kind(EXECUTION, "agent"),
    "CHAIN": Kind(EXECUTION, "chain"),
    "RETRIEVER": Kind(EXECUTION, "retriever"),
    "RERANKER": Kind(EXECUTION, "reranker"),
    "GUARDRAIL": Kind(EXECUTION, "guardrail"),
    "EVALUATOR": Kind(EXECUTION, "evaluator"),
    "PROMPT": Kind(EXECUTION, "step", whole=False),
    "DECISION": Kind(EXECUTION, "step", whole=False),
    "GENERATION": CHAT,  # Langfuse's; its SPAN is any work whatever, so that other attributes may say more
    "CHAT_MODEL": CHAT,  # MLflow's, as those below
    "WORKFLOW": Kind(EXECUTION, "workflow"),
    "TASK": Kind(EXECUTION, "step", whole=False),
    "PARSER": Kind(EXECUTION, "step", whole=False),
    "MEMORY": Kind(EXECUTION, "step", whole=False),
}

OPERATIONS: dict[str, Kind] = {  # OpenTelemetry GenAI, values of gen_ai.operation.name
    "chat": CHAT,
    "generate_content": Kind(MODEL_CALL, operation="generate_content"),
    "text_completion": Kind(MODEL_CALL, operation="text_completion"),
    "embeddings": EMBEDDINGS,
    "execute_tool": TOOL,
    "invoke_agent": Kind(EXECUTION, "agent"),
    "create_agent": Kind(EXECUTION, "agent", whole=False),
    "invoke_workflow": Kind(EXECUTION, "workflow"),
    "retrieval": Kind(EXECUTION, "retriever"),
    "plan": Kind(EXECUTION, "step", whole=False),
    # Vercel's AI SDK: the whole of what its user calls, whose totals repeat, and the calls of models and tools in it.
    "ai.generateText": WRAPPING,
    "ai.generateText.doGenerate": CHAT,
    "ai.streamText": WRAPPING,
    "ai.streamText.doStream": CHAT,
    "ai.generateObject": WRAPPING,
    "ai.generateObject.doGenerate": CHAT,
    "ai.streamObject": WRAPPING,
    "ai.streamObject.doStream": CHAT,
    "ai.embed": WRAPPING,
    "ai.embed.doEmbed": EMBEDDINGS,
    "ai.embedMany": WRAPPING,
    "ai.embedMany.doEmbed": EMBEDDINGS,
    "ai.rerank": WRAPPING,
    "ai.rerank.doRerank": Kind(EXECUTION, "reranker"),
    "ai.toolCall": TOOL,
}

ENTITY_KINDS: dict[str, Kind] = {  # OpenLLMetry, TraceloopSpanKindValues and LLMRequestTypeValues
    "workflow": Kind(EXECUTION, "workflow"),
    "task": Kind(EXECUTION, "step", whole=False),
    "agent": Kind(EXECUTION, "agent"),
    "tool": TOOL,
    "chat": CHAT,
    "completion": Kind(MODEL_CALL, operation="text_completion"),
    "embedding": EMBEDDINGS,
    "rerank": Kind(EXECUTION, "reranker"),
}

NAME_PREFIXES = ("invoke_agent ", "create_agent ", "invoke_workflow ", "execute_tool ")
"""What the GenAI conventions put before an agent's or a tool's name in the name of a span."""
