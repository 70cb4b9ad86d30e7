"""Who waits for whom: writers of an organization's spans take turns; what one links and counts, the next sees.

Ordinary writers take turns for the whole organization, from their first statement to the end of their transaction.
Many spans at once are reported another way (``agents_begin_report``): those that report share the organization, and
each takes turns for the traces that it writes, in the traces' order. Links lead from span to span of one trace, and so
do summaries; statistics are the organization's, so they are counted last, and only then do others wait who report
other traces (see :mod:`agents.sql.counting`).

The setting ``muster.span_turns`` is how a transaction reports: '' (it doesn't), ``trace``, or ``organization``, where
there would be too many traces to take turns for each. It says when spans are counted, never whether.
"""

SETTING = "muster.span_turns"
TRACES_LIMIT = 256  # of one report: PostgreSQL has memory for 64 locks a connection, by default

TAKE_TURNS = """
CREATE FUNCTION agents_take_turns(organizations uuid[]) RETURNS void LANGUAGE sql AS $body$
    SELECT pg_advisory_xact_lock(hashtext('agents spans'), hashtext(id::text))
      FROM (SELECT DISTINCT unnest(organizations) AS id ORDER BY 1) AS each
$body$;
COMMENT ON FUNCTION agents_take_turns(uuid[]) IS
    'Waits until no other transaction writes spans of these organizations, and keeps others waiting until this ends.';
"""

TAKE_TRACES = """
CREATE FUNCTION agents_take_traces(organization uuid, traces bytea[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('agents spans'), hashtext(organization::text));
    PERFORM pg_advisory_xact_lock(each.key)
       FROM (SELECT DISTINCT hashtextextended(encode(trace, 'hex') || organization, 0) AS key
               FROM unnest(traces) AS trace WHERE trace IS NOT NULL ORDER BY 1) AS each;
END
$body$;
COMMENT ON FUNCTION agents_take_traces(uuid, bytea[]) IS
    'Waits until no other transaction writes spans of these traces, and keeps others waiting until this ends.';
"""

BEGIN_REPORT = f"""
CREATE FUNCTION agents_begin_report(organization uuid, traces bytea) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    number int := length(traces) / 16;
BEGIN
    IF number > {TRACES_LIMIT} THEN
        PERFORM set_config('{SETTING}', 'organization', true);
        PERFORM agents_take_turns(ARRAY[organization]);
    ELSE
        PERFORM set_config('{SETTING}', 'trace', true);
        PERFORM agents_take_traces(organization, ARRAY(
            SELECT substring(traces, 16 * i + 1, 16) FROM generate_series(0, number - 1) AS i));
    END IF;
END
$body$;
COMMENT ON FUNCTION agents_begin_report(uuid, bytea) IS
    'Takes turns for the traces (16 bytes each, one after another) that this transaction will write spans of, and has'
    ' these counted together: by agents_count_spans(), or else when it commits.';
"""

REPORT_TURNS = f"""
CREATE FUNCTION agents_report_turns(organization uuid, traces bytea[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    IF current_setting('{SETTING}', true) = 'trace' THEN
        PERFORM agents_take_traces(organization, traces);
    ELSE
        PERFORM agents_take_turns(ARRAY[organization]);
    END IF;
END
$body$;
COMMENT ON FUNCTION agents_report_turns(uuid, bytea[]) IS
    'Takes the turns that the transaction''s way to report asks for, unless it has them already.';
"""

TAKE_STATISTICS = """
CREATE FUNCTION agents_take_statistics(organizations uuid[]) RETURNS void LANGUAGE sql AS $body$
    SELECT pg_advisory_xact_lock(hashtext('agents statistics'), hashtext(id::text))
      FROM (SELECT DISTINCT unnest(organizations) AS id ORDER BY 1) AS each
$body$;
COMMENT ON FUNCTION agents_take_statistics(uuid[]) IS
    'Waits until no other report counts spans of these organizations, and keeps others waiting until this ends.';
"""


def reporting() -> str:
    """Return the condition that this transaction reports many spans at once."""
    return f"coalesce(current_setting('{SETTING}', true), '') <> ''"


def report_turns(rows: str) -> str:
    """Return the statement that takes the turns for reporting ``rows``, which have an organization and a trace."""
    return f"""
        PERFORM agents_report_turns(each.organization_id, each.traces)
           FROM (SELECT organization_id, array_agg(DISTINCT trace_id) AS traces FROM {rows} GROUP BY 1 ORDER BY 1)
             AS each;"""
