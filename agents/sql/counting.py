"""Spans that are reported many at once are counted together, at the end of the transaction.

A trigger that sees the new rows of one statement counts them at once. Where a transaction reports
(:mod:`agents.sql.turns`), it only notes which they are. ``agents_count_spans()`` then counts executions, model calls
and tool executions in one go; a trigger that PostgreSQL defers to the commit does so for who doesn't call it. What
is noted is only ever seen by the transaction that did it, and gone when it ends: the table isn't logged, nor a model.
"""

from agents.sql.links import link, waits
from agents.sql.rows import EXECUTIONS, LINK, MODEL_CALLS, TOOL_EXECUTIONS, signed
from agents.sql.statistics import add_statistics
from agents.sql.traces import trace_upsert
from agents.sql.turns import SETTING, report_turns
from agents.sql.usage import inside

_NAMES = {EXECUTIONS: "new_executions", MODEL_CALLS: "new_calls", TOOL_EXECUTIONS: "new_tools"}

UNCOUNTED = """
CREATE UNLOGGED TABLE agents_uncounted (
    kind text NOT NULL, organization_id uuid NOT NULL, traces bytea[] NOT NULL, ids uuid[] NOT NULL
) WITH (toast_tuple_target = 128);  -- dead rows are passed until the next vacuum: better that they be short
ALTER TABLE agents_uncounted ALTER COLUMN ids SET STORAGE EXTERNAL, ALTER COLUMN traces SET STORAGE EXTERNAL;
COMMENT ON TABLE agents_uncounted IS 'Spans that a transaction has reported and not yet counted.';
"""


def _rows(table: str) -> str:
    return f"{table} WHERE id = ANY({_NAMES[table]})"


_SEEN = " UNION ALL ".join(signed(table, _rows(table), 1) for table in LINK)
_INSIDE = " UNION ".join(inside(table, f"{table} AS n", f"n.id = ANY({_NAMES[table]})") for table in _NAMES)
_GATHERED = ", ".join(
    f"(SELECT array_agg(id) FROM noted CROSS JOIN unnest(ids) AS id WHERE kind = '{table}')" for table in _NAMES
)
_LINKS = "".join(link(table, f"(SELECT * FROM {_rows(table)})") for table in LINK)

_TOUCHED = "unnest(organizations, touched) AS n (organization_id, trace_id)"
_NARROWED = "".join(
    f"""
        {name} := ARRAY(SELECT id FROM {_rows(table)}
                         AND trace_id = ANY(touched));"""
    for table, name in _NAMES.items()
)

_INNER = {table: name for table, name in _NAMES.items() if table != EXECUTIONS}
_OWNED = " UNION ALL ".join(f"SELECT FROM {_rows(table)} AND {LINK[table]} IS NOT NULL" for table in _INNER)
_JUDGED = " UNION ALL ".join(
    f"""SELECT w.id FROM {_TOUCHED} JOIN {table} AS w ON w.organization_id = n.organization_id
               AND w.trace_id = n.trace_id AND w.{LINK[table]} IS NULL AND w.parent_span_id IS NOT NULL
         WHERE w.attributes ? 'evaluations'"""
    for table in _INNER
)

COUNT_STATISTICS = f"""
CREATE FUNCTION agents_count_statistics({", ".join(f"{name} uuid[]" for name in _NAMES.values())}) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $body$
BEGIN
    -- The plan is kept, so it mustn't be one that is good only while there are few statistics: each is looked up.
    {add_statistics(_SEEN)}
END
$body$;
COMMENT ON FUNCTION agents_count_statistics(uuid[], uuid[], uuid[]) IS 'Adds new spans to statistics.';
"""

COUNT_SPANS = f"""
CREATE FUNCTION agents_count_spans() RETURNS uuid[] LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $body$
DECLARE
    organizations uuid[];
    touched bytea[];
    {"; ".join(f"{name} uuid[]" for name in _NAMES.values())};
    around uuid[];
    judged uuid[];
BEGIN
    WITH noted AS (DELETE FROM agents_uncounted RETURNING *), pairs AS (
        SELECT DISTINCT noted.organization_id, trace_id FROM noted CROSS JOIN unnest(noted.traces) AS trace_id)
    SELECT (SELECT array_agg(organization_id) FROM pairs), (SELECT array_agg(trace_id) FROM pairs), {_GATHERED}
      INTO organizations, touched, {", ".join(_NAMES.values())};
    IF organizations IS NULL THEN
        RETURN NULL;
    END IF;
    {report_turns(_TOUCHED)}
    {trace_upsert(f"({_SEEN})")}
    PERFORM agents_take_statistics(organizations);
    PERFORM agents_count_statistics({", ".join(_NAMES.values())});
    around := ARRAY(SELECT id FROM {EXECUTIONS} WHERE NOT usage_below AND id IN ({_INSIDE}));
    IF around <> '{{}}' THEN
        PERFORM agents_mark_usage(around);
    END IF;
    IF new_calls <> '{{}}' THEN
        PERFORM agents_mark_calls(new_calls);
    END IF;
    SELECT array_agg(organization_id), array_agg(trace_id) INTO organizations, touched
      FROM {_TOUCHED} WHERE {waits("n")};
    IF touched IS NOT NULL THEN
        {_NARROWED}
        IF new_executions <> '{{}}' OR EXISTS ({_OWNED}) THEN
            judged := ARRAY({_JUDGED});
        END IF;
        {_LINKS}
    END IF;
    RETURN judged;
END
$body$;
COMMENT ON FUNCTION agents_count_spans() IS
    'Keeps links, trace summaries and statistics with the spans that this transaction has reported so far. Returns the'
    ' model calls and tool executions with evaluations whose execution may have come with them.';
"""

END_REPORT = f"""
CREATE FUNCTION agents_end_report() RETURNS uuid[] LANGUAGE plpgsql AS $body$
DECLARE
    judged uuid[] := agents_count_spans();
BEGIN
    PERFORM set_config('{SETTING}', '', true);
    RETURN judged;
END
$body$;
COMMENT ON FUNCTION agents_end_report() IS
    'Counts what the transaction has reported; what it writes from now on is counted at once. Returns what'
    ' agents_count_spans() does.';
"""

COUNT_UNCOUNTED = """
CREATE FUNCTION agents_count_uncounted() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF EXISTS (SELECT FROM agents_uncounted) THEN
        PERFORM agents_count_spans();
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION agents_count_uncounted() IS
    'Counts the spans reported so far: before one of them changes or goes, and before the transaction commits.';
"""
AT_COMMIT = """
CREATE CONSTRAINT TRIGGER agents_uncounted_at_commit AFTER INSERT ON agents_uncounted
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION agents_count_uncounted();
"""


def note(table: str) -> str:
    """Return the statement that notes new rows of one kind, to be counted later."""
    return f"""
        INSERT INTO agents_uncounted (kind, organization_id, traces, ids)
        SELECT '{table}', organization_id, array_agg(DISTINCT trace_id), array_agg(id)
          FROM new_rows GROUP BY organization_id;"""
