"""What the waterfall of a trace is drawn from: a bounded number of bars, whatever the trace's size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from agents.models import AgentType, Trace
from agents.services import traces
from agents.services.figures import MINUTE, dollars, told

MOST_BARS = 500
DEEPEST = 24  # what is deeper is indented no further
THINNEST = 0.15  # percent of the width, so that what took no time is still seen
TICKS = 5


@dataclass(frozen=True)
class Kind:
    """How a kind of span is told apart: by a letter, for who doesn't see the colour, and by a colour."""

    name: str
    letter: str
    css: str


KINDS = {
    "model_call": Kind("Model call", "M", "model"),
    "tool_execution": Kind("Tool execution", "T", "tool"),
    AgentType.AGENT: Kind("Agent", "A", "agent"),
    AgentType.WORKFLOW: Kind("Workflow", "W", "step"),
    AgentType.CHAIN: Kind("Chain", "C", "step"),
    AgentType.RETRIEVER: Kind("Retriever", "R", "search"),
    AgentType.RERANKER: Kind("Reranker", "K", "search"),
    AgentType.GUARDRAIL: Kind("Guardrail", "G", "check"),
    AgentType.EVALUATOR: Kind("Evaluator", "E", "check"),
    AgentType.STEP: Kind("Step", "S", "step"),
}
FAILED = ("failed", "timeout")

# What spans of a trace have that is worth telling where they aren't drawn: whether they failed, and what they consumed,
# each once. Read by the trace as its skeleton is, and added up here: joined with thousands of ids, a trace whose rows
# the planner expects to be few would be gone through for each of them.
_COUNTED = """
        SELECT id, status, CASE WHEN NOT usage_below THEN {cost} END AS cost,
               CASE WHEN NOT usage_below THEN coalesce(input_tokens + coalesce(output_tokens, 0), output_tokens) END
                   AS tokens
          FROM {table} WHERE organization_id = %(organization)s AND trace_id = %(trace)s"""
_TOLD = f"""
    SELECT id::text, status IN ('failed', 'timeout'), tokens, cost
      FROM ({_COUNTED.format(table="agents_agentexecution", cost="cost")}
        UNION ALL {_COUNTED.format(table="agents_modelcall", cost="coalesce(cost, reported_cost)")}
        UNION ALL
        SELECT id, status, NULL, NULL FROM agents_toolexecution
         WHERE organization_id = %(organization)s AND trace_id = %(trace)s) AS span
     WHERE status IN ('failed', 'timeout') OR coalesce(tokens, cost) IS NOT NULL
"""  # noqa: S608 (made of constants)


@dataclass
class Hidden:
    """What is inside a bar and isn't drawn: how many spans, how many of them failed, what they consumed together."""

    spans: int
    failures: int = 0
    tokens: int | None = None
    cost: Decimal | None = None
    first: int = -1  # the place of the first that failed
    first_url: str = ""

    def add(self, place: int, *, failed: bool, tokens: int | None, cost: Decimal | None) -> None:
        """Count one span."""
        if failed:
            self.failures += 1
            self.first = place if self.first < 0 else min(self.first, place)
        if tokens is not None:
            self.tokens = (self.tokens or 0) + tokens
        if cost is not None:
            self.cost = (self.cost or Decimal(0)) + cost


@dataclass
class Bar:
    """One row of the drawing. Times are percent of the width; ``hidden`` tells of what is inside and isn't drawn."""

    id: str
    kind: str
    look: Kind
    name: str
    status: str
    error: str
    failed: bool
    indent: int
    left: str
    width: str
    started: str
    duration: str
    tokens: int | None
    cost: Decimal | None
    counted: bool
    hidden: Hidden | None
    url: str = ""

    @property
    def figures(self) -> Iterator[tuple[str, str]]:
        """Yield tokens and cost as people read them: the bar's own, and those of what it holds and isn't drawn."""
        yield _tokens(self.tokens), _tokens(self.hidden.tokens if self.hidden else None)
        yield _cost(self.cost), _cost(self.hidden.cost if self.hidden else None)


def _tokens(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _cost(amount: Decimal | None) -> str:
    return "" if amount is None else dollars(amount)


@dataclass
class Drawing:
    """The bars of one page, the time axis above them, and where to go from here.

    ``levels`` is how many are drawn where there are more.
    """

    bars: list[Bar]
    ticks: list[tuple[str, str]]
    path: list[tuple[str, str]] = field(default_factory=list)
    shown: int = 0
    all: int = 0
    levels: int | None = None
    following: str | None = None
    under: str | None = None


def draw(trace: Trace, tree: traces.Tree, *, under: int | None, begin: int | None) -> Drawing:
    """Return the drawing of a trace, or of what is under one span of it, from ``begin`` on.

    Where there are more than ``MOST_BARS`` spans, the deep ones are left out, and whoever holds them says how many
    they are. Where even the least deep are more, the drawing ends, and ``following`` is the span that comes next.
    """
    scope = range(len(tree)) if under is None else tree.subtree(under)
    places, cut_depth = _shallow(tree, scope)
    if begin is not None:
        places = [place for place in places if place >= begin]
    page = places[:MOST_BARS]
    rows = list(traces.as_rows(tree, page))
    path = [] if under is None else [*tree.path_to(under), under]
    named = list(traces.as_rows(tree, path))
    begins, ends = _bounds(trace, rows if under is not None else [])
    hidden = _hidden(trace, tree, page, cut_depth)
    base = tree.depths[under] if under is not None else 0
    bars = [_bar(row, begins, ends, base, hidden=hidden.get(place)) for place, row in zip(page, rows, strict=True)]
    return Drawing(
        bars=bars,
        ticks=_ticks((ends - begins).total_seconds()),
        path=[(str(row["id"]), row["name"]) for row in named],
        shown=len(page),
        all=len(scope),
        levels=None if cut_depth is None else cut_depth - base + 1,
        following=tree.ids[places[MOST_BARS]] if len(places) > MOST_BARS else None,
        under=None if under is None else tree.ids[under],
    )


def _shallow(tree: traces.Tree, scope: range) -> tuple[Sequence[int], int | None]:
    """Return the places of as many levels as fit, at least of the first two, and the deepest of these levels."""
    if len(scope) <= MOST_BARS:
        return scope, None
    top = min(tree.depths[place] for place in scope)
    by_depth: dict[int, int] = {}
    for place in scope:
        by_depth[tree.depths[place]] = by_depth.get(tree.depths[place], 0) + 1
    deepest, total = top, 0
    for depth in sorted(by_depth):
        total += by_depth[depth]
        if total > MOST_BARS and depth > top + 1:
            break
        deepest = depth
    if deepest == max(by_depth):
        return scope, None
    return [place for place in scope if tree.depths[place] <= deepest], deepest


def _hidden(trace: Trace, tree: traces.Tree, page: Sequence[int], cut_depth: int | None) -> dict[int, Hidden]:
    """Return what is too deep to be drawn, by the place of the bar that holds it: one statement for all bars."""
    cut = [place for place in page if tree.depths[place] == cut_depth and tree.below[place]]
    if not cut:
        return {}
    hidden = {place: Hidden(tree.below[place]) for place in cut}
    around = {tree.ids[inner]: (inner, place) for place in cut for inner in tree.subtree(place)[1:]}
    with connection.cursor() as cursor:
        cursor.execute(_TOLD, {"organization": trace.organization_id, "trace": bytes.fromhex(str(trace.trace_id))})
        for key, failed, tokens, cost in cursor.fetchall():
            if key in around:
                inner, place = around[key]
                hidden[place].add(inner, failed=failed, tokens=tokens, cost=cost)
    return hidden


def _bounds(trace: Trace, rows: list[dict[str, Any]]) -> tuple[datetime, datetime]:
    """Return the time that the width stands for: the trace's, or that of the part which is drawn."""
    starts = [row["started_at"] for row in rows if row["started_at"]]
    if not starts:
        return trace.started_at, trace.completed_at
    return min(starts), max(row["completed_at"] or row["started_at"] for row in rows if row["started_at"])


def _bar(row: dict[str, Any], begins: datetime, ends: datetime, base: int, *, hidden: Hidden | None) -> Bar:
    whole = (ends - begins).total_seconds() or 1e-6
    started = row["started_at"] or begins
    left = (started - begins).total_seconds() / whole * 100
    seconds = row["duration"] if row["duration"] is not None else max(0.0, (ends - started).total_seconds())
    width = max(seconds / whole * 100, THINNEST)
    tokens = [row[name] for name in ("input_tokens", "output_tokens") if row[name] is not None]
    return Bar(
        id=str(row["id"]),
        kind=row["kind"],
        look=KINDS[row["type"] if row["kind"] == "execution" else row["kind"]],
        name=row["name"],
        status=row["status"],
        error=row["error_type"],
        failed=row["status"] in FAILED,
        indent=min(row["depth"] - base, DEEPEST),
        left=f"{min(left, 100 - THINNEST):.3f}%",
        width=f"{min(width, 100):.3f}%",
        started=f"+{told(left / 100 * whole)}",
        duration="still open" if row["duration"] is None else told(row["duration"]),
        tokens=sum(tokens) if tokens else None,
        cost=None if row["cost"] is None else Decimal(row["cost"]),
        counted=row["counted"],
        hidden=hidden,
    )


def _ticks(seconds: float) -> list[tuple[str, str]]:
    """Return where the axis has its marks, in percent, and what they say."""
    clock = seconds >= MINUTE
    marks = [(f"{100 * each / TICKS:.0f}%", told(seconds * each / TICKS, clock=clock)) for each in range(1, TICKS + 1)]
    return [("0%", "0"), *marks]
