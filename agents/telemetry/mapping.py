"""Spans of any convention made into our records, by the table in ``conventions``.

Every valid span becomes exactly one record, and no span is an exception: what makes no sense stays among the
``attributes``, and a span without identity or with a senseless clock is rejected by itself, with the reason. So is one
at which this code fails all the same (see ``faults``).
"""

from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agents.telemetry import contents, conventions, events, kinds, leftovers, text, usage, values
from agents.telemetry.faults import Faults
from agents.telemetry.kinds import MODEL_CALL, TOOL_EXECUTION, Kind
from agents.telemetry.reading import CONVERTERS, LABEL_LIMIT, Candidate, Reading
from agents.telemetry.spans import Mapped, Span

EARLIEST_NS = 946_684_800 * 1_000_000_000
"""2000-01-01: a span from before it comes from a clock that was never set."""

FUTURE_NS = 86_400 * 1_000_000_000
"""How far ahead of ours a client's clock may be: a day."""

NAME_LIMIT = 300
MESSAGE_LIMIT = 10_000

_operation = values.label(50)
_node_name = values.label(LABEL_LIMIT)
_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)


def map_spans(request: ExportTraceServiceRequest, *, now_ns: int) -> Mapped:
    """Return the records of a request's spans, in the request's order.

    Args:
        request: as :func:`agents.telemetry.otlp.decode` gives it.
        now_ns: the present, in nanoseconds since 1970.
    """
    spans: list[Span] = []
    senseless: dict[str, list[str]] = {}
    faults = Faults("mapped")
    latest = now_ns + FUTURE_NS
    for span, resource in _with_resources(request, faults):
        try:
            reason = _senselessness(span, latest)
            if reason is None:
                spans.append(_map(span, resource))
            else:
                senseless.setdefault(reason, []).append(f"{text.name(span.name, 60)!r} ({span.span_id[:8].hex()})")
        except Exception as error:  # noqa: BLE001 (told, logged, and raised unless it is the span's own)
            faults.add(span, error)
    reasons = [
        f"{len(named)} {'span' if len(named) == 1 else 'spans'} {reason}, first {named[0]}"
        for reason, named in senseless.items()
    ]
    rejected = sum(map(len, senseless.values())) + len(faults.spans)
    return Mapped(spans=spans, rejected=rejected, reasons=reasons + faults.told())


def _with_resources(request: ExportTraceServiceRequest, faults: Faults) -> Iterator[tuple[Any, "_Resource"]]:
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            try:
                resource = _Resource(resource_spans.resource, scope_spans.scope)
            except Exception as error:  # noqa: BLE001 (likewise)
                for span in scope_spans.spans:
                    faults.add(span, error)
                continue
            for span in scope_spans.spans:
                yield span, resource


def _senselessness(span: Any, latest: int) -> str | None:
    """Say why a span can't be a record; None if it can."""
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return "without a valid trace id"
    if len(span_id) != 8 or span_id == _NO_SPAN:
        return "without a valid span id"
    started, ended = span.start_time_unix_nano, span.end_time_unix_nano
    if started < EARLIEST_NS:
        return "started before the year 2000" if started else "without a start time"
    if ended < started:
        return "ended before the start" if ended else "without an end time"
    if ended > latest:
        return "more than a day in the future"
    return None


class _Resource:
    """What holds for all spans of one resource and scope: made once."""

    __slots__ = ("fields", "json")

    def __init__(self, resource: Any, scope: Any) -> None:
        attributes = values.attributes(resource.attributes)
        self.fields = {
            field: value
            for field in conventions.RESOURCE_FIELDS
            for spelling, _ in conventions.TABLE[field][:1]
            if (value := CONVERTERS[field](attributes.get(spelling))) is not None
        }
        self.json = leftovers.resource_json(attributes, scope.name)


def _map(source: Any, resource: _Resource) -> Span:
    reading = Reading(source.attributes)
    told = reading.told
    kind = _kind(reading)
    parent = source.parent_span_id
    span = Span(
        kind.record,
        source.trace_id,
        source.span_id,
        parent if len(parent) == 8 and parent not in (_NO_SPAN, source.span_id) else None,
        text.name(source.name, NAME_LIMIT) or kind.agent_type or kind.operation or "tool",
        source.start_time_unix_nano,
        source.end_time_unix_nano,
        agent_type=kind.agent_type,
        operation=kind.operation,
    )
    for field, value in resource.fields.items():
        setattr(span, field, value)
    if ("usage" in told or "costs" in told) and kind.record != TOOL_EXECUTION:
        usage.spread(reading)
    reading.convert_into(span)
    told_by_events = events.read(source, span) if source.events else events.NONE
    _set_names(span, reading)
    _set_status(span, source.status, told_by_events, reading)
    if kind.record != MODEL_CALL:
        if reading.below:
            reading.leave_below("gen_ai.request")
    else:
        if reading.below or "parameters" in told:
            _set_parameters(span, reading)
        if not told.keys().isdisjoint(_FIRST_TOKEN):
            _set_first_token(span, reading)
    contents.set_contents(span, reading, told_by_events)
    if reading.spare:
        reading.leave_spare(kind.record)
    span.attributes = leftovers.attributes_json(reading.rest, resource.json, source, told_by_events)
    return span


def _kind(reading: Reading) -> Kind:
    """Decide what a span is: see ``kinds`` for the order. What told it is kept unless the kind says it whole."""
    told = reading.told
    decided: Kind | None = None
    for field, table, upper in _KIND_TABLES:
        candidate = told.pop(field, None)
        if candidate is None:
            continue
        value = candidate[2]
        known = table.get(value.strip('"').upper() if upper else value) if type(value) is str else None
        if known is None and field == "operation_name":
            told[field] = candidate
        elif known is None or not known.whole or (decided is not None and known.record != decided.record):
            reading.leave(candidate)
        if decided is None:
            decided = known
        elif known is not None and known.record == decided.record == MODEL_CALL:
            decided = known if field == "operation_name" else decided
    if decided is None:
        decided = _kind_by_traces(told)
    return _with_own_operation(decided, reading)


_KIND_TABLES: tuple[tuple[str, dict[str, Kind], bool], ...] = (
    ("span_kind", kinds.SPAN_KINDS, True),
    ("operation_name", kinds.OPERATIONS, False),
    ("entity_kind", kinds.ENTITY_KINDS, False),
)


def _kind_by_traces(told: dict[str, Candidate]) -> Kind:
    if "tool_name" in told or "tool_call_id" in told:
        return kinds.TOOL
    if "request_model" in told or "response_model" in told:
        return kinds.CHAT
    return kinds.STEP


def _with_own_operation(kind: Kind, reading: Reading) -> Kind:
    """Give a model call the operation that its span names, where that is none of the well-known ones."""
    candidate = reading.told.pop("operation_name", None)
    if candidate is None:
        return kind
    operation = _operation(candidate[2])
    if kind.record == MODEL_CALL and operation is not None:
        return Kind(MODEL_CALL, operation=operation)
    reading.leave(candidate)
    return kind


def _set_names(span: Span, reading: Reading) -> None:
    """Name an agent's span after its agent and a tool's after its tool, by what else names them, or the span's name.

    An agent that is told by its id has a name on the roster.
    """
    if span.agent_type == "agent" and not span.agent_name:
        span.agent_name = _by_node(reading) or ("" if span.agent_id else own_name(span))
    if span.kind == TOOL_EXECUTION and not span.tool_name:
        span.tool_name = _by_node(reading) or own_name(span)
    if "node_name" in reading.told:
        reading.leave(reading.told.pop("node_name"))


def _by_node(reading: Reading) -> str | None:
    reading.settle("node_name", _node_name)
    return _node_name(reading.pop("node_name"))


def own_name(span: Span) -> str:
    """Return the name that an agent or a tool has by its span's."""
    for prefix in kinds.NAME_PREFIXES:
        if span.name.startswith(prefix):
            return span.name[len(prefix) :].strip()[:LABEL_LIMIT] or span.name[:LABEL_LIMIT]
    return span.name[:LABEL_LIMIT]


def _set_status(span: Span, status: Any, told: events.Told, reading: Reading) -> None:
    """Tell whether it failed: by the span's status, or by an exception or its level where the status was left unset."""
    code = status.code
    level, explained = reading.told.pop("level", None), reading.told.pop("status_message", None)
    if code == 2 or (code == 0 and (told.failed or (level is not None and level[2] == "ERROR"))):
        span.status = "failed"
        span.error_type = span.error_type or told.error_type
        message = status.message or told.error_message
        if explained is not None and type(explained[2]) is str and message in ("", explained[2]):
            message, explained = explained[2], None
        if level is not None and level[2] == "ERROR":
            level = None
        span.error_message = text.cut(text.clean(message), MESSAGE_LIMIT - text.MARK_LENGTH) if message else ""
    elif span.error_type:
        reading.leave(reading.told["error_type"])
        span.error_type = ""
    for left in (level, explained):
        if left is not None:
            reading.leave(left)


def _set_parameters(span: Span, reading: Reading) -> None:
    """Gather a model call's parameters: those named one by one go before those of an object."""
    parameters: dict[str, Any] = {}
    candidates = [reading.told.pop("parameters", None)]
    candidates += [candidate for field, candidate in reading.spare if field == "parameters"]
    for candidate in candidates:
        if candidate is not None:
            found = values.nested(candidate[2])
            if found is None:
                reading.leave(candidate)
            else:
                parameters = {**found, **parameters}
    own = reading.below.pop("gen_ai.request", ())
    parameters.update(own)
    if not parameters:
        return
    rendered = text.dumps(parameters)
    if len(rendered) > text.VALUE_LIMIT:
        rendered = text.dumps({"cut": text.cut(rendered.decode(errors="replace"), text.VALUE_LIMIT // 2)})
    span.parameters = rendered


def _set_first_token(span: Span, reading: Reading) -> None:
    for field, milliseconds in _FIRST_TOKEN.items():
        candidate = reading.told.pop(field, None)
        if candidate is None:
            continue
        waited = milliseconds(candidate[2], span)
        if waited is None or not 0 <= waited < 1e12 or span.time_to_first_token_ms is not None:
            reading.leave(candidate)
        else:
            span.time_to_first_token_ms = waited


def _from_seconds(value: Any, span: Span) -> float | None:
    seconds = values.number(value)
    return None if seconds is None else seconds * 1_000


def _from_moment(value: Any, span: Span) -> float | None:
    moment = values.moment(value)
    return None if moment is None else (moment - span.started_ns) / 1_000_000


def _from_milliseconds(value: Any, span: Span) -> float | None:
    return values.number(value)


_FIRST_TOKEN: dict[str, Callable[[Any, Span], float | None]] = dict(
    zip(conventions.FIRST_TOKEN_FIELDS, (_from_seconds, _from_moment, _from_milliseconds), strict=True)
)
