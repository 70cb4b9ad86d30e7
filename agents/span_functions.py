"""The PL/pgSQL functions that keep what follows from spans: links, trace summaries, statistics.


They run once a statement, over all the rows that it wrote, so that a batch of spans costs little more than one. All
writers of an organization's spans take turns from the first such statement to the end of their transaction: what one
links and counts, the next one sees.
"""

from core.database_functions import make

EXECUTIONS, MODEL_CALLS, TOOL_EXECUTIONS = "agents_agentexecution", "agents_modelcall", "agents_toolexecution"

LINK = {EXECUTIONS: "parent_execution_id", MODEL_CALLS: "execution_id", TOOL_EXECUTIONS: "execution_id"}

# A kind's rows as the summaries see them: what counts, and by what they are told apart. An execution's own totals
# count only where nothing inside it reports any; a call's cost is the computed one, or else the reported one.
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
        CASE WHEN usage_below THEN 0 ELSE coalesce(cost, 0) END AS cost, 0::bigint AS unpriced FROM {{rows}}""",
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

# Durations are counted in buckets that each end 8 % above the one before, from 10 microseconds to 29 hours.
BUCKETS = 300
RATIO = 1.08
FINEST = 0.00001

DURATION_BUCKET = f"""
CREATE FUNCTION agents_duration_bucket(seconds double precision) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $body$
    SELECT CASE WHEN seconds <= {FINEST} THEN 1
           WHEN seconds > {FINEST} THEN least({BUCKETS}, 1 + ceil(ln(seconds / {FINEST}) / ln({RATIO})))::int END
$body$;
COMMENT ON FUNCTION agents_duration_bucket(double precision) IS
    'The bucket of a duration: 1 holds what is shorter than can be told; each ends 8 % above the one before it.';
"""

HISTOGRAM = f"""
CREATE FUNCTION agents_histogram(buckets int[], counts bigint[]) RETURNS int[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $body$
DECLARE
    made int[] := array_fill(0, ARRAY[{BUCKETS}]);
BEGIN
    FOR i IN 1 .. coalesce(cardinality(buckets), 0) LOOP
        made[buckets[i]] := made[buckets[i]] + counts[i];
    END LOOP;
    RETURN made;
END
$body$;
COMMENT ON FUNCTION agents_histogram(int[], bigint[]) IS 'A histogram, of buckets and how many each holds.';
"""

ADD_HISTOGRAMS = """
CREATE FUNCTION agents_add_histograms(one int[], other int[]) RETURNS int[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $body$
BEGIN
    FOR i IN 1 .. cardinality(other) LOOP
        IF other[i] <> 0 THEN
            one[i] := one[i] + other[i];
        END IF;
    END LOOP;
    RETURN one;
END
$body$;
COMMENT ON FUNCTION agents_add_histograms(int[], int[]) IS 'The sum of two histograms.';
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


def _owner(row: str) -> str:
    """Return the execution that the span around ``row`` is, or is inside of."""
    span = f"organization_id = {row}.organization_id AND trace_id = {row}.trace_id AND span_id = {row}.parent_span_id"
    return f"""coalesce(
        (SELECT id FROM {EXECUTIONS} WHERE {span}),
        (SELECT execution_id FROM {MODEL_CALLS} WHERE {span}),
        (SELECT execution_id FROM {TOOL_EXECUTIONS} WHERE {span}))"""


def _adopt_kind(table: str) -> str:
    """Return the statement that links the rows of one kind that wait for what has come, and tells what they are."""
    return f"""
        WITH linked AS (
            UPDATE {table} AS one SET {LINK[table]} = owner.id, {_NAMED}
              FROM unnest(organizations, traces, spans, owners) AS come (organization_id, trace_id, span_id, owner)
              JOIN {EXECUTIONS} AS owner ON owner.id = come.owner
             WHERE one.organization_id = come.organization_id AND one.trace_id = come.trace_id
               AND one.parent_span_id = come.span_id AND one.{LINK[table]} IS NULL AND one.parent_span_id IS NOT NULL
               AND one.id <> owner.id
            RETURNING one.organization_id, one.trace_id, one.span_id, one.{LINK[table]} AS owner)
        SELECT next_organizations || coalesce(array_agg(organization_id), '{{}}'),
               next_traces || coalesce(array_agg(trace_id), '{{}}'),
               next_spans || coalesce(array_agg(span_id), '{{}}'), next_owners || coalesce(array_agg(owner), '{{}}')
          INTO next_organizations, next_traces, next_spans, next_owners FROM linked;"""


ADOPT = f"""
CREATE FUNCTION agents_adopt(organizations uuid[], traces bytea[], spans bytea[], owners uuid[]) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    next_organizations uuid[];
    next_traces bytea[];
    next_spans bytea[];
    next_owners uuid[];
BEGIN
    -- What calls and tools contain is in the execution that they are in, so those linked lead to more. An execution
    -- that is linked was the place of what it contains all along.
    WHILE organizations IS NOT NULL AND organizations <> '{{}}' LOOP
        next_organizations := '{{}}';
        {_adopt_kind(EXECUTIONS)}
        next_organizations := '{{}}'; next_traces := '{{}}'; next_spans := '{{}}'; next_owners := '{{}}';
        {_adopt_kind(MODEL_CALLS)}
        {_adopt_kind(TOOL_EXECUTIONS)}
        organizations := next_organizations; traces := next_traces; spans := next_spans; owners := next_owners;
    END LOOP;
END
$body$;
COMMENT ON FUNCTION agents_adopt(uuid[], bytea[], bytea[], uuid[]) IS
    'Links what waited for these spans with the executions that they are, or are in.';
"""


def _link(table: str) -> str:
    """Return the statements that link new rows with what stands, and what waited for them with them."""
    awaited = " OR ".join(
        f"""EXISTS (SELECT FROM new_rows AS n JOIN {each} AS w ON w.organization_id = n.organization_id
            AND w.trace_id = n.trace_id AND w.parent_span_id = n.span_id
            AND w.{LINK[each]} IS NULL AND w.parent_span_id IS NOT NULL)"""
        for each in LINK
    )
    owner = "stored.id" if table == EXECUTIONS else f"stored.{LINK[table]}"
    return f"""
        UPDATE {table} AS one SET {LINK[table]} = owner.id, {_NAMED}
          FROM (SELECT n.id, {_owner("n")} AS owner FROM new_rows AS n
                 WHERE n.{LINK[table]} IS NULL AND n.parent_span_id IS NOT NULL) AS found
          JOIN {EXECUTIONS} AS owner ON owner.id = found.owner
         WHERE one.id = found.id AND one.id <> owner.id;
        IF {awaited} THEN
            PERFORM agents_adopt(array_agg(stored.organization_id), array_agg(stored.trace_id),
                                 array_agg(stored.span_id), array_agg({owner}))
               FROM new_rows AS n JOIN {table} AS stored ON stored.id = n.id
              WHERE stored.span_id IS NOT NULL AND {owner} IS NOT NULL;
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
_TRACE_COLUMNS = (
    *("started_at", "completed_at", *_ROOT, "has_root", "session_id", "task_run_id", "squad_id", *TRACE_SUMS),
)
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
    INSERT INTO agents_trace AS t (id, organization_id, trace_id, {", ".join(_TRACE_COLUMNS)})
    SELECT muster_uuid7(), organization, trace_id, started_at, ended_at, {", ".join(_TRACE_COLUMNS[2:])}
      FROM (SELECT trace_id, {TRACE_AGGREGATES}
              FROM ({_every_kind("organization_id = organization AND trace_id = ANY(traces)")}) AS seen
             WHERE started_at IS NOT NULL GROUP BY trace_id) AS summed
        ON CONFLICT (organization_id, trace_id) DO UPDATE
       SET {", ".join(f"{each} = excluded.{each}" for each in _TRACE_COLUMNS)};
    DELETE FROM agents_trace AS t
     WHERE t.organization_id = organization AND t.trace_id = ANY(traces)
       AND NOT EXISTS (SELECT FROM ({_every_kind("organization_id = organization AND trace_id = ANY(traces)")}) AS seen
                        WHERE seen.trace_id = t.trace_id AND seen.started_at IS NOT NULL);
END
$body$;
COMMENT ON FUNCTION agents_recount_traces(uuid, bytea[]) IS 'Makes trace summaries say what counting their spans says.';
"""

# By what each kind's rows are told apart, and whether they count there. Every row has a status, so the sum over
# statuses is that of all. Of executions, only agents proper count by agent: what else there is are steps of theirs,
# which only add what they consumed, where nothing inside reports it.
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
    return f"""
        SELECT organization_id, kind, dimension, width, date_trunc(width, by_bucket.start, 'UTC') AS start, value,
               {", ".join(f"sum({each}) AS {each}" for each in STATISTIC_SUMS)},
               agents_histogram(array_agg(bucket) FILTER (WHERE bucket IS NOT NULL AND count <> 0),
                                array_agg(count) FILTER (WHERE bucket IS NOT NULL AND count <> 0)) AS durations
          FROM (SELECT organization_id, kind, dimension, value, date_trunc('hour', started_at, 'UTC') AS start,
                       CASE WHEN counts THEN agents_duration_bucket(duration) END AS bucket,
                       sum(sign * counts::int) AS count,
                       sum(sign * (counts AND failed)::int) AS failures,
                       sum(sign * (counts AND open)::int) AS open,
                       {", ".join(f"sum(sign * {each}) AS {each}" for each in _TOTALS)}
                  FROM ({rows}) AS seen CROSS JOIN LATERAL {_DIMENSIONS[table]} AS told_apart (dimension, value, counts)
                 WHERE started_at IS NOT NULL AND value <> ''
                 GROUP BY 1, 2, 3, 4, 5, 6) AS by_bucket
          CROSS JOIN (VALUES ('hour'), ('day')) AS widths (width)
         GROUP BY 1, 2, 3, 4, 5, 6"""


def _statistics_upsert(table: str, rows: str) -> str:
    changed = " OR ".join(f"{each} <> 0" for each in STATISTIC_SUMS)
    return f"""
        INSERT INTO agents_spanstatistic AS s ({STATISTIC_KEY}, {", ".join(STATISTIC_SUMS)}, durations)
        SELECT * FROM ({statistics_of(table, rows)}) AS summed WHERE {changed} OR 0 <> ANY(durations)
        ON CONFLICT ({STATISTIC_KEY}) DO UPDATE SET
            {", ".join(f"{each} = s.{each} + excluded.{each}" for each in STATISTIC_SUMS)},
            durations = agents_add_histograms(s.durations, excluded.durations);"""


def signed(table: str, rows: str, sign: int) -> str:
    """Return the query of a kind's rows as the summaries see them, each counting ``sign``."""
    return f"SELECT {sign} AS sign, seen.* FROM ({AS_SEEN[table].format(rows=rows)}) AS seen"


def _inside(table: str, rows: str, condition: str = "true") -> str:
    """Return the query of the executions in which rows of a kind report usage."""
    link, has_usage = LINK[table], HAS_USAGE_OF.get(table, "false").format(row="n")
    return (
        f"SELECT ARRAY(SELECT DISTINCT n.{link} FROM {rows} WHERE n.{link} IS NOT NULL AND {has_usage} AND {condition})"
    )


def keep(name: str, table: str) -> str:
    """Return the trigger function for new rows of one kind of span."""
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    inside uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    PERFORM agents_take_turns(ARRAY(SELECT DISTINCT organization_id FROM new_rows));
    {_trace_upsert(table)}
    {_statistics_upsert(table, signed(table, "new_rows", 1))}
    inside := ({_inside(table, "new_rows AS n")});
    IF inside <> '{{}}' THEN
        PERFORM agents_mark_usage(inside);
    END IF;
    {_link(table)}
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION {name}() IS 'Keeps links, trace summaries and statistics with new rows of {table}.';
"""


_CHANGES = "new_rows AS n JOIN old_rows AS o ON o.id = n.id"
_GOT_A_NAME = "o.agent_name = '' AND n.agent_name <> ''"


def _planned_now(statement: str) -> str:
    """Return the statement as one that is planned when it runs, for as many old and new rows as there are.

    PostgreSQL keeps how many there were when a function's statement first ran, and joins by it ever after.
    """
    return f"EXECUTE $sql${statement.strip().rstrip(';')}$sql$"


def _spread_names() -> str:
    """Return the statements that give an execution's name, when it gets one, to what is inside."""
    spread = "".join(
        "\n            "
        + _planned_now(f"""UPDATE {each} AS one SET agent_name = n.agent_name FROM {_CHANGES}
                           WHERE one.{LINK[each]} = n.id AND one.agent_name = '' AND {_GOT_A_NAME}""")
        + ";"
        for each in LINK
    )
    return f"""
        {_planned_now(f"SELECT EXISTS (SELECT FROM {_CHANGES} WHERE {_GOT_A_NAME})")} INTO named;
        IF named THEN{spread}
        END IF;"""


def _recount(rows: str) -> str:
    changed = f"""SELECT organization_id, array_agg(DISTINCT trace_id) AS traces FROM ({rows}) AS changed
                   WHERE trace_id IS NOT NULL GROUP BY organization_id"""
    return f"""
        FOR turn IN {_planned_now(changed)} LOOP
            PERFORM agents_recount_traces(turn.organization_id, turn.traces);
        END LOOP;"""


def keep_changed(name: str, table: str) -> str:
    """Return the trigger function for changed and deleted rows of one kind of span."""
    seen = {rows: AS_SEEN[table].format(rows=rows) for rows in ("new_rows", "old_rows")}
    used_before = HAS_USAGE_OF.get(table, "true").format(row="o")
    newly = f"(o.{LINK[table]} IS DISTINCT FROM n.{LINK[table]} OR NOT {used_before})"
    both = f"{signed(table, 'new_rows', 1)} UNION ALL {signed(table, 'old_rows', -1)}"
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    inside uuid[];
    named boolean;
    turn record;
BEGIN
    IF NOT EXISTS (SELECT FROM old_rows) THEN
        RETURN NULL;
    END IF;
    PERFORM agents_take_turns(ARRAY(SELECT DISTINCT organization_id FROM old_rows));
    IF TG_OP = 'UPDATE' THEN
        {_planned_now(_statistics_upsert(table, both))};
        {_planned_now(_inside(table, _CHANGES, newly))} INTO inside;
        IF inside <> '{{}}' THEN
            PERFORM agents_mark_usage(inside);
        END IF;
        {_spread_names() if table == EXECUTIONS else ""}
        {_recount(f"SELECT * FROM ({seen['new_rows']} EXCEPT ALL {seen['old_rows']}) AS each")}
    ELSE
        {_planned_now(_statistics_upsert(table, signed(table, "old_rows", -1)))};
        {_recount("SELECT * FROM old_rows")}
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION {name}() IS 'Keeps links, trace summaries and statistics when rows of {table} change or go.';
"""


OPERATIONS = [
    make("agents_duration_bucket", DURATION_BUCKET),
    make("agents_histogram", HISTOGRAM),
    make("agents_add_histograms", ADD_HISTOGRAMS),
    make("agents_take_turns", TAKE_TURNS),
    make("agents_mark_usage", MARK_USAGE),
    make("agents_adopt", ADOPT),
    make("agents_recount_traces", RECOUNT_TRACES),
    make("agents_keep_executions", keep("agents_keep_executions", EXECUTIONS)),
    make("agents_keep_executions_changed", keep_changed("agents_keep_executions_changed", EXECUTIONS)),
    make("agents_keep_modelcalls", keep("agents_keep_modelcalls", MODEL_CALLS)),
    make("agents_keep_modelcalls_changed", keep_changed("agents_keep_modelcalls_changed", MODEL_CALLS)),
    make("agents_keep_toolexecutions", keep("agents_keep_toolexecutions", TOOL_EXECUTIONS)),
    make("agents_keep_toolexecutions_changed", keep_changed("agents_keep_toolexecutions_changed", TOOL_EXECUTIONS)),
]
