"""Spans' rows as links, summaries and statistics see them."""

EXECUTIONS, MODEL_CALLS, TOOL_EXECUTIONS = "agents_agentexecution", "agents_modelcall", "agents_toolexecution"

LINK = {EXECUTIONS: "parent_execution_id", MODEL_CALLS: "execution_id", TOOL_EXECUTIONS: "execution_id"}

# A kind's rows as the summaries see them: what counts, and by what they are told apart. What a row consumed counts only
# where nothing inside reports any; a call's cost is the computed one, or else the reported one. What an execution cost
# only its client can say: tokens of who knows how many calls of which models have no one price.
_COMMON = """organization_id, trace_id, parent_span_id, name, agent_name, {agent} AS agent, status,
    session_id, started_at, coalesce(completed_at, started_at) AS ended_at,
    status IN ('failed', 'timeout') AS failed, completed_at IS NULL AS open, duration"""
_NO_WORK = "NULL::uuid AS task_run_id, NULL::uuid AS squad_id"
_AGENT_PROPER = "CASE WHEN agent_type = 'agent' THEN agent_name ELSE '' END"
_NO_USAGE = """0::bigint AS input_tokens, 0::bigint AS output_tokens, 0::bigint AS cached_tokens,
    0::bigint AS reasoning_tokens, 0::numeric AS cost, 0::bigint AS unpriced"""
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


def _own_usage(cost: str, unpriced: str) -> str:
    """Return the columns of what a row consumed; ``unpriced`` is the condition that nobody knows what it cost."""
    own = {name: name for name in _TOKENS} | {"cost": cost, "unpriced": f"({unpriced})::int::bigint"}
    return ", ".join(
        f"CASE WHEN usage_below THEN 0 ELSE coalesce({value}, 0) END AS {name}" for name, value in own.items()
    )


AS_SEEN = {
    EXECUTIONS: f"""SELECT 'execution' AS kind, {_COMMON.format(agent=_AGENT_PROPER)}, task_run_id, squad_id,
        model_name AS model, model_provider AS provider, ''::text AS tool,
        {_own_usage("cost", "cost IS NULL AND coalesce(input_tokens, 0) + coalesce(output_tokens, 0) > 0")}
        FROM {{rows}}""",
    MODEL_CALLS: f"""SELECT 'model_call' AS kind, {_COMMON.format(agent="agent_name")}, {_NO_WORK},
        model, provider, ''::text AS tool,
        {_own_usage("cost, reported_cost", "pricing = 'unknown_model' AND reported_cost IS NULL")} FROM {{rows}}""",
    TOOL_EXECUTIONS: f"""SELECT 'tool_execution' AS kind, {_COMMON.format(agent="agent_name")}, {_NO_WORK},
        ''::text AS model, ''::text AS provider, tool_name AS tool, {_NO_USAGE} FROM {{rows}}""",
}
HAS_USAGE = "coalesce({row}.input_tokens, {row}.output_tokens) IS NOT NULL OR {row}.cost IS NOT NULL"
HAS_USAGE_OF = {
    EXECUTIONS: f"({HAS_USAGE} OR {{row}}.usage_below)",
    MODEL_CALLS: f"({HAS_USAGE} OR {{row}}.reported_cost IS NOT NULL OR {{row}}.usage_below)",
}

TOTALS = (*_TOKENS, "cost", "unpriced")


def signed(table: str, rows: str, sign: int) -> str:
    """Return the query of a kind's rows as the summaries see them, each counting ``sign``."""
    return f"SELECT {sign} AS sign, seen.* FROM ({AS_SEEN[table].format(rows=rows)}) AS seen"
