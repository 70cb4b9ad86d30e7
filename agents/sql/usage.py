"""The rows around spans that report what they consumed: their own totals repeat it, and don't count.

Executions are marked along their links. Of model calls only the one right around another is: a framework's
instrumentation often reports the call that its client's reports too, but what a tool asks of a model within a call is a
call of its own.
"""

from agents.sql.rows import EXECUTIONS, HAS_USAGE_OF, LINK, MODEL_CALLS

MARK_USAGE = f"""
CREATE FUNCTION agents_mark_usage(executions uuid[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    WITH RECURSIVE above AS (
        SELECT id, parent_execution_id FROM {EXECUTIONS} WHERE id = ANY(executions) AND NOT usage_below
        UNION
        SELECT each.id, each.parent_execution_id
          FROM {EXECUTIONS} AS each JOIN above ON each.id = above.parent_execution_id
         WHERE NOT each.usage_below
    )
    UPDATE {EXECUTIONS} SET usage_below = true FROM above WHERE {EXECUTIONS}.id = above.id;
END
$body$;
COMMENT ON FUNCTION agents_mark_usage(uuid[]) IS
    'Notes that something inside these executions, and so inside those around them, reports what it consumed.';
"""

# A chat may ask for an embedding within, which isn't what the chat itself consumed.
_REPEATS = """outer_call.organization_id = inner_call.organization_id AND outer_call.trace_id = inner_call.trace_id
          AND outer_call.span_id = inner_call.parent_span_id AND outer_call.id <> inner_call.id
          AND (outer_call.operation = 'embeddings') = (inner_call.operation = 'embeddings')
          AND NOT outer_call.usage_below"""
_COLUMNS = ", ".join(
    f"outer_call.{name}" for name in ("id", "organization_id", "trace_id", "span_id", "parent_span_id", "operation")
)
_INNER_REPORTS = HAS_USAGE_OF[MODEL_CALLS].format(row="inner_call")

MARK_CALLS = f"""
CREATE FUNCTION agents_mark_calls(calls uuid[]) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $body$
DECLARE
    outer_calls uuid[];
BEGIN
    -- The new calls that stand within others, and those around others that came before them, and wait still.
    -- Looked up one by one: joined, rows of a trace that PostgreSQL takes for small would be gone through for each.
    outer_calls := ARRAY(
        SELECT id FROM (
            SELECT (SELECT outer_call.id FROM {MODEL_CALLS} AS outer_call WHERE {_REPEATS}) AS id
              FROM {MODEL_CALLS} AS inner_call
             WHERE inner_call.id = ANY(calls) AND inner_call.parent_span_id IS NOT NULL AND {_INNER_REPORTS}
            UNION
            SELECT outer_call.id FROM {MODEL_CALLS} AS outer_call
             WHERE outer_call.id = ANY(calls) AND outer_call.span_id IS NOT NULL
               AND (SELECT true FROM {MODEL_CALLS} AS inner_call
                     WHERE inner_call.execution_id IS NULL AND inner_call.parent_span_id IS NOT NULL
                       AND {_REPEATS} AND {_INNER_REPORTS} LIMIT 1)) AS found
         WHERE id IS NOT NULL);
    IF outer_calls = '{{}}' THEN
        RETURN;
    END IF;
    WITH RECURSIVE above AS (
        SELECT {_COLUMNS} FROM {MODEL_CALLS} AS outer_call WHERE id = ANY(outer_calls)
        UNION
        SELECT {_COLUMNS} FROM above AS inner_call JOIN {MODEL_CALLS} AS outer_call ON {_REPEATS}
    )
    UPDATE {MODEL_CALLS} SET usage_below = true FROM above WHERE {MODEL_CALLS}.id = above.id;
END
$body$;
COMMENT ON FUNCTION agents_mark_calls(uuid[]) IS
    'Notes in the model calls right around these, or around what these are in, that what they report is repeated.';
"""


def inside(table: str, rows: str, condition: str = "true") -> str:
    """Return the query of the executions in which ``rows``, of a kind and called n, report usage."""
    link, has_usage = LINK[table], HAS_USAGE_OF.get(table, "false").format(row="n")
    return f"SELECT DISTINCT n.{link} FROM {rows} WHERE n.{link} IS NOT NULL AND {has_usage} AND {condition}"
