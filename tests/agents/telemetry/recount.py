"""What follows from spans, counted anew."""

from typing import Any

from django.db import connection

from agents.sql.rows import LINK, signed
from agents.sql.statistics import statistics_of

TRACES = """
    SELECT organization_id, trace_id, started_at, completed_at, root_name, root_agent_name, root_status, has_root,
           spans, model_calls, tool_executions, errors, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
           cost, unpriced
      FROM agents_trace ORDER BY 1, 2
"""
KEY = "organization_id, kind, dimension, width, start, value"
SUMS = (
    "count, failures, open, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, unpriced,"
    " durations::text"
)
STORED = f"SELECT {KEY}, {SUMS} FROM agents_spanstatistic WHERE count <> 0 ORDER BY {KEY}"
COUNTED = " UNION ALL ".join(f"SELECT {KEY}, {SUMS} FROM ({statistics_of(signed(t, t, 1))}) AS {t}" for t in LINK)


def rows(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def assert_kept() -> None:
    """Assert that traces and statistics say what counting all spans says."""
    assert rows(STORED) == rows(f"SELECT * FROM ({COUNTED}) AS counted ORDER BY {KEY}")
    before = rows(TRACES)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT agents_recount_traces(organization_id, array_agg(trace_id)) FROM agents_trace"
            " GROUP BY organization_id"
        )
    assert rows(TRACES) == before
    assert sum(row[8] for row in before) == sum(
        rows(f"SELECT count(*) FROM {table} WHERE trace_id IS NOT NULL")[0][0] for table in LINK
    )
