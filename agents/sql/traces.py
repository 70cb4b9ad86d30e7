"""The summary of each trace."""

from agents.sql.rows import AS_SEEN, EXECUTIONS, LINK, TOTALS

TRACE_SUMS = ("spans", "model_calls", "tool_executions", "errors", *TOTALS)
# Of several runs or squads, a trace is of the root's, or else of the one that started first.
_FIRST = "parent_span_id IS NOT NULL, started_at, task_run_id, squad_id"
TRACE_AGGREGATES = f"""
    min(started_at) AS started_at, max(ended_at) AS ended_at,
    (array_agg(name ORDER BY parent_span_id IS NOT NULL, started_at))[1] AS root_name,
    (array_agg(agent_name ORDER BY parent_span_id IS NOT NULL, started_at))[1] AS root_agent_name,
    (array_agg(status ORDER BY parent_span_id IS NOT NULL, started_at))[1] AS root_status,
    (array_agg(started_at ORDER BY parent_span_id IS NOT NULL, started_at))[1] AS root_started_at,
    bool_or(parent_span_id IS NULL) AS has_root, max(session_id) AS session_id,
    (array_agg(task_run_id ORDER BY {_FIRST}) FILTER (WHERE task_run_id IS NOT NULL))[1] AS task_run_id,
    (array_agg(squad_id ORDER BY {_FIRST}) FILTER (WHERE squad_id IS NOT NULL))[1] AS squad_id,
    count(*) AS spans, count(*) FILTER (WHERE kind = 'model_call') AS model_calls,
    count(*) FILTER (WHERE kind = 'tool_execution') AS tool_executions, count(*) FILTER (WHERE failed) AS errors,
    {", ".join(f"sum({each}) AS {each}" for each in TOTALS)}"""
_WORK = ("task_run_id", "squad_id")
_ROOT = ("root_name", "root_agent_name", "root_status", "root_started_at")
_TRACE_COLUMNS = (*("started_at", "completed_at", *_ROOT, "has_root", "session_id", *_WORK, *TRACE_SUMS),)
_NEARER = """(excluded.has_root AND NOT t.has_root)
        OR (excluded.has_root = t.has_root AND excluded.root_started_at < t.root_started_at)"""


def _first_named(work: str) -> str:
    """Return the run or squad of a trace with new rows. Where it gets another, all its executions are looked at."""
    return f"""CASE WHEN t.{work} <> excluded.{work}
            THEN (SELECT x.{work} FROM {EXECUTIONS} AS x
                   WHERE x.organization_id = t.organization_id AND x.trace_id = t.trace_id
                     AND x.started_at IS NOT NULL AND x.{work} IS NOT NULL ORDER BY {_FIRST} LIMIT 1)
            ELSE coalesce(t.{work}, excluded.{work}) END"""


def trace_upsert(rows: str) -> str:
    """Return the statement that adds new rows, as the summaries see them, to their traces' summaries."""
    return f"""
        INSERT INTO agents_trace AS t (id, organization_id, trace_id, started_at, completed_at, {", ".join(_ROOT)},
            has_root, session_id, task_run_id, squad_id, {", ".join(TRACE_SUMS)})
        SELECT muster_uuid7(), organization_id, trace_id, started_at, ended_at, {", ".join(_ROOT)},
            has_root, session_id, task_run_id, squad_id, {", ".join(TRACE_SUMS)}
          FROM (SELECT organization_id, trace_id, {TRACE_AGGREGATES}
                  FROM {rows} AS seen
                 WHERE trace_id IS NOT NULL AND started_at IS NOT NULL GROUP BY organization_id, trace_id) AS summed
        ON CONFLICT (organization_id, trace_id) DO UPDATE SET
            started_at = least(t.started_at, excluded.started_at),
            completed_at = greatest(t.completed_at, excluded.completed_at),
            {", ".join(f"{each} = CASE WHEN {_NEARER} THEN excluded.{each} ELSE t.{each} END" for each in _ROOT)},
            has_root = t.has_root OR excluded.has_root,
            session_id = CASE WHEN t.session_id = '' THEN excluded.session_id ELSE t.session_id END,
            {", ".join(f"{each} = {_first_named(each)}" for each in _WORK)},
            {", ".join(f"{each} = t.{each} + excluded.{each}" for each in TRACE_SUMS)};"""


def _recounted(work: str) -> str:
    """Return what a recount makes of a trace's run or squad: an execution's, or else what calls or tools named."""
    return f"coalesce(excluded.{work}, t.told_{work})"


def _every_kind(condition: str) -> str:
    return " UNION ALL ".join(AS_SEEN[table].format(rows=f"{table} WHERE {condition}") for table in LINK)


RECOUNT_TRACES = f"""
CREATE FUNCTION agents_recount_traces(organization uuid, traces bytea[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO agents_trace AS t (id, organization_id, trace_id, {", ".join(_TRACE_COLUMNS)})
    SELECT muster_uuid7(), organization, trace_id, started_at, ended_at, {", ".join(_TRACE_COLUMNS[2:])}
      FROM (SELECT trace_id, {TRACE_AGGREGATES}
              FROM ({_every_kind("organization_id = organization AND trace_id = ANY(traces)")}) AS seen
             WHERE started_at IS NOT NULL GROUP BY trace_id) AS summed
        ON CONFLICT (organization_id, trace_id) DO UPDATE
       SET {", ".join(f"{each} = excluded.{each}" for each in _TRACE_COLUMNS if each not in _WORK)},
           {", ".join(f"{each} = {_recounted(each)}" for each in _WORK)};
    DELETE FROM agents_trace AS t
     WHERE t.organization_id = organization AND t.trace_id = ANY(traces)
       AND NOT EXISTS (SELECT FROM ({_every_kind("organization_id = organization AND trace_id = ANY(traces)")}) AS seen
                        WHERE seen.trace_id = t.trace_id AND seen.started_at IS NOT NULL);
END
$body$;
COMMENT ON FUNCTION agents_recount_traces(uuid, bytea[]) IS 'Makes trace summaries say what counting their spans says.';
"""
