"""The spans of a piece of work, counted from the spans themselves: of an execution, a trace, a run, a task, ….

A trace belongs to the run and the squad that one of its spans names. An execution without a trace belongs to those that
it names itself, or else to those of the execution around it; and what has no trace of its own belongs where the
execution that it is in belongs. Each call counts once: executions' own totals only where nothing inside reports any
(see agents.sql).
"""

# ruff: noqa: S608 (the statements are made of the project's own constants)

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection

from agents.models import Agent, SpanKind
from agents.sql.rows import AS_SEEN, EXECUTIONS, MODEL_CALLS, TOOL_EXECUTIONS, TOTALS

WORK = ("squad", "project", "task")
TABLES = {
    SpanKind.EXECUTION: EXECUTIONS,
    SpanKind.MODEL_CALL: MODEL_CALLS,
    SpanKind.TOOL_EXECUTION: TOOL_EXECUTIONS,
}

# Of a trace or an execution ``x``, with the task that it is about as ``task``.
_WORK = (
    "LEFT JOIN agents_taskrun AS run ON run.id = x.task_run_id LEFT JOIN agents_task AS task ON task.id = run.task_id"
)
_VALUE = {
    "squad": "coalesce(x.squad_id, task.squad_id)",
    "project": "task.project_id",
    "task": "task.id",
    "task_run": "x.task_run_id",
}

_MEMBERS = """
    WITH RECURSIVE traces AS (
        SELECT {value} AS value, x.trace_id FROM agents_trace AS x {work}
         WHERE x.organization_id = %(organization)s AND {traces} AND {value} IS NOT NULL
    ), inside AS (
        (SELECT traces.value, x.id FROM traces
           JOIN agents_agentexecution AS x ON x.organization_id = %(organization)s AND x.trace_id = traces.trace_id
          UNION ALL
         SELECT {value}, x.id FROM agents_agentexecution AS x {work}
          WHERE x.organization_id = %(organization)s AND x.trace_id IS NULL AND {untraced} AND {value} IS NOT NULL)
        UNION
        SELECT inside.value, x.id FROM inside JOIN agents_agentexecution AS x ON x.parent_execution_id = inside.id
           {work}
         WHERE x.trace_id IS NULL AND {value} IS NULL
    )"""


def members_of(group_by: str, traces: str, untraced: str = "true") -> str:
    """Return the common tables ``traces`` and ``inside``: which traces and executions are of what work."""
    return _MEMBERS.format(value=_VALUE[group_by], work=_WORK, traces=traces, untraced=untraced)


def spans_of(kinds: Iterable[str], condition: str = "true") -> str:
    """Return the query of the spans of the work in ``traces`` and ``inside``, as the summaries see them."""

    def seen(kind: str, members: str, of_members: str) -> str:
        rows = AS_SEEN[TABLES[SpanKind(kind)]].format(
            rows=f"{TABLES[SpanKind(kind)]} WHERE organization_id = %(organization)s AND {of_members} AND {condition}"
        )
        return f"SELECT {members}.value AS work, seen.* FROM {members} CROSS JOIN LATERAL ({rows}) AS seen"

    parts = []
    for kind in kinds:
        if kind == SpanKind.EXECUTION:
            parts.append(seen(kind, "inside", "id = inside.id"))
        else:
            parts.append(seen(kind, "traces", "trace_id = traces.trace_id"))
            parts.append(seen(kind, "inside", "execution_id = inside.id AND trace_id IS NULL"))
    return " UNION ALL ".join(parts)


# --- One piece of work ---------------------------------------------------------------------------------

KINDS = tuple(TABLES)
_FIGURES = f"""
    SELECT {", ".join(f"count(*) FILTER (WHERE kind = '{kind.value}')" for kind in KINDS)},
           count(*) FILTER (WHERE failed), {", ".join(f"coalesce(sum({name}), 0)" for name in TOTALS)}
      FROM ({{spans}}) AS spans"""
FIGURES = ("executions", "model_calls", "tool_executions", "failures", *TOTALS)

_WITHIN = """
    WITH RECURSIVE inside AS (
        SELECT NULL AS value, id FROM agents_agentexecution
         WHERE organization_id = %(organization)s AND id = %(id)s
        UNION
        SELECT NULL, x.id FROM inside JOIN agents_agentexecution AS x ON x.parent_execution_id = inside.id
    )"""


def usage_of_execution(*, organization_id: UUID, record_id: UUID) -> dict[str, Any]:
    """Return what an execution and all that is inside it consumed, at whatever depth."""
    parts = []
    for kind, table in TABLES.items():
        link = "id" if kind == SpanKind.EXECUTION else "execution_id"
        rows = AS_SEEN[table].format(rows=f"{table} WHERE {link} = inside.id")
        parts.append(f"SELECT seen.* FROM inside CROSS JOIN LATERAL ({rows}) AS seen")
    return _figures(_WITHIN + _FIGURES.format(spans=" UNION ALL ".join(parts)), organization_id, record_id)


def usage_of_trace(*, organization_id: UUID, record_id: UUID) -> dict[str, Any]:
    """Return what a trace consumed, with what has no trace but is inside one of its executions."""
    members = f"""
    WITH RECURSIVE traces AS (
        SELECT id AS value, trace_id FROM agents_trace WHERE organization_id = %(organization)s AND id = %(id)s
    ), inside AS (
        SELECT traces.value, x.id FROM traces
          JOIN agents_agentexecution AS x ON x.organization_id = %(organization)s AND x.trace_id = traces.trace_id
        UNION
        SELECT inside.value, x.id FROM inside JOIN agents_agentexecution AS x ON x.parent_execution_id = inside.id
          {_WORK}
         WHERE x.trace_id IS NULL AND {_VALUE["squad"]} IS NULL AND x.task_run_id IS NULL
    )"""
    return _figures(members + _FIGURES.format(spans=spans_of(KINDS)), organization_id, record_id)


_OF_RUNS = "x.task_run_id IN (SELECT id FROM agents_taskrun WHERE {condition})"
_OF_TASKS = _OF_RUNS.format(condition="task_id IN (SELECT id FROM agents_task WHERE {condition})")
_NARROWED = {
    "task_run": "x.task_run_id = %(id)s",
    "task": _OF_RUNS.format(condition="task_id = %(id)s"),
    "project": _OF_TASKS.format(condition="project_id = %(id)s"),
    "squad": f"(x.squad_id = %(id)s OR {_OF_TASKS.format(condition='squad_id = %(id)s')})",
}


def is_of(work: str) -> str:
    """Return the condition that a trace or an execution ``x`` is of the run, task, project or squad ``id``."""
    return f"{_NARROWED[work]} AND {_VALUE[work]} = %(id)s"


def usage_of_work(*, organization_id: UUID, group_by: str, record_id: UUID) -> dict[str, Any]:
    """Return what a run, a task, a project or a squad consumed in all."""
    narrowed = is_of(group_by)
    sql = members_of(group_by, narrowed, narrowed) + _FIGURES.format(spans=spans_of(KINDS))
    return _figures(sql, organization_id, record_id)


def usage_of_agent(*, organization_id: UUID, record_id: UUID) -> dict[str, Any]:
    """Return what was reported under an agent's present name, from the sums that the database keeps."""
    sql = f"""
        SELECT {", ".join(f"coalesce(sum(count) FILTER (WHERE kind = '{kind.value}'), 0)" for kind in KINDS)},
               coalesce(sum(failures), 0), {", ".join(f"coalesce(sum({name}), 0)" for name in TOTALS)}
          FROM agents_spanstatistic
         WHERE organization_id = %(organization)s AND kind = ANY(%(kinds)s) AND dimension = 'agent' AND width = 'day'
           AND value = (SELECT name FROM {Agent._meta.db_table}
                         WHERE organization_id = %(organization)s AND id = %(id)s)"""
    return _figures(sql, organization_id, record_id, kinds=[kind.value for kind in KINDS])


def _figures(sql: str, organization_id: UUID, record_id: UUID, **parameters: Any) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"organization": organization_id, "id": record_id, **parameters})
        [row] = cursor.fetchall()
    return whole(dict(zip(FIGURES, row, strict=True)))


def whole(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with sums of whole numbers as such: PostgreSQL's are decimals."""
    kept = {"value", "cost", "durations"}
    return {name: value if name in kept else int(value) for name, value in row.items()}
