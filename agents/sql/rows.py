"""Spans' rows as links, summaries and statistics see them."""

EXECUTIONS, MODEL_CALLS, TOOL_EXECUTIONS = "agents_agentexecution", "agents_modelcall", "agents_toolexecution"

LINK = {EXECUTIONS: "parent_execution_id", MODEL_CALLS: "execution_id", TOOL_EXECUTIONS: "execution_id"}

# A kind's rows as the summaries see them: what counts, and by what they are told apart. An execution's own totals
# count only where nothing inside it reports any; a call's cost is the computed one, or else the reported one. What an
# execution cost only its client can say: tokens of who knows how many calls of which models have no one price.
_COMMON = """organization_id, trace_id, parent_span_id, name, agent_name, {agent} AS agent, status,
    session_id, started_at, coalesce(completed_at, started_at) AS ended_at,
    status IN ('failed', 'timeout') AS failed, completed_at IS NULL AS open, duration"""
_NO_WORK = "NULL::uuid AS task_run_id, NULL::uuid AS squad_id"
_AGENT_PROPER = "CASE WHEN agent_type = 'agent' THEN agent_name ELSE '' END"
_NO_USAGE = """0::bigint AS input_tokens, 0::bigint AS output_tokens, 0::bigint AS cached_tokens,
    0::bigint AS reasoning_tokens, 0::numeric AS cost, 0::bigint AS unpriced"""
_USAGE = """coalesce(input_tokens, 0) AS input_tokens, coalesce(output_tokens, 0) AS output_tokens,
    coalesce(cached_tokens, 0) AS cached_tokens, coalesce(reasoning_tokens, 0) AS reasoning_tokens"""
AS_SEEN = {
    EXECUTIONS: f"""SELECT 'execution' AS kind, {_COMMON.format(agent=_AGENT_PROPER)}, task_run_id, squad_id,
        model_name AS model, model_provider AS provider, ''::text AS tool,
        CASE WHEN usage_below THEN 0 ELSE coalesce(input_tokens, 0) END AS input_tokens,
        CASE WHEN usage_below THEN 0 ELSE coalesce(output_tokens, 0) END AS output_tokens,
        CASE WHEN usage_below THEN 0 ELSE coalesce(cached_tokens, 0) END AS cached_tokens,
        CASE WHEN usage_below THEN 0 ELSE coalesce(reasoning_tokens, 0) END AS reasoning_tokens,
        CASE WHEN usage_below THEN 0 ELSE coalesce(cost, 0) END AS cost,
        (NOT usage_below AND cost IS NULL AND coalesce(input_tokens, 0) + coalesce(output_tokens, 0) > 0)::int::bigint
        AS unpriced FROM {{rows}}""",
    MODEL_CALLS: f"""SELECT 'model_call' AS kind, {_COMMON.format(agent="agent_name")}, {_NO_WORK},
        model, provider, ''::text AS tool, {_USAGE}, coalesce(cost, reported_cost, 0) AS cost,
        (pricing = 'unknown_model' AND reported_cost IS NULL)::int::bigint AS unpriced FROM {{rows}}""",
    TOOL_EXECUTIONS: f"""SELECT 'tool_execution' AS kind, {_COMMON.format(agent="agent_name")}, {_NO_WORK},
        ''::text AS model, ''::text AS provider, tool_name AS tool, {_NO_USAGE} FROM {{rows}}""",
}
HAS_USAGE = "coalesce({row}.input_tokens, {row}.output_tokens) IS NOT NULL OR {row}.cost IS NOT NULL"
HAS_USAGE_OF = {
    EXECUTIONS: f"({HAS_USAGE} OR {{row}}.usage_below)",
    MODEL_CALLS: f"({HAS_USAGE} OR {{row}}.reported_cost IS NOT NULL)",
}

TOTALS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost", "unpriced")


def signed(table: str, rows: str, sign: int) -> str:
    """Return the query of a kind's rows as the summaries see them, each counting ``sign``."""
    return f"SELECT {sign} AS sign, seen.* FROM ({AS_SEEN[table].format(rows=rows)}) AS seen"
