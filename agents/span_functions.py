"""The PL/pgSQL functions that keep what follows from spans: links, trace summaries, statistics.

# ruff: noqa: S608 (the statements are made of this module's own constants)

They run once a statement, over all the rows that it wrote, so that a batch of spans costs little more than one. All
writers of an organization's spans take turns from the first such statement to the end of their transaction: what one
links and counts, the next one sees.
"""

from core.database_functions import make

EXECUTIONS, MODEL_CALLS, TOOL_EXECUTIONS = "agents_agentexecution", "agents_modelcall", "agents_toolexecution"

LINK = {EXECUTIONS: "parent_execution_id", MODEL_CALLS: "execution_id", TOOL_EXECUTIONS: "execution_id"}

# A kind's rows as the summaries see them: what counts, and by what they are told apart. An execution's own totals
# count only where nothing inside it reports any; a call's cost is the computed one, or else the reported one.
_COMMON = """organization_id, trace_id, parent_span_id, name, agent_name, {agent} AS agent, status, session_id, started_at,
    coalesce(completed_at, started_at) AS ended_at, status IN ('failed', 'timeout') AS failed,
    completed_at IS NULL AS open, duration"""
_AGENT_PROPER = "CASE WHEN agent_type = 'agent' THEN agent_name ELSE '' END"
_NO_USAGE = """0::bigint AS input_tokens, 0::bigint AS output_tokens, 0::bigint AS cached_tokens,
    0::bigint AS reasoning_tokens, 0::numeric AS cost, 0::bigint AS unpriced"""
_USAGE = """coalesce(input_tokens, 0) AS input_tokens, coalesce(output_tokens, 0) AS output_tokens,
    coalesce(cached_tokens, 0) AS cached_tokens, coalesce(reasoning_tokens, 0) AS reasoning_tokens"""
AS_SEEN = {
    EXECUTIONS: f"""SELECT 'execution' AS kind, {_COMMON.format(agent=_AGENT_PROPER)}, task_run_id, squad_id, model_name AS model,
        model_provider AS provider, ''::text AS tool,
        CASE WHEN usage_below THEN 0 ELSE coalesce(input_tokens, 0) END AS input_tokens,
        CASE WHEN usage_below THEN 0 ELSE coalesce(output_tokens, 0) END AS output_tokens,
        CASE WHEN usage_below THEN 0 ELSE coalesce(cached_tokens, 0) END AS cached_tokens,
        CASE WHEN usage_below THEN 0 ELSE coalesce(reasoning_tokens, 0) END AS reasoning_tokens,
        CASE WHEN usage_below THEN 0 ELSE coalesce(cost, 0) END AS cost, 0::bigint AS unpriced FROM {{rows}}""",
    MODEL_CALLS: f"""SELECT 'model_call' AS kind, {_COMMON.format(agent="agent_name")}, NULL::uuid AS task_run_id, NULL::uuid AS squad_id, model,
        provider, ''::text AS tool, {_USAGE}, coalesce(cost, reported_cost, 0) AS cost,
        (pricing = 'unknown_model' AND reported_cost IS NULL)::int::bigint AS unpriced FROM {{rows}}""",
    TOOL_EXECUTIONS: f"""SELECT 'tool_execution' AS kind, {_COMMON.format(agent="agent_name")}, NULL::uuid AS task_run_id, NULL::uuid AS squad_id,
        ''::text AS model, ''::text AS provider, tool_name AS tool, {_NO_USAGE} FROM {{rows}}""",
}
HAS_USAGE = "coalesce({row}.input_tokens, {row}.output_tokens) IS NOT NULL OR {row}.cost IS NOT NULL"
HAS_USAGE_OF = {
    EXECUTIONS: f"({HAS_USAGE} OR {{row}}.usage_below)",
    MODEL_CALLS: f"({HAS_USAGE} OR {{row}}.reported_cost IS NOT NULL)",
}

DURATION_BUCKET = """
CREATE FUNCTION agents_duration_bucket(seconds double precision) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $body$ SELECT CASE WHEN seconds <= 0.000001 THEN 0 ELSE ceil(ln(seconds * 1000000) / ln(1.04))::int END $body$;
COMMENT ON FUNCTION agents_duration_bucket(double precision) IS
    'The bucket of a duration: bucket i holds durations above 1.04^(i-1) microseconds and up to 1.04^i.';
"""

ADD_HISTOGRAMS = """
CREATE FUNCTION agents_add_histograms(one jsonb, other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $body$
    SELECT CASE
        WHEN one = '{}' OR other = '{}' THEN one || other
        ELSE one || (SELECT jsonb_object_agg(key, value::bigint + coalesce((one ->> key)::bigint, 0))
                       FROM jsonb_each_text(other))
    END
$body$;
COMMENT ON FUNCTION agents_add_histograms(jsonb, jsonb) IS 'The sum of two histograms, each a count by bucket.';
"""

TAKE_TURNS = """
CREATE FUNCTION agents_take_turns(organizations uuid[]) RETURNS void LANGUAGE sql AS $body$
    SELECT pg_advisory_xact_lock(hashtext('agents spans'), hashtext(id::text))
      FROM (SELECT DISTINCT unnest(organizations) AS id ORDER BY 1) AS each
$body$;
COMMENT ON FUNCTION agents_take_turns(uuid[]) IS
    'Waits until no other transaction writes spans of these organizations, and keeps others waiting until this ends.';
"""

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


# Who has no name of its own works for the agent around it.
_NAMED = "agent_name = CASE WHEN one.agent_name = '' THEN owner.agent_name ELSE one.agent_name END"


def _waiting(table: str) -> str:
    return f"{LINK[table]} IS NULL AND parent_span_id IS NOT NULL"


def _owner(row: str) -> str:
    """Return the execution that the span around ``row`` is, or is inside of."""
    span = f"organization_id = {row}.organization_id AND trace_id = {row}.trace_id AND span_id = {row}.parent_span_id"
    return f"""coalesce(
        (SELECT id FROM {EXECUTIONS} WHERE {span}),
        (SELECT execution_id FROM {MODEL_CALLS} WHERE {span}),
        (SELECT execution_id FROM {TOOL_EXECUTIONS} WHERE {span}))"""


def _link(table: str) -> str:
    """Return the statements that link new rows with what stands, and what waited for them with them."""
    name = (
        ""
        if table == EXECUTIONS
        else ", agent_name = CASE WHEN one.agent_name = '' THEN owner.agent_name ELSE one.agent_name END"
    )
    waiting = "\n        UNION ALL\n".join(
        f"""        SELECT '{each}' AS kind, w.id, w.organization_id, w.trace_id, w.span_id, w.parent_span_id FROM {each} AS w
         WHERE w.{LINK[each]} IS NULL AND w.parent_span_id IS NOT NULL
           AND (w.organization_id, w.trace_id) IN (SELECT organization_id, trace_id FROM new_rows)"""
        for each in LINK
    )
    awaited = " OR ".join(
        f"""EXISTS (SELECT FROM new_rows AS n JOIN {each} AS w ON w.organization_id = n.organization_id
            AND w.trace_id = n.trace_id AND w.parent_span_id = n.span_id
            AND w.{LINK[each]} IS NULL AND w.parent_span_id IS NOT NULL)"""
        for each in LINK
    )
    owner = "stored.id" if table == EXECUTIONS else f"stored.{LINK[table]}"
    adopt = ",\n    ".join(
        f"""{each}_linked AS (
        UPDATE {each} AS one SET {LINK[each]} = adopted.owner, {_NAMED}
          FROM adopted JOIN {EXECUTIONS} AS owner ON owner.id = adopted.owner
         WHERE adopted.kind = '{each}' AND one.id = adopted.id AND one.id <> adopted.owner RETURNING 1)"""
        for each in LINK
    )
    return f"""
        UPDATE {table} AS one SET {LINK[table]} = owner.id, {_NAMED}
          FROM (SELECT n.id, {_owner("n")} AS owner FROM new_rows AS n WHERE n.{_waiting(table).replace(" AND ", " AND n.")}) AS found
          JOIN {EXECUTIONS} AS owner ON owner.id = found.owner
         WHERE one.id = found.id AND one.id <> owner.id;
        IF {awaited} THEN
            WITH RECURSIVE waiting AS MATERIALIZED (
{waiting}
    ), adopted AS (
        SELECT w.kind, w.id, w.trace_id, w.organization_id, w.span_id, {owner} AS owner
          FROM new_rows AS n JOIN {table} AS stored ON stored.id = n.id
          JOIN waiting AS w ON w.organization_id = n.organization_id AND w.trace_id = n.trace_id
                           AND w.parent_span_id = n.span_id
         WHERE {owner} IS NOT NULL
        UNION
        SELECT w.kind, w.id, w.trace_id, w.organization_id, w.span_id, a.owner
          FROM adopted AS a
          JOIN waiting AS w ON w.organization_id = a.organization_id AND w.trace_id = a.trace_id
                           AND w.parent_span_id = a.span_id
         WHERE a.kind <> '{EXECUTIONS}'
    ), {adopt}
            SELECT 1 INTO ignored;
        END IF;"""


_TOTALS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost", "unpriced")
TRACE_SUMS = ("spans", "model_calls", "tool_executions", "errors", *_TOTALS)
TRACE_AGGREGATES = f"""
    min(started_at) AS started_at, max(ended_at) AS ended_at,
    (array_agg(name ORDER BY parent_span_id IS NOT NULL, started_at))[1] AS root_name,
    (array_agg(agent_name ORDER BY parent_span_id IS NOT NULL, started_at))[1] AS root_agent_name,
    (array_agg(status ORDER BY parent_span_id IS NOT NULL, started_at))[1] AS root_status,
    (array_agg(started_at ORDER BY parent_span_id IS NOT NULL, started_at))[1] AS root_started_at,
    bool_or(parent_span_id IS NULL) AS has_root, max(session_id) AS session_id,
    (array_agg(task_run_id) FILTER (WHERE task_run_id IS NOT NULL))[1] AS task_run_id,
    (array_agg(squad_id) FILTER (WHERE squad_id IS NOT NULL))[1] AS squad_id,
    count(*) AS spans, count(*) FILTER (WHERE kind = 'model_call') AS model_calls,
    count(*) FILTER (WHERE kind = 'tool_execution') AS tool_executions, count(*) FILTER (WHERE failed) AS errors,
    {", ".join(f"sum({each}) AS {each}" for each in _TOTALS)}"""
_ROOT = ("root_name", "root_agent_name", "root_status", "root_started_at")
_NEARER = """(excluded.has_root AND NOT t.has_root)
        OR (excluded.has_root = t.has_root AND excluded.root_started_at < t.root_started_at)"""


def _trace_upsert(table: str) -> str:
    """Return the statement that adds new rows to their traces' summaries."""
    return f"""
        INSERT INTO agents_trace AS t (id, organization_id, trace_id, started_at, completed_at, {", ".join(_ROOT)},
            has_root, session_id, task_run_id, squad_id, {", ".join(TRACE_SUMS)})
        SELECT muster_uuid7(), organization_id, trace_id, started_at, ended_at, {", ".join(_ROOT)},
            has_root, session_id, task_run_id, squad_id, {", ".join(TRACE_SUMS)}
          FROM (SELECT organization_id, trace_id, {TRACE_AGGREGATES}
                  FROM ({AS_SEEN[table].format(rows="new_rows")}) AS seen
                 WHERE trace_id IS NOT NULL AND started_at IS NOT NULL GROUP BY organization_id, trace_id) AS summed
        ON CONFLICT (organization_id, trace_id) DO UPDATE SET
            started_at = least(t.started_at, excluded.started_at),
            completed_at = greatest(t.completed_at, excluded.completed_at),
            {", ".join(f"{each} = CASE WHEN {_NEARER} THEN excluded.{each} ELSE t.{each} END" for each in _ROOT)},
            has_root = t.has_root OR excluded.has_root,
            session_id = CASE WHEN t.session_id = '' THEN excluded.session_id ELSE t.session_id END,
            task_run_id = coalesce(t.task_run_id, excluded.task_run_id),
            squad_id = coalesce(t.squad_id, excluded.squad_id),
            {", ".join(f"{each} = t.{each} + excluded.{each}" for each in TRACE_SUMS)};"""


def _every_kind(condition: str) -> str:
    return " UNION ALL ".join(AS_SEEN[table].format(rows=f"{table} WHERE {condition}") for table in LINK)


RECOUNT_TRACES = f"""
CREATE FUNCTION agents_recount_traces(organization uuid, traces bytea[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE agents_trace AS t SET (started_at, completed_at, {", ".join(_ROOT)}, has_root, session_id, task_run_id,
            squad_id, {", ".join(TRACE_SUMS)})
         = (summed.started_at, summed.ended_at, {", ".join(f"summed.{each}" for each in _ROOT)}, summed.has_root,
            summed.session_id, summed.task_run_id, summed.squad_id, {", ".join(f"summed.{each}" for each in TRACE_SUMS)})
      FROM (SELECT trace_id, {TRACE_AGGREGATES}
              FROM ({_every_kind("organization_id = organization AND trace_id = ANY(traces)")}) AS seen
             WHERE started_at IS NOT NULL GROUP BY trace_id) AS summed
     WHERE t.organization_id = organization AND t.trace_id = summed.trace_id;
    DELETE FROM agents_trace AS t
     WHERE t.organization_id = organization AND t.trace_id = ANY(traces)
       AND NOT EXISTS (SELECT FROM ({_every_kind("organization_id = organization AND trace_id = ANY(traces)")}) AS seen
                        WHERE seen.trace_id = t.trace_id);
END
$body$;
COMMENT ON FUNCTION agents_recount_traces(uuid, bytea[]) IS 'Makes trace summaries say what counting their spans says.';
"""

# By what each kind's rows are told apart, and whether they count there. Every row has a status, so the sum over statuses
# is that of all. Of executions, only agents proper count by agent: what else there is are steps of theirs, which only
# add what they consumed, where nothing inside reports it.
_USED = "input_tokens + output_tokens + cached_tokens + reasoning_tokens + cost <> 0"
_BY_AGENT = f"('agent', CASE WHEN agent <> '' OR {_USED} THEN agent_name ELSE '' END, agent <> '')"
_BY_MODEL = "('model', model, true), ('provider', provider, true)"
_DIMENSIONS = {
    EXECUTIONS: f"(VALUES ('status', status, true), {_BY_AGENT}, {_BY_MODEL})",
    MODEL_CALLS: f"(VALUES ('status', status, true), ('agent', agent, true), {_BY_MODEL})",
    TOOL_EXECUTIONS: "(VALUES ('status', status, true), ('agent', agent, true), ('tool', tool, true))",
}
STATISTIC_SUMS = ("count", "failures", "open", *_TOTALS)
STATISTIC_KEY = "organization_id, kind, dimension, width, start, value"


def statistics_of(table: str, rows: str) -> str:
    """Return the query of the statistics of ``rows``, a query of a kind's rows as the summaries see them."""
    sums = ", ".join(f"sum({each}) AS {each}" for each in STATISTIC_SUMS)
    durations = """coalesce(jsonb_object_agg(bucket, count) FILTER (WHERE bucket IS NOT NULL AND count <> 0), '{}')
                   AS durations"""
    return f"""
        WITH by_bucket AS MATERIALIZED (
            SELECT organization_id, kind, dimension, value, date_trunc('hour', started_at, 'UTC') AS start,
                   CASE WHEN counts THEN agents_duration_bucket(duration) END AS bucket,
                   sum(sign * counts::int)::bigint AS count, sum(sign * (counts AND failed)::int)::bigint AS failures,
                   sum(sign * (counts AND open)::int)::bigint AS open,
                   {", ".join(f"sum(sign * {each}) AS {each}" for each in _TOTALS)}
              FROM ({rows}) AS seen CROSS JOIN LATERAL {_DIMENSIONS[table]} AS told_apart (dimension, value, counts)
             WHERE started_at IS NOT NULL AND value <> ''
             GROUP BY 1, 2, 3, 4, 5, 6
        )
        SELECT organization_id, kind, dimension, 'hour' AS width, start, value, {sums}, {durations}
          FROM by_bucket GROUP BY 1, 2, 3, 4, 5, 6
        UNION ALL
        SELECT organization_id, kind, dimension, 'day', start, value, {sums}, {durations}
          FROM (SELECT organization_id, kind, dimension, value, date_trunc('day', start, 'UTC') AS start, bucket, {sums}
                  FROM by_bucket GROUP BY 1, 2, 3, 4, 5, 6) AS by_day
         GROUP BY 1, 2, 3, 4, 5, 6"""


def _statistics_upsert(table: str, rows: str) -> str:
    changed = " OR ".join(f"{each} <> 0" for each in STATISTIC_SUMS)
    return f"""
        INSERT INTO agents_spanstatistic AS s ({STATISTIC_KEY}, {", ".join(STATISTIC_SUMS)}, durations)
        SELECT * FROM ({statistics_of(table, rows)}) AS summed WHERE {changed} OR durations <> '{{}}'
        ON CONFLICT ({STATISTIC_KEY}) DO UPDATE SET
            {", ".join(f"{each} = s.{each} + excluded.{each}" for each in STATISTIC_SUMS)},
            durations = agents_add_histograms(s.durations, excluded.durations);"""


def _signed(table: str, rows: str, sign: int) -> str:
    return f"SELECT {sign} AS sign, seen.* FROM ({AS_SEEN[table].format(rows=rows)}) AS seen"


def _mark(table: str, rows: str, condition: str = "true") -> str:
    if table not in HAS_USAGE_OF:
        return ""
    link = LINK[table]
    has_usage = HAS_USAGE_OF[table].format(row="n")
    return f"""
        inside := ARRAY(SELECT DISTINCT n.{link} FROM {rows} WHERE n.{link} IS NOT NULL AND {has_usage}
                         AND {condition});
        IF inside <> '{{}}' THEN PERFORM agents_mark_usage(inside); END IF;"""


_CHANGES = "new_rows AS n JOIN old_rows AS o ON o.id = n.id"


def _spread_names() -> str:
    """Return the statements that give an execution's name, when it gets one, to what is inside."""
    named = "o.agent_name = '' AND n.agent_name <> ''"
    spread = "".join(
        f"""
            UPDATE {each} AS one SET agent_name = n.agent_name FROM {_CHANGES}
             WHERE one.{LINK[each]} = n.id AND one.agent_name = '' AND {named};"""
        for each in LINK
    )
    return f"""
        IF EXISTS (SELECT FROM {_CHANGES} WHERE {named}) THEN{spread}
        END IF;"""


def keep(name: str, table: str) -> str:
    """Return the trigger function of one kind of span."""
    recount = """
        FOR turn IN SELECT organization_id, array_agg(DISTINCT trace_id) AS traces FROM ({rows}) AS changed
                     WHERE trace_id IS NOT NULL GROUP BY organization_id LOOP
            PERFORM agents_recount_traces(turn.organization_id, turn.traces);
        END LOOP;"""
    seen = {rows: AS_SEEN[table].format(rows=rows) for rows in ("new_rows", "old_rows")}
    newly = (
        f"(o.{LINK[table]} IS DISTINCT FROM n.{LINK[table]} OR NOT {HAS_USAGE_OF.get(table, 'true').format(row='o')})"
    )
    changed = f"SELECT * FROM ({seen['new_rows']} EXCEPT ALL {seen['old_rows']}) AS each"
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    inside uuid[];
    turn record;
    ignored int;
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM agents_take_turns(ARRAY(SELECT DISTINCT organization_id FROM new_rows));
        {_trace_upsert(table)}
        {_statistics_upsert(table, _signed(table, "new_rows", 1))}
        {_mark(table, "new_rows AS n")}
        {_link(table)}
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM agents_take_turns(ARRAY(SELECT DISTINCT organization_id FROM new_rows));
        {_statistics_upsert(table, _signed(table, "new_rows", 1) + " UNION ALL " + _signed(table, "old_rows", -1))}
        {_mark(table, _CHANGES, newly)}
        {_spread_names() if table == EXECUTIONS else ""}
        {recount.format(rows=changed)}
    ELSE
        PERFORM agents_take_turns(ARRAY(SELECT DISTINCT organization_id FROM old_rows));
        {_statistics_upsert(table, _signed(table, "old_rows", -1))}
        {recount.format(rows="SELECT * FROM old_rows")}
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION {name}() IS 'Keeps links, trace summaries and statistics with the rows of {table}.';
"""


OPERATIONS = [
    make("agents_duration_bucket", DURATION_BUCKET),
    make("agents_add_histograms", ADD_HISTOGRAMS),
    make("agents_take_turns", TAKE_TURNS),
    make("agents_mark_usage", MARK_USAGE),
    make("agents_recount_traces", RECOUNT_TRACES),
    make("agents_keep_executions", keep("agents_keep_executions", EXECUTIONS)),
    make("agents_keep_modelcalls", keep("agents_keep_modelcalls", MODEL_CALLS)),
    make("agents_keep_toolexecutions", keep("agents_keep_toolexecutions", TOOL_EXECUTIONS)),
]
