"""From mapped spans to rows, each stored once, with their links and prices, in one transaction.

Who writes spans of the same trace takes turns (see agents.sql.turns), so that what is asked of the database here still
holds when the rows are written: which spans stand already, and which executions those around the new ones are. Whatever
comes later is linked by the triggers.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import Error, connection, transaction

from agents.prices import UNITS, price_of
from agents.telemetry import evaluations
from agents.telemetry import packing as pack
from agents.telemetry.agents import resolve
from agents.telemetry.faults import Faults, UnfitError
from agents.telemetry.spans import Span
from core.connections import lend_back, prepared_cursor
from core.ids import uuid7

logger = logging.getLogger(__name__)

Key = tuple[bytes, bytes]  # trace id and span id

# After so many spans, a process sees to it that PostgreSQL knows how large the tables have grown. Its own worker does
# so once a minute; until then it goes by what it made of empty tables, and looks at every row for each.
YOUNG = (1_000, 10_000, 100_000)
BATCH = 2_000  # spans a transaction: bounds how long others wait for their turn
COMMON = (
    "id, organization_id, name, status, trace_id, span_id, parent_span_id, agent_name, session_id, correlation_id,"
    " started_at, completed_at, error_type, error_message, attributes"
)
USAGE = "input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost"
TABLES = {
    "execution": (
        "agents_agentexecution",
        f"{COMMON}, {USAGE}, execution_id, agent_id, agent_type, parent_execution_id, task_run_id, squad_id, user_name,"
        " input, output, model_provider, model_name, usage_below",
    ),
    "model_call": (
        "agents_modelcall",
        f"{COMMON}, {USAGE}, execution_id, operation, provider, request_model, response_model, parameters,"
        " input_messages, output_messages, finish_reason, reported_cost, pricing, time_to_first_token, usage_below",
    ),
    "tool_execution": (
        "agents_toolexecution",
        f"{COMMON}, execution_id, tool_name, tool_type, call_id, input, output, permission",
    ),
}
BEGINNING = {kind: pack.columns(columns.count(",") + 1) for kind, (_, columns) in TABLES.items()}
_SAME_SPAN = "organization_id = %(organization)s AND trace_id = wanted.trace_id AND span_id = wanted.span_id"
# The keys come as one string of bytes, 24 each: a list of them would take long to write and to read.
STANDING = f"""
    SELECT wanted.trace_id, wanted.span_id, found.execution, found.agent_name
      FROM (SELECT substring(%(keys)s, 24 * i + 1, 16) AS trace_id, substring(%(keys)s, 24 * i + 17, 8) AS span_id
              FROM generate_series(0, %(number)s - 1) AS i) AS wanted
      CROSS JOIN LATERAL (
            SELECT id AS execution, agent_name FROM agents_agentexecution WHERE {_SAME_SPAN}
            UNION ALL
            SELECT execution_id, agent_name FROM agents_modelcall WHERE {_SAME_SPAN}
            UNION ALL
            SELECT execution_id, agent_name FROM agents_toolexecution WHERE {_SAME_SPAN}) AS found
"""  # noqa: S608 (made of constants)


# The turns for these traces are held, and their rows stand.
HAND_WORK = """
    UPDATE agents_trace AS t
       SET task_run_id = coalesce(t.task_run_id, told.task_run_id), squad_id = coalesce(t.squad_id, told.squad_id),
           told_task_run_id = coalesce(t.told_task_run_id, told.task_run_id),
           told_squad_id = coalesce(t.told_squad_id, told.squad_id)
      FROM unnest(%s::bytea[], %s::uuid[], %s::uuid[]) AS told (trace_id, task_run_id, squad_id)
     WHERE t.organization_id = %s AND t.trace_id = told.trace_id
"""


@dataclass(slots=True)
class Place:
    """Where a span of the batch belongs: its own id, and the execution that it is in."""

    span: Span
    id: UUID
    owner: UUID | None = None
    agent_name: str = ""
    named: bool = False
    usage_below: bool = False
    inside: "Place | None" = field(default=None, repr=False)


_stored = 0  # by this process
_has_grown = threading.Event()


def store(organization_id: UUID, spans: Sequence[Span]) -> int:
    """Write the spans that don't stand yet, and return how many these were. Committed when it returns.

    Raises:
        UnfitError: some can't be made rows. Without them, send all again: those before them may have been stored.
        django.db.Error: the database refuses them, or is out of reach.
    """
    global _stored
    number = sum(_store(organization_id, spans[start : start + BATCH]) for start in range(0, len(spans), BATCH))
    before, _stored = _stored, _stored + number
    if any(before < mark <= _stored for mark in YOUNG):
        _has_grown.set()
    return number


def analyze_if_grown(**_: Any) -> None:
    """Tell PostgreSQL how large the tables are, if they have grown much: for after an answer, which needn't wait."""
    if not _has_grown.is_set():
        return
    _has_grown.clear()
    try:
        _analyze()
    except Error as error:
        logger.warning("The tables of spans weren't analyzed: %s", " ".join(str(error).split()))
    lend_back()


def _analyze() -> None:
    span = "(organization_id, trace_id, span_id, parent_span_id)"  # by these rows are looked up; others take longer
    tables = [*(table + span for table, _ in TABLES.values()), "agents_trace (organization_id, trace_id)"]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL default_statistics_target = 10")  # a tenth of the usual sample: how large will do
        cursor.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(tables)}")


def _store(organization_id: UUID, spans: Sequence[Span]) -> int:
    agents = resolve(organization_id, spans)
    unique = {(span.trace_id, span.span_id): span for span in reversed(spans)}  # of two the first
    around = {(span.trace_id, span.parent_span_id) for span in spans if span.parent_span_id}
    with transaction.atomic(), connection.cursor() as cursor:
        traces = b"".join({span.trace_id for span in spans})
        cursor.execute("SELECT agents_begin_report(%s, %s)", [organization_id, traces])
        standing = _standing(organization_id, {*unique, *around})
        new = {key: Place(span, uuid7()) for key, span in unique.items() if key not in standing}
        for place in new.values():
            _link(place, new, standing)
        for place in new.values():
            _name(place)
            if _reports_usage(place.span):
                _mark_around(place, new)
        _copy(cursor, organization_id, new.values(), agents)
        evaluated = [
            (execution, evaluation)
            for place in new.values()
            for evaluation in place.span.evaluations
            if (execution := place.id if place.span.kind == "execution" else place.owner)
        ]
        if evaluated:
            evaluations.write(organization_id, evaluated)
        cursor.execute("SELECT agents_end_report()")
        [(judged,)] = cursor.fetchall()
        if judged:
            evaluations.take_up(organization_id, judged)
        if told := _work_told([place.span for place in new.values()]):
            runs, squads = zip(*told.values(), strict=True)
            cursor.execute(HAND_WORK, [list(told), list(runs), list(squads), organization_id])
    return len(new)


def _copy(cursor: Any, organization_id: UUID, places: Iterable[Place], agents: dict[str, UUID]) -> None:
    """Write the rows. Executions go first: the others are in them."""
    rows: dict[str, list[bytes]] = {kind: [pack.HEADER] for kind in TABLES}
    organization = pack.uuid(organization_id)
    faults = Faults("packed")
    for place in places:
        kind = place.span.kind
        try:
            rows[kind] += (BEGINNING[kind], _common(place, organization), ROWS[kind](place, agents))
        except Exception as error:  # noqa: BLE001 (told, logged, and raised unless it is the span's own)
            faults.add(place.span, error)
    if faults.spans:
        raise UnfitError(faults)  # not the others now: they are linked to executions that won't be
    for kind, (table, columns) in TABLES.items():
        if len(rows[kind]) > 1:
            # The cursor's own methods' errors are Django's; those of what they return are not.
            with (
                connection.wrap_database_errors,
                cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy,
            ):
                copy.write(b"".join([*rows[kind], pack.TRAILER]))


def _standing(organization_id: UUID, keys: Iterable[Key]) -> dict[Key, tuple[UUID | None, str]]:
    """Return which of the spans stand, each with the execution that it is, or is in, and that one's agent's name."""
    wanted = b"".join(trace + span for trace, span in keys)
    with prepared_cursor() as cursor:  # to plan it takes as long as to run it
        cursor.execute(STANDING, {"organization": organization_id, "keys": wanted, "number": len(wanted) // 24})
        return {(bytes(trace), bytes(span)): (owner, name) for trace, span, owner, name in cursor.fetchall()}


def _link(place: Place, new: dict[Key, Place], standing: dict[Key, tuple[UUID | None, str]]) -> None:
    """Find the execution around a span: up through what is in the batch, and then what stands."""
    passed, span = set(), place.span
    while span.parent_span_id is not None:
        key = (span.trace_id, span.parent_span_id)
        if key in standing:
            place.owner, place.agent_name = standing[key]
            return
        parent = new.get(key)
        if parent is None or key in passed or parent is place:  # not here yet, or a ring
            return
        if parent.span.kind == "execution":
            place.inside, place.owner = parent, parent.id
            return
        passed.add(key)
        span = parent.span


def _name(place: Place) -> None:
    """Give the span, and those around it up to a named one, the name of the agent that they work for."""
    nameless, around = [], place
    while not around.named:
        around.named = True
        nameless.append(around)
        if around.span.agent_name or around.inside is None:
            break
        around = around.inside
    name = ""
    for each in reversed(nameless):
        if each.inside is not None:
            name = each.inside.agent_name
        each.agent_name = each.span.agent_name or (name if each.inside is not None else each.agent_name)


def _reports_usage(span: Span) -> bool:
    """Say whether a row of the span says what was consumed, as agents.sql.rows.HAS_USAGE_OF has it."""
    return span.kind != "tool_execution" and (
        span.input_tokens is not None or span.output_tokens is not None or span.reported_cost is not None
    )


def _mark_around(place: Place, new: dict[Key, Place]) -> None:
    """Note in what is around a span that it reports usage, as agents.sql.usage does, as far as it is in the batch."""
    around = place.inside
    while around is not None and not around.usage_below:
        around.usage_below = True
        around = around.inside
    inner = place.span
    while inner.parent_span_id is not None and inner.kind == "model_call":
        call = new.get((inner.trace_id, inner.parent_span_id))
        if call is None or call.usage_below or not _repeats(call.span, inner):
            break
        call.usage_below, inner = True, call.span


def _repeats(call: Span, inner: Span) -> bool:
    """Say whether a span right around a model call reports the same call."""
    return (
        call.kind == "model_call"
        and call is not inner
        and (call.operation == "embeddings") == (inner.operation == "embeddings")
    )


def _work_told(spans: Iterable[Span]) -> dict[bytes, list[UUID | None]]:
    """Return the run and the squad of each trace where calls or tools name one that no execution among them does.

    Their rows have no such columns, so the trace's own keeps what they say. Of several the root says it, or else the
    one that started first.
    """
    naming = [span for span in spans if span.task_run_id is not None or span.squad_id is not None]
    naming.sort(
        key=lambda span: (span.kind != "execution", span.parent_span_id is not None, span.started_ns, span.span_id)
    )
    first: dict[tuple[bytes, int], tuple[UUID, str]] = {}
    for span in naming:
        for number, work in enumerate((span.task_run_id, span.squad_id)):
            if work is not None:
                first.setdefault((span.trace_id, number), (work, span.kind))
    told: dict[bytes, list[UUID | None]] = {}
    for (trace, number), (work, kind) in first.items():
        if kind != "execution":
            told.setdefault(trace, [None, None])[number] = work
    return told


def _common(place: Place, organization: bytes) -> bytes:
    span = place.span
    return b"".join(
        (
            pack.uuid(place.id),
            organization,
            pack.word(span.name),
            pack.word(span.status),
            pack.blob(span.trace_id),
            pack.blob(span.span_id),
            pack.blob(span.parent_span_id),
            pack.word(place.agent_name),
            pack.word(span.session_id),
            pack.word(span.correlation_id),
            pack.time(span.started_ns),
            pack.time(span.ended_ns),
            pack.word(span.error_type),
            pack.text(span.error_message),
            pack.jsonb(evaluations.attributes_of(span)),
        )
    )


def _tokens(span: Span) -> bytes:
    return b"".join(
        map(
            pack.integer,
            (
                span.input_tokens,
                span.output_tokens,
                span.cached_tokens,
                span.cache_write_tokens,
                span.reasoning_tokens,
            ),
        )
    )


def _execution(place: Place, agents: dict[str, UUID]) -> bytes:
    span = place.span
    return b"".join(
        (
            _tokens(span),
            pack.amount(_units(span.reported_cost)),
            pack.text(f"{span.trace_id.hex()}-{span.span_id.hex()}"),
            pack.uuid(span.agent_id or (agents.get(place.agent_name) if span.agent_type == "agent" else None)),
            pack.word(span.agent_type),
            pack.uuid(place.owner),
            pack.uuid(span.task_run_id),
            pack.uuid(span.squad_id),
            pack.word(span.user_name),
            pack.blob(span.input),
            pack.blob(span.output),
            pack.word(span.provider),
            pack.word(span.response_model or span.request_model),
            pack.boolean(place.usage_below),
        )
    )


def _model_call(place: Place, agents: dict[str, UUID]) -> bytes:
    span = place.span
    model = span.response_model or span.request_model
    cost, pricing = price_of(span, provider=span.provider, model=model, when=span.started_ns / 1e9)
    first = span.time_to_first_token_ms
    return b"".join(
        (
            _tokens(span),
            pack.amount(cost),
            pack.uuid(place.owner),
            pack.word(span.operation or "chat"),
            pack.word(span.provider),
            pack.word(span.request_model),
            pack.word(span.response_model),
            pack.blob(span.parameters),
            pack.blob(span.input),
            pack.blob(span.output),
            pack.word(span.finish_reason),
            pack.amount(_units(span.reported_cost)),
            pack.word(pricing),
            pack.double(None if first is None else first / 1_000),
            pack.boolean(place.usage_below),
        )
    )


def _tool_execution(place: Place, agents: dict[str, UUID]) -> bytes:
    span = place.span
    return b"".join(
        (
            pack.uuid(place.owner),
            pack.word(span.tool_name or span.name),
            pack.word(span.tool_type),
            pack.text(span.tool_call_id),
            pack.blob(span.input),
            pack.blob(span.output),
            pack.word("allowed"),
        )
    )


ROWS = {"execution": _execution, "model_call": _model_call, "tool_execution": _tool_execution}


def _units(dollars: Any) -> int | None:
    return None if dollars is None else round(dollars * UNITS)
