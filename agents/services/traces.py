"""A trace's spans as a tree, of any size and shape: in order, in pages, without recursion.

The order is depth-first, by start. Who is inside whom is worked out in Python from the spans' ids alone, read in one
statement; what a page shows of its spans is then read by their ids. Clients send what they like: a parent that never
came makes a span a root, and of a ring of parents the earliest span is one.
"""

# ruff: noqa: S608 (the statements are made of the project's own constants)

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from agents.models import Trace

KINDS = ("execution", "model_call", "tool_execution")
MOST_SPANS = 200_000  # of one trace; of a larger one, the earliest are shown

_SKELETON = f"""
    SELECT kind, id, span_id, parent_span_id FROM (
        SELECT 0 AS kind, id::text, encode(span_id, 'hex') AS span_id, encode(parent_span_id, 'hex') AS parent_span_id,
               started_at
          FROM agents_agentexecution WHERE organization_id = %(organization)s AND trace_id = %(trace)s
        UNION ALL
        SELECT 1, id::text, encode(span_id, 'hex'), encode(parent_span_id, 'hex'), started_at
          FROM agents_modelcall WHERE organization_id = %(organization)s AND trace_id = %(trace)s
        UNION ALL
        SELECT 2, id::text, encode(span_id, 'hex'), encode(parent_span_id, 'hex'), started_at
          FROM agents_toolexecution WHERE organization_id = %(organization)s AND trace_id = %(trace)s) AS spans
     ORDER BY started_at, id LIMIT {MOST_SPANS}
"""


@dataclass(frozen=True)
class Tree:
    """The spans of a trace in tree order. The lists run parallel: entry i of each is of the i-th span."""

    kinds: Sequence[int]
    ids: Sequence[str]
    span_ids: Sequence[str]
    depths: Sequence[int]
    below: Sequence[int]  # how many spans are inside, at whatever depth: they follow the span at once

    def __len__(self) -> int:
        return len(self.ids)

    def place_of(self, key: str) -> int | None:
        """Return where the record with this id is; None where it isn't in the trace."""
        try:
            return self.ids.index(key)
        except ValueError:
            return None

    def place_of_span(self, span_id: str) -> int | None:
        """Return where the span is; None where it isn't in the trace."""
        try:
            return self.span_ids.index(span_id)
        except ValueError:
            return None

    def subtree(self, place: int) -> range:
        """Return the places of a span and of all that is inside it."""
        return range(place, place + self.below[place] + 1)

    def path_to(self, place: int) -> list[int]:
        """Return the places of the spans around one, the outermost first."""
        path, depth = [], self.depths[place]
        for each in range(place - 1, -1, -1):
            if depth == 0:
                break
            if self.depths[each] < depth:
                depth = self.depths[each]
                path.append(each)
        return path[::-1]


def tree_of(trace: Trace) -> Tree:
    """Return the tree of a trace, read in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(_SKELETON, {"organization": trace.organization_id, "trace": bytes.fromhex(str(trace.trace_id))})
        rows = cursor.fetchall()
    order, depths = arrange([row[2] for row in rows], [row[3] for row in rows])
    return Tree(
        kinds=[rows[i][0] for i in order],
        ids=[rows[i][1] for i in order],
        span_ids=[rows[i][2] for i in order],
        depths=depths,
        below=_below(depths),
    )


def arrange(span_ids: Sequence[str], parents: Sequence[str | None]) -> tuple[list[int], list[int]]:
    """Return the order of spans, depth-first, and the depth of each; siblings keep the order in which they come."""
    numbers: dict[str, int] = {}
    for number, span_id in enumerate(span_ids):
        numbers.setdefault(span_id, number)
    inside: dict[int, list[int]] = {}
    roots = []
    for number, parent in enumerate(parents):
        around = None if parent is None else numbers.get(parent)
        if around is None or around == number:
            roots.append(number)
        else:
            inside.setdefault(around, []).append(number)
    order: list[int] = []
    depths: list[int] = []
    seen = bytearray(len(span_ids))
    # Who is reached from no root is in a ring, or inside one: the earliest of these opens it.
    for root in (*roots, *range(len(span_ids))):
        waiting = [] if seen[root] else [(root, 0)]
        while waiting:
            number, depth = waiting.pop()
            if seen[number]:
                continue
            seen[number] = 1
            order.append(number)
            depths.append(depth)
            waiting.extend((each, depth + 1) for each in reversed(inside.get(number, ())))
    return order, depths


def _below(depths: Sequence[int]) -> list[int]:
    """Return how many spans are inside each, which in tree order are the deeper ones that follow it."""
    below = [0] * len(depths)
    around: list[int] = []
    for place, depth in enumerate(depths):
        while around and depths[around[-1]] >= depth:
            closed = around.pop()
            below[closed] = place - closed - 1
        around.append(place)
    for open_still in around:
        below[open_still] = len(depths) - open_still - 1
    return below


# --- What is shown of spans ------------------------------------------------------------------------------

_COMMON = "id, name, status, span_id, parent_span_id, started_at, completed_at, duration, agent_name, error_type"
_TOKENS = "input_tokens, output_tokens, cached_tokens, reasoning_tokens"
_SHOWN = f"""
      FROM unnest(%(ids)s::uuid[], %(kinds)s::int[], %(depths)s::int[], %(below)s::int[])
           WITH ORDINALITY AS place (id, kind, depth, below, number)
      CROSS JOIN LATERAL (
        SELECT {_COMMON}, agent_type AS type, parent_execution_id AS execution_id, model_name AS model, {_TOKENS}, cost,
               NOT usage_below AS counted
          FROM agents_agentexecution AS each WHERE place.kind = 0 AND each.id = place.id
        UNION ALL
        SELECT {_COMMON}, operation, execution_id, model, {_TOKENS}, coalesce(cost, reported_cost),
               NOT usage_below
          FROM agents_modelcall AS each WHERE place.kind = 1 AND each.id = place.id
        UNION ALL
        SELECT {_COMMON}, tool_name, execution_id, '', NULL, NULL, NULL, NULL, NULL, true
          FROM agents_toolexecution AS each WHERE place.kind = 2 AND each.id = place.id) AS span
     ORDER BY number
"""
FIELDS = {
    "id": "span.id",
    "kind": "(ARRAY['execution', 'model_call', 'tool_execution'])[place.kind + 1]",
    "type": "span.type",
    "name": "span.name",
    "status": "span.status",
    "depth": "place.depth",
    "spans_below": "place.below",
    "span_id": "encode(span.span_id, 'hex')",
    "parent_span_id": "encode(span.parent_span_id, 'hex')",
    "execution": "span.execution_id",
    "agent_name": "span.agent_name",
    "model": "span.model",
    "started_at": "span.started_at",
    "completed_at": "span.completed_at",
    "duration": "span.duration",
    "input_tokens": "span.input_tokens",
    "output_tokens": "span.output_tokens",
    "cached_tokens": "span.cached_tokens",
    "reasoning_tokens": "span.reasoning_tokens",
    "cost": "span.cost::text",
    "counted": "span.counted",
    "error_type": "span.error_type",
}
_PAIRS = ", ".join(f"'{name}', {sql}" for name, sql in FIELDS.items())
_AS_JSON = f"SELECT json_build_object({_PAIRS})::text {_SHOWN}"
_AS_ROWS = f"SELECT {', '.join(FIELDS.values())} {_SHOWN}"


def _parameters(tree: Tree, places: Sequence[int]) -> dict[str, Any]:
    return {
        "ids": [tree.ids[place] for place in places],
        "kinds": [tree.kinds[place] for place in places],
        "depths": [tree.depths[place] for place in places],
        "below": [tree.below[place] for place in places],
    }


def as_json(tree: Tree, places: Sequence[int]) -> list[str]:
    """Return each of the spans at these places as JSON text, which PostgreSQL makes."""
    with connection.cursor() as cursor:
        cursor.execute(_AS_JSON, _parameters(tree, places))
        return [text for (text,) in cursor.fetchall()]


def as_rows(tree: Tree, places: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the spans at these places, by the names of ``FIELDS``."""
    with connection.cursor() as cursor:
        cursor.execute(_AS_ROWS, _parameters(tree, places))
        for row in cursor.fetchall():
            yield dict(zip(FIELDS, row, strict=True))


def key_of(text: str) -> dict[str, Any] | None:
    """Return how a trace is found by what an address names it by: its own trace id, or the record's id."""
    try:
        return {"trace_id": bytes.fromhex(text).hex()} if len(text) == 32 else {"pk": UUID(text)}
    except ValueError:
        return None
