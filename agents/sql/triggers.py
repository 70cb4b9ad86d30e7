"""The trigger functions that keep what follows from spans: links, trace summaries, statistics.

They run once a statement, over all the rows that it wrote, so that a batch of spans costs little more than one. Writers
take turns from the first such statement to the end of their transaction (see :mod:`agents.sql.turns`).
"""

from django.db import migrations

from agents.sql import counting, turns
from agents.sql.links import ADOPT, link, waits
from agents.sql.rows import AS_SEEN, EXECUTIONS, HAS_USAGE_OF, LINK, MODEL_CALLS, TOOL_EXECUTIONS, signed
from agents.sql.statistics import ADD_DURATIONS, DURATION_BUCKET, HISTOGRAM, add_statistics
from agents.sql.traces import RECOUNT_TRACES, trace_upsert
from agents.sql.usage import MARK_CALLS, MARK_USAGE, inside
from core.database_functions import make


def _planned_now(statement: str) -> str:
    """Return the statement as one that is planned when it runs, for as many old and new rows as there are.

    PostgreSQL keeps how many there were when a function's statement first ran, and joins by it ever after.
    """
    return f"EXECUTE $sql${statement.strip().rstrip(';')}$sql$"


def keep(name: str, table: str) -> str:
    """Return the trigger function for new rows of one kind of span."""
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    around uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    IF {turns.reporting()} THEN
        {counting.note(table)}
        RETURN NULL;
    END IF;
    PERFORM agents_take_turns(ARRAY(SELECT DISTINCT organization_id FROM new_rows));
    {trace_upsert(f"({AS_SEEN[table].format(rows='new_rows')})")}
    {_planned_now(add_statistics(signed(table, "new_rows", 1)))};
    around := ARRAY({inside(table, "new_rows AS n")});
    IF around <> '{{}}' THEN
        PERFORM agents_mark_usage(around);
    END IF;
    {"PERFORM agents_mark_calls(ARRAY(SELECT id FROM new_rows));" if table == MODEL_CALLS else ""}
    IF EXISTS (SELECT FROM (SELECT DISTINCT organization_id, trace_id FROM new_rows) AS n WHERE {waits("n")}) THEN
        {link(table, "new_rows")}
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION {name}() IS 'Keeps links, trace summaries and statistics with new rows of {table}.';
"""


_CHANGES = "new_rows AS n JOIN old_rows AS o ON o.id = n.id"
_GOT_A_NAME = "o.agent_name = '' AND n.agent_name <> ''"


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


def _mark_calls() -> str:
    """Return the statements that mark the calls right around those that report usage now, and didn't before."""
    reports = HAS_USAGE_OF[MODEL_CALLS]
    newly = f"{reports.format(row='n')} AND NOT {reports.format(row='o')}"
    return f"""
        {_planned_now(f"SELECT ARRAY(SELECT n.id FROM {_CHANGES} WHERE {newly})")} INTO around;
        IF around <> '{{}}' THEN
            PERFORM agents_mark_calls(around);
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
    around uuid[];
    named boolean;
    turn record;
BEGIN
    IF NOT EXISTS (SELECT FROM old_rows) THEN
        RETURN NULL;
    END IF;
    IF {turns.reporting()} THEN
        {turns.report_turns("old_rows")}
        PERFORM agents_take_statistics(ARRAY(SELECT DISTINCT organization_id FROM old_rows));
    ELSE
        PERFORM agents_take_turns(ARRAY(SELECT DISTINCT organization_id FROM old_rows));
    END IF;
    IF TG_OP = 'UPDATE' THEN
        {_planned_now(add_statistics(both))};
        {_planned_now(f"SELECT ARRAY({inside(table, _CHANGES, newly)})")} INTO around;
        IF around <> '{{}}' THEN
            PERFORM agents_mark_usage(around);
        END IF;
        {_mark_calls() if table == MODEL_CALLS else ""}
        {_spread_names() if table == EXECUTIONS else ""}
        {_recount(f"SELECT * FROM ({seen['new_rows']} EXCEPT ALL {seen['old_rows']}) AS each")}
    ELSE
        {_planned_now(add_statistics(signed(table, "old_rows", -1)))};
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
    make("agents_add_durations", ADD_DURATIONS),
    make("agents_take_turns", turns.TAKE_TURNS),
    make("agents_take_traces", turns.TAKE_TRACES),
    make("agents_take_statistics", turns.TAKE_STATISTICS),
    make("agents_begin_report", turns.BEGIN_REPORT),
    make("agents_report_turns", turns.REPORT_TURNS),
    make("agents_mark_usage", MARK_USAGE),
    make("agents_mark_calls", MARK_CALLS),
    make("agents_adopt", ADOPT),
    make("agents_recount_traces", RECOUNT_TRACES),
    migrations.RunSQL(counting.UNCOUNTED, "DROP TABLE agents_uncounted"),
    make("agents_count_statistics", counting.COUNT_STATISTICS),
    make("agents_count_spans", counting.COUNT_SPANS),
    make("agents_end_report", counting.END_REPORT),
    make("agents_count_uncounted", counting.COUNT_UNCOUNTED),
    migrations.RunSQL(counting.AT_COMMIT, "DROP TRIGGER agents_uncounted_at_commit ON agents_uncounted"),
    make("agents_keep_executions", keep("agents_keep_executions", EXECUTIONS)),
    make("agents_keep_executions_changed", keep_changed("agents_keep_executions_changed", EXECUTIONS)),
    make("agents_keep_modelcalls", keep("agents_keep_modelcalls", MODEL_CALLS)),
    make("agents_keep_modelcalls_changed", keep_changed("agents_keep_modelcalls_changed", MODEL_CALLS)),
    make("agents_keep_toolexecutions", keep("agents_keep_toolexecutions", TOOL_EXECUTIONS)),
    make("agents_keep_toolexecutions_changed", keep_changed("agents_keep_toolexecutions_changed", TOOL_EXECUTIONS)),
]
