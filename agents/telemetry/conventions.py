"""Which attribute means what: the one table by which spans of all conventions become our records.

:data:`TABLE` is read field by field: the spellings of one fact, the one to believe first on top, each with where it
comes from. A spelling ending in ``.*`` means every attribute below it. The first spelling whose value makes sense
gives the field; a further one that says something else, and every attribute that has no row, stays in the record's
``attributes``. (Only what is said in :data:`CONTENT_FIELDS` is not kept twice: instrumentations repeat whole
conversations in several spellings, and the most structured one is kept.)
"""

from enum import StrEnum


class Source(StrEnum):
    """Where spellings come from, by the page that defines them."""

    GENAI = "https://github.com/open-telemetry/semantic-conventions-genai"
    GENAI_OLDER = "https://github.com/open-telemetry/semantic-conventions/tree/v1.36.0/docs/gen-ai"
    OTEL = "https://opentelemetry.io/docs/specs/semconv/registry/attributes/"
    OPENINFERENCE = "https://arize-ai.github.io/openinference/spec/attributes/semantic-conventions.html"
    OPENLLMETRY = "https://github.com/traceloop/openllmetry/tree/main/packages/opentelemetry-semantic-conventions-ai"
    PYDANTIC_AI = "https://ai.pydantic.dev/logfire/"
    STRANDS = "https://github.com/strands-agents/sdk-python"
    LANGFUSE = "https://langfuse.com/integrations/native/opentelemetry"
    VERCEL = "https://ai-sdk.dev/docs/ai-sdk-core/telemetry"
    MLFLOW = "https://github.com/mlflow/mlflow/blob/master/mlflow/tracing/constant.py"
    LITELLM = "https://docs.litellm.ai/docs/observability/opentelemetry_integration"
    MUSTER = "docs/clients.md"


GENAI, OLDER, OTEL, OI, LLMETRY, PYDANTIC, STRANDS, LANGFUSE, VERCEL, MLFLOW, LITELLM, MUSTER = Source

MESSAGE_EVENTS_SPELLING = "<message events>"
"""Stands in the table for the span events of :data:`MESSAGE_EVENTS`."""

TABLE: dict[str, tuple[tuple[str, Source], ...]] = {
    # --- whose work it is ---------------------------------------------------------------------------------------
    "task_run_id": (("muster.task_run.id", MUSTER),),
    "squad_id": (("muster.squad.id", MUSTER),),
    "agent_id": (("muster.agent.id", MUSTER),),
    "correlation_id": (
        ("muster.correlation.id", MUSTER),
        ("traceloop.correlation.id", LLMETRY),
    ),
    "session_id": (
        ("session.id", OTEL),  # OpenInference's too
        ("gen_ai.conversation.id", GENAI),
        ("langfuse.session.id", LANGFUSE),  # its SDKs write session.id
        ("traceloop.association.properties.session_id", LLMETRY),
        ("traceloop.association.properties.chat_id", LLMETRY),
        ("ai.telemetry.metadata.sessionId", VERCEL),
    ),
    "user_name": (
        ("user.id", OTEL),  # OpenInference's too
        ("enduser.id", OTEL),
        ("langfuse.user.id", LANGFUSE),
        ("traceloop.association.properties.user_id", LLMETRY),
        ("llm.user", LLMETRY),
        ("ai.telemetry.metadata.userId", VERCEL),
    ),
    "agent_name": (
        ("gen_ai.agent.name", GENAI),
        ("agent.name", OI),
    ),
    "node_name": (  # names an agent only where the span is an agent's
        ("graph.node.name", OI),
        ("graph.node.id", OI),
        ("traceloop.entity.name", LLMETRY),
    ),
    # --- what kind of work: see ``kinds`` for the values ----------------------------------------------------------
    "span_kind": (
        ("openinference.span.kind", OI),
        ("langfuse.observation.type", LANGFUSE),
        ("mlflow.spanType", MLFLOW),  # a JSON string
    ),
    "operation_name": (
        ("gen_ai.operation.name", GENAI),
        ("ai.operationId", VERCEL),
    ),
    "entity_kind": (
        ("traceloop.span.kind", LLMETRY),
        ("llm.request.type", LLMETRY),
    ),
    # --- which model --------------------------------------------------------------------------------------------
    "provider": (
        ("gen_ai.provider.name", GENAI),
        ("gen_ai.system", OLDER),
        ("llm.provider", OI),
        ("llm.system", OI),
        ("ai.model.provider", VERCEL),
        ("mlflow.llm.provider", MLFLOW),
        ("llm.vendor", LLMETRY),
    ),
    "request_model": (
        ("gen_ai.request.model", GENAI),
        ("llm.request.model_name", OI),
        ("llm.model_name", OI),
        ("embedding.model_name", OI),
        ("reranker.model_name", OI),
        ("langfuse.observation.model.name", LANGFUSE),
        ("ai.model.id", VERCEL),
        ("mlflow.llm.model", MLFLOW),
        ("llm.request.model", LLMETRY),
    ),
    "response_model": (
        ("gen_ai.response.model", GENAI),
        ("llm.response.model_name", OI),
        ("ai.response.model", VERCEL),
        ("llm.response.model", LLMETRY),
    ),
    "parameters": (
        ("gen_ai.request.*", GENAI),
        ("llm.invocation_parameters", OI),
        ("embedding.invocation_parameters", OI),
        ("langfuse.observation.model.parameters", LANGFUSE),
    ),
    "finish_reason": (
        ("gen_ai.response.finish_reasons", GENAI),
        ("llm.finish_reason", OI),
        ("llm.response.finish_reason", LLMETRY),
        ("llm.response.stop_reason", LLMETRY),
        ("ai.response.finishReason", VERCEL),
    ),
    "seconds_to_first_token": (
        ("gen_ai.response.time_to_first_chunk", GENAI),
        ("gen_ai.client.operation.time_to_first_chunk", GENAI),  # the metric's name, which some write on spans
    ),
    "first_token_at": (("langfuse.observation.completion_start_time", LANGFUSE),),
    "milliseconds_to_first_token": (("ai.response.msToFirstChunk", VERCEL),),
    # --- how much -----------------------------------------------------------------------------------------------
    "input_tokens": (  # all of them: cached ones are among them
        ("gen_ai.usage.input_tokens", GENAI),
        ("gen_ai.usage.prompt_tokens", OLDER),
        ("llm.token_count.prompt", OI),
        ("ai.usage.inputTokens", VERCEL),
        ("ai.usage.promptTokens", VERCEL),
        ("ai.usage.tokens", VERCEL),  # of embeddings
        ("llm.usage.prompt_tokens", LLMETRY),
    ),
    "output_tokens": (  # all of them: reasoning is among them
        ("gen_ai.usage.output_tokens", GENAI),
        ("gen_ai.usage.completion_tokens", OLDER),
        ("llm.token_count.completion", OI),
        ("ai.usage.outputTokens", VERCEL),
        ("ai.usage.completionTokens", VERCEL),
        ("llm.usage.completion_tokens", LLMETRY),
    ),
    "cached_tokens": (
        ("gen_ai.usage.cache_read.input_tokens", GENAI),
        ("gen_ai.usage.cache_read_input_tokens", LLMETRY),
        ("gen_ai.usage.details.cache_read_tokens", PYDANTIC),
        ("llm.token_count.prompt_details.cache_read", OI),
        ("llm.token_count.prompt_details.cache_input", OI),
        ("ai.usage.inputTokenDetails.cacheReadTokens", VERCEL),
        ("ai.usage.cachedInputTokens", VERCEL),
    ),
    "cache_write_tokens": (
        ("gen_ai.usage.cache_write.input_tokens", GENAI),
        ("gen_ai.usage.cache_creation.input_tokens", GENAI),  # the name until it was called a write
        ("gen_ai.usage.cache_creation_input_tokens", LLMETRY),
        ("gen_ai.usage.cache_write_input_tokens", STRANDS),
        ("gen_ai.usage.details.cache_write_tokens", PYDANTIC),
        ("llm.token_count.prompt_details.cache_write", OI),
        ("ai.usage.inputTokenDetails.cacheWriteTokens", VERCEL),
    ),
    "reasoning_tokens": (
        ("gen_ai.usage.reasoning.output_tokens", GENAI),
        ("gen_ai.usage.reasoning_tokens", LLMETRY),
        ("gen_ai.usage.details.reasoning_tokens", PYDANTIC),
        ("llm.token_count.completion_details.reasoning", OI),
        ("ai.usage.outputTokenDetails.reasoningTokens", VERCEL),
        ("ai.usage.reasoningTokens", VERCEL),
        ("llm.usage.reasoning_tokens", LLMETRY),
    ),
    "reported_cost": (  # US dollars
        ("llm.cost.total", OI),
        ("gen_ai.usage.cost", LANGFUSE),
        ("operation.cost", PYDANTIC),
        ("gen_ai.cost.total_cost", LITELLM),
    ),
    "usage": (  # several of these at once: see ``usage``
        ("langfuse.observation.usage_details", LANGFUSE),
        ("mlflow.chat.tokenUsage", MLFLOW),
    ),
    "costs": (
        ("langfuse.observation.cost_details", LANGFUSE),
        ("mlflow.llm.cost", MLFLOW),
    ),
    # --- which tool ---------------------------------------------------------------------------------------------
    "tool_name": (
        ("gen_ai.tool.name", GENAI),
        ("tool.name", OI),
        ("ai.toolCall.name", VERCEL),
    ),
    "tool_type": (("gen_ai.tool.type", GENAI),),
    "tool_call_id": (
        ("gen_ai.tool.call.id", GENAI),
        ("tool.id", OI),
        ("tool_call.id", OI),
        ("ai.toolCall.id", VERCEL),
    ),
    # --- what went in and came out: the most structured first ---------------------------------------------------
    "instructions": (("gen_ai.system_instructions", GENAI),),
    "input": (
        ("gen_ai.tool.call.arguments", GENAI),
        ("tool_arguments", PYDANTIC),
        ("ai.toolCall.args", VERCEL),
        ("gen_ai.input.messages", GENAI),
        ("pydantic_ai.all_messages", PYDANTIC),
        ("llm.input_messages.*", OI),
        (MESSAGE_EVENTS_SPELLING, OLDER),
        ("events", PYDANTIC),  # the same events, as a JSON list in an attribute
        ("gen_ai.prompt.*", LLMETRY),
        ("llm.prompts.*", OI),
        ("gen_ai.retrieval.query.text", GENAI),
        ("gen_ai.prompt", OLDER),
        ("langfuse.observation.input", LANGFUSE),
        ("ai.prompt.messages", VERCEL),
        ("ai.prompt", VERCEL),
        ("mlflow.spanInputs", MLFLOW),
        ("input.value", OI),
        ("traceloop.entity.input", LLMETRY),
        ("reranker.query", OI),
        ("ai.value", VERCEL),
        ("ai.values", VERCEL),
    ),
    "output": (
        ("gen_ai.tool.call.result", GENAI),
        ("tool_response", PYDANTIC),
        ("ai.toolCall.result", VERCEL),
        ("gen_ai.output.messages", GENAI),
        ("final_result", PYDANTIC),
        ("llm.output_messages.*", OI),
        (MESSAGE_EVENTS_SPELLING, OLDER),
        ("gen_ai.completion.*", LLMETRY),
        ("llm.choices.*", OI),
        ("llm.completions.*", LLMETRY),
        ("retrieval.documents.*", OI),
        ("reranker.output_documents.*", OI),
        ("gen_ai.retrieval.documents", GENAI),
        ("gen_ai.completion", OLDER),
        ("langfuse.observation.output", LANGFUSE),
        ("ai.response.text", VERCEL),  # these four together: see ANSWER_PARTS
        ("ai.response.object", VERCEL),
        ("ai.response.toolCalls", VERCEL),
        ("ai.response.reasoning", VERCEL),
        ("mlflow.spanOutputs", MLFLOW),
        ("output.value", OI),
        ("traceloop.entity.output", LLMETRY),
    ),
    "input_type": (("input.mime_type", OI),),
    "output_type": (("output.mime_type", OI),),
    # --- how it failed: beside the span's status and its exception event ----------------------------------------
    "error_type": (("error.type", OTEL),),
    "level": (("langfuse.observation.level", LANGFUSE),),
    "status_message": (("langfuse.observation.status_message", LANGFUSE),),
}

MESSAGE_SPELLINGS = frozenset(
    {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "pydantic_ai.all_messages",
        "llm.input_messages.*",
        "llm.output_messages.*",
        "gen_ai.prompt.*",
        "gen_ai.completion.*",
        "llm.prompts.*",
        "llm.choices.*",
        "llm.completions.*",
        "events",
        MESSAGE_EVENTS_SPELLING,
    }
)
"""Spellings of an input or output that are messages on a span of any kind. A model call's are always messages."""

DOCUMENT_SPELLINGS = frozenset({"retrieval.documents.*", "reranker.output_documents.*"})
"""Spellings of an output that are a list of documents."""

JSON_SPELLINGS = frozenset({"ai.toolCall.args", "ai.toolCall.result", "mlflow.spanInputs", "mlflow.spanOutputs"})
"""Spellings whose texts are always JSON: a ``"text"`` in quotes and a ``42`` too."""

ANSWER_PARTS = {
    "ai.response.text": "text",
    "ai.response.object": "text",
    "ai.response.toolCalls": "tool_calls",
    "ai.response.reasoning": "reasoning",
}
"""Spellings that tell one answer of a model together, each a part of it."""

CONTENT_FIELDS = frozenset({"input", "output", "instructions", "input_type", "output_type"})
"""Fields whose further spellings repeat the first in a poorer form and are not kept beside it."""

FIRST_TOKEN_FIELDS = ("seconds_to_first_token", "first_token_at", "milliseconds_to_first_token")
"""Fields that tell how long the first token took, the one to believe first on top."""

MESSAGE_EVENTS: dict[str, str] = {  # span events of the older GenAI conventions; the role that each implies
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
CHOICE_EVENT = "gen_ai.choice"  # GenAI, older
PROMPT_EVENT = "gen_ai.content.prompt"  # GenAI, older still; attribute gen_ai.prompt
COMPLETION_EVENT = "gen_ai.content.completion"  # likewise; attribute gen_ai.completion
EVALUATION_EVENT = "gen_ai.evaluation.result"  # GenAI
EXCEPTION_EVENT = "exception"  # OpenTelemetry, «Recording exceptions»
FIRST_TOKEN_EVENT = "First Token Stream Event"  # OpenInference's instrumentations of streams  # noqa: S105

RESOURCE_ATTRIBUTES = (  # OpenTelemetry: kept with each span under «resource», before all others
    "service.name",
    "service.version",
    "service.namespace",
    "service.instance.id",
    "deployment.environment.name",
    "deployment.environment",  # the name until 1.27
    "host.name",
    "openinference.project.name",
    "telemetry.sdk.language",
)

RESOURCE_FIELDS = ("task_run_id", "squad_id", "agent_id", "correlation_id", "session_id", "user_name")
"""Fields that a resource tells for all its spans, by the first spelling, unless a span tells its own: a worker started
for one run says so once, in its environment."""


def _exact() -> dict[str, tuple[str, int]]:
    return {
        spelling: (field, rank)
        for field, spellings in TABLE.items()
        for rank, (spelling, _) in enumerate(spellings)
        if not spelling.endswith(".*") and spelling != MESSAGE_EVENTS_SPELLING
    }


def _prefixes() -> dict[str, tuple[str, int]]:
    return {
        spelling.removesuffix(".*"): (field, rank)
        for field, spellings in TABLE.items()
        for rank, (spelling, _) in enumerate(spellings)
        if spelling.endswith(".*")
    }


BY_NAME = _exact()
"""An attribute's field and rank."""

BY_PREFIX = _prefixes()
"""The field and rank of all attributes below a prefix. Every prefix has two segments."""
