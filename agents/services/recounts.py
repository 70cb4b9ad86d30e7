"""Whether trace summaries and statistics are what counting all spans says; and how to make them so again.

The triggers keep both (see agents.sql), so that nothing is ever found, unless somebody wrote past them.
Each organization is compared in one statement, which sees spans and sums as of one moment, whoever writes meanwhile.
"""

# ruff: noqa: S608 (the statements are made of the project's own constants)

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction

from agents.sql.rows import AS_SEEN, LINK, signed
from agents.sql.statistics import STATISTIC_KEY, STATISTIC_SUMS, statistics_of
from agents.sql.traces import TRACE_AGGREGATES, TRACE_SUMS
from core.models import Organization


@dataclass(frozen=True)
class Difference:
    """A row that isn't what counting says. ``stored`` is None where it is missing, ``counted`` where nothing is."""

    organization_id: UUID
    what: str
    key: str
    stored: dict[str, Any] | None
    counted: dict[str, Any] | None


_IN_ORGANIZATION = "{table} WHERE organization_id = %(organization)s"
_SEEN = {table: AS_SEEN[table].format(rows=_IN_ORGANIZATION.format(table=table)) for table in LINK}

# The name, agent and status of a trace are compared where one span alone can be its root; of several that tie, either
# is right. Likewise its session, of which it may have several. A run and a squad that only calls or tools named are in
# no row but the trace's own, beside those that it shows.
_TRACES = f"""
    WITH counted AS (
        SELECT encode(trace_id, 'hex') AS key, {TRACE_AGGREGATES},
               count(*) FILTER (WHERE parent_span_id IS NULL) AS roots,
               count(DISTINCT nullif(session_id, '')) AS sessions
          FROM ({" UNION ALL ".join(_SEEN.values())}) AS seen
         WHERE trace_id IS NOT NULL AND started_at IS NOT NULL GROUP BY trace_id
    ), told AS (
        SELECT key, roots, sessions, task_run_id, squad_id, jsonb_build_object(
            'started_at', started_at, 'completed_at', ended_at, 'has_root', has_root,
            {", ".join(f"'{name}', trim_scale({name}::numeric)" for name in TRACE_SUMS)},
            'root_name', root_name, 'root_agent_name', root_agent_name, 'root_status', root_status,
            'session_id', session_id) AS figures
          FROM counted
    ), stored AS (
        SELECT encode(trace_id, 'hex') AS key, jsonb_build_object(
            'started_at', started_at, 'completed_at', completed_at, 'has_root', has_root,
            {", ".join(f"'{name}', trim_scale({name}::numeric)" for name in TRACE_SUMS)},
            'root_name', root_name, 'root_agent_name', root_agent_name, 'root_status', root_status,
            'session_id', session_id, 'task_run_id', task_run_id, 'squad_id', squad_id) AS figures,
            told_task_run_id, told_squad_id
          FROM agents_trace WHERE organization_id = %(organization)s
    ), compared AS (
        SELECT key, stored.figures AS stored, told.figures || jsonb_build_object(
                   'task_run_id', coalesce(told.task_run_id, told_task_run_id),
                   'squad_id', coalesce(told.squad_id, told_squad_id)) AS counted,
               CASE WHEN roots = 1 THEN '{{}}'::text[] ELSE ARRAY['root_name', 'root_agent_name', 'root_status'] END
               || CASE WHEN sessions > 1 THEN ARRAY['session_id'] ELSE '{{}}' END AS either
          FROM stored FULL JOIN told USING (key)
    )
    SELECT key, stored::text, counted::text FROM compared
     WHERE stored IS NULL OR counted IS NULL OR stored - either <> counted - either
"""

_KEY = [name.strip() for name in STATISTIC_KEY.split(",")][1:]
_FIGURES = f"""jsonb_build_object({", ".join(f"'{name}', trim_scale({name}::numeric)" for name in STATISTIC_SUMS)},
    'durations', to_jsonb(durations))"""
_COUNTED = " UNION ALL ".join(
    f"SELECT * FROM ({statistics_of(signed(table, _IN_ORGANIZATION.format(table=table), 1))}) AS {table}"
    for table in LINK
)
_NOTHING = " AND ".join(f"({{figures}} ->> '{name}')::numeric = 0" for name in STATISTIC_SUMS)
_STATISTICS = f"""
    WITH stored AS (
        SELECT {", ".join(_KEY)}, {_FIGURES} AS figures FROM agents_spanstatistic
         WHERE organization_id = %(organization)s
    ), counted AS (
        SELECT {", ".join(_KEY)}, {_FIGURES} AS figures FROM ({_COUNTED}) AS counts
    )
    SELECT concat_ws(' ', {", ".join(_KEY)}), stored.figures::text, counted.figures::text
      FROM stored FULL JOIN counted USING ({", ".join(_KEY)})
     WHERE stored.figures IS DISTINCT FROM counted.figures
       AND NOT (counted.figures IS NULL AND {_NOTHING.format(figures="stored.figures")})
       AND NOT (stored.figures IS NULL AND {_NOTHING.format(figures="counted.figures")})
"""


def differences(organization_id: UUID) -> Iterator[Difference]:
    """Yield what in an organization isn't as counting says."""
    for what, sql in (("trace", _TRACES), ("statistic", _STATISTICS)):
        with connection.cursor() as cursor:
            cursor.execute(sql, {"organization": organization_id})
            for key, stored, counted in cursor.fetchall():
                yield Difference(organization_id, what, key, _parsed(stored), _parsed(counted))


def _parsed(figures: str | None) -> dict[str, Any] | None:
    return None if figures is None else orjson.loads(figures)


def organizations() -> list[UUID]:
    """Return the ids of all organizations."""
    return list(Organization.objects.order_by("pk").values_list("pk", flat=True))


_RECOUNT_STATISTICS = f"""
    INSERT INTO agents_spanstatistic ({STATISTIC_KEY}, {", ".join(STATISTIC_SUMS)}, durations)
    SELECT * FROM ({_COUNTED}) AS counts
"""


@transaction.atomic
def mend(organization_id: UUID, wrong: list[Difference]) -> None:
    """Make an organization's trace summaries and statistics what counting says. Its writers wait meanwhile."""
    traces = [bytes.fromhex(each.key) for each in wrong if each.what == "trace"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT agents_take_turns(ARRAY[%s])", [organization_id])
        if traces:
            cursor.execute("SELECT agents_recount_traces(%s, %s)", [organization_id, traces])
        if any(each.what == "statistic" for each in wrong):
            cursor.execute("DELETE FROM agents_spanstatistic WHERE organization_id = %s", [organization_id])
            cursor.execute(_RECOUNT_STATISTICS, {"organization": organization_id})
