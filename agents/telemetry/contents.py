"""What went into a span and what came out of it, from whichever spelling tells it best."""

from typing import Any

from agents.telemetry import conventions, messages, values
from agents.telemetry.conventions import BY_PREFIX
from agents.telemetry.events import Told
from agents.telemetry.kinds import MODEL_CALL
from agents.telemetry.reading import LABEL_LIMIT, Candidate, Reading, rank_of
from agents.telemetry.spans import Span

EVENTS_RANK = {
    field: [spelling for spelling, _ in conventions.TABLE[field]].index(conventions.MESSAGE_EVENTS_SPELLING)
    for field in ("input", "output")
}
"""Where the table puts messages told by span events."""

EMPTY: tuple[Any, ...] = (None, "", [])
"""Contents that tell nothing."""

_media_type = values.label(LABEL_LIMIT)
_finish_reason = values.label(100)


def set_contents(span: Span, reading: Reading, told: Told) -> None:
    """Set what went in and came out, from the most structured spelling that has something."""
    told_in = _candidates("input", reading, told.sent)
    listed = _listed_events(told_in, reading) if "events" in (spelling for _, spelling, _ in told_in) else []
    told_out = _candidates("output", reading, told.received or listed)
    if told_out and (len(told_out) > 1 or told_out[0][1] in conventions.ANSWER_PARTS):
        told_out = _with_whole_answer(told_out, span)
    input_type, output_type = reading.pop("input_type"), reading.pop("output_type")
    if told_in:
        span.input, _ = _content(span, told_in, "user", input_type)
    if told_out:
        span.output, received = _content(span, told_out, "assistant", output_type)
        if received and not span.finish_reason:
            span.finish_reason = next((_finish(said) for said in received if "finish_reason" in said), "")
    instructions = reading.told.pop("instructions", None)
    if instructions is not None:
        if span.kind == MODEL_CALL:
            span.input = messages.with_instructions(instructions[2], span.input)
        else:
            reading.leave(instructions)


def _finish(said: dict[str, Any]) -> str:
    return _finish_reason(said["finish_reason"]) or ""


def _candidates(field: str, reading: Reading, by_events: list[dict[str, Any]]) -> list[tuple[int, str, Any]]:
    """Return what may be a field's content, the best first."""
    found: list[Candidate] = []
    if field in reading.told:
        found.append(reading.told.pop(field))
        if reading.spare:
            found.extend(candidate for name, candidate in reading.spare if name == field)
    if by_events:
        found.append((EVENTS_RANK[field], conventions.MESSAGE_EVENTS_SPELLING, by_events))
    for prefix in tuple(reading.below):
        row = BY_PREFIX[prefix]
        if row[0] == field:
            found.append((row[1], f"{prefix}.*", reading.below.pop(prefix)))
    if len(found) > 1:
        found.sort(key=rank_of)
    return found


def _with_whole_answer(candidates: list[Candidate], span: Span) -> list[Candidate]:
    """Put one message in the place of attributes that tell its parts, unless that is one part and no model's call."""
    told = [candidate for candidate in candidates if candidate[2] not in EMPTY]
    parts = [candidate for candidate in told if candidate[1] in conventions.ANSWER_PARTS]
    if not parts or (len(parts) == 1 and span.kind != MODEL_CALL):
        return candidates
    said = {conventions.ANSWER_PARTS[spelling]: value for _, spelling, value in reversed(parts)}
    whole = (parts[0][0], conventions.MESSAGE_EVENTS_SPELLING, [messages.answer(said)])
    others = [candidate for candidate in told if candidate not in parts]
    return sorted([*others, whole], key=rank_of)


def _listed_events(candidates: list[Candidate], reading: Reading) -> list[dict[str, Any]]:
    """Put the messages of an attribute ``events`` into its place, and return those that came out of the model."""
    place = next(place for place, candidate in enumerate(candidates) if candidate[1] == "events")
    rank, key, value = candidates[place]
    listed = messages.event_list(value)
    if listed is None:
        reading.leave((rank, key, value))
    candidates[place] = (rank, conventions.MESSAGE_EVENTS_SPELLING, listed[0] if listed else None)
    return listed[1] if listed else []


def _content(
    span: Span, candidates: list[Candidate], role: str, media_type: Any
) -> tuple[bytes | None, list[dict[str, Any]]]:
    """Return the first content that isn't empty, as JSON; messages parsed as well.

    Messages of which only the roles are told (LangChain's, of what its graphs are given) stand back behind what tells
    more.
    """
    bare: tuple[bytes | None, list[dict[str, Any]]] = None, []
    for _, spelling, value in candidates:
        if value in EMPTY:
            continue
        if spelling == conventions.MESSAGE_EVENTS_SPELLING:
            return messages.render(value, role), value
        if spelling in conventions.DOCUMENT_SPELLINGS:
            return _documents(value, span)
        if spelling.endswith(".*"):
            unflattened = messages.unflatten(value, role)
            if any(said["parts"] for said in unflattened):
                return messages.render(unflattened, role), unflattened
            bare = messages.render(unflattened, role), unflattened
            continue
        if spelling in conventions.JSON_SPELLINGS and (opened := values.opened(value)) is not value:
            value, media_type = opened, "text/plain"  # what is a text within the JSON isn't JSON once more
        if span.kind == MODEL_CALL or spelling in conventions.MESSAGE_SPELLINGS:
            return messages.read(value, role)
        return messages.content(value, _media_type(media_type) or ""), []
    return bare


def _documents(pairs: list[tuple[str, Any]], span: Span) -> tuple[bytes, list[dict[str, Any]]]:
    """Return a list of documents, such as ``0.document.content``; a model call's as messages."""
    documents = messages.structure(pairs)
    return messages.read(documents, "assistant") if span.kind == MODEL_CALL else (messages.content(documents), [])
