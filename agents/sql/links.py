"""Links between spans and the executions they are in."""

from agents.sql.rows import EXECUTIONS, LINK, MODEL_CALLS, TOOL_EXECUTIONS

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
    """Return the statement that links the rows of one kind that wait for what has come."""
    return f"""UPDATE {table} AS one SET {LINK[table]} = owner.id, {_NAMED}
              FROM unnest(organizations, traces, spans, owners) AS come (organization_id, trace_id, span_id, owner)
              JOIN {EXECUTIONS} AS owner ON owner.id = come.owner
             WHERE one.organization_id = come.organization_id AND one.trace_id = come.trace_id
               AND one.parent_span_id = come.span_id AND one.{LINK[table]} IS NULL AND one.parent_span_id IS NOT NULL
               AND one.id <> owner.id"""


def _adopt_and_go_on(table: str) -> str:
    """Return the statement that links the rows of one kind, and adds them to what has come next."""
    return f"""
        WITH linked AS (
            {_adopt_kind(table)}
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
        {_adopt_kind(EXECUTIONS)};
        next_organizations := '{{}}'; next_traces := '{{}}'; next_spans := '{{}}'; next_owners := '{{}}';
        {_adopt_and_go_on(MODEL_CALLS)}
        {_adopt_and_go_on(TOOL_EXECUTIONS)}
        organizations := next_organizations; traces := next_traces; spans := next_spans; owners := next_owners;
    END LOOP;
END
$body$;
COMMENT ON FUNCTION agents_adopt(uuid[], bytea[], bytea[], uuid[]) IS
    'Links what waited for these spans with the executions that they are, or are in.';
"""


def waits(row: str) -> str:
    """Return the condition that a span of the ``row``'s organization and trace isn't linked yet.

    That is true of a new row whose parent stands, and of one that stands whose parent is new.
    """
    return " OR ".join(
        f"""EXISTS (SELECT FROM {each} AS w WHERE w.organization_id = {row}.organization_id
            AND w.trace_id = {row}.trace_id AND w.{LINK[each]} IS NULL AND w.parent_span_id IS NOT NULL)"""
        for each in LINK
    )


def link(table: str, rows: str) -> str:
    """Return the statements that link new rows with what stands, and what waited for them with them."""
    owner = "stored.id" if table == EXECUTIONS else f"stored.{LINK[table]}"
    return f"""
        UPDATE {table} AS one SET {LINK[table]} = owner.id, {_NAMED}
          FROM (SELECT n.id, {_owner("n")} AS owner FROM {rows} AS n
                 WHERE n.{LINK[table]} IS NULL AND n.parent_span_id IS NOT NULL) AS found
          JOIN {EXECUTIONS} AS owner ON owner.id = found.owner
         WHERE one.id = found.id AND one.id <> owner.id;
        PERFORM agents_adopt(array_agg(stored.organization_id), array_agg(stored.trace_id),
                             array_agg(stored.span_id), array_agg({owner}))
           FROM {rows} AS n JOIN {table} AS stored ON stored.id = n.id
          WHERE stored.span_id IS NOT NULL AND {owner} IS NOT NULL;"""
