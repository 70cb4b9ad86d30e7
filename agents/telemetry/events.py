"""What a span's events say: messages of the older conventions, exceptions, evaluations, the first token."""

from dataclasses import dataclass, field
from typing import Any

from agents.telemetry import conventions, messages, text, values
from agents.telemetry.kinds import MODEL_CALL
from agents.telemetry.spans import Evaluation, Span

OTHERS_LIMIT = 128
"""Events kept among a span's attributes: the number that OpenTelemetry's SDKs allow a span by default."""

_label = values.label(200)


@dataclass(slots=True)
class Told:
    """What the events told, beside what was set on the span itself."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    failed: bool = False
    error_type: str = ""
    error_message: str = ""
    others: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0


NONE = Told()
"""What no events told; not to be changed."""


def read(source: Any, span: Span) -> Told:
    """Read the events of a span: evaluations and the time to the first token are set on ``span``."""
    told = Told()
    for event in source.events:
        name = event.name
        attributes = values.attributes(event.attributes)
        if name in conventions.MESSAGE_EVENTS:
            received = name == conventions.CHOICE_EVENT
            (told.received if received else told.sent).append(messages.event_message(name, attributes))
        elif name == conventions.PROMPT_EVENT and "gen_ai.prompt" in attributes:
            told.sent += messages.read(attributes["gen_ai.prompt"], "user")[1]
        elif name == conventions.COMPLETION_EVENT and "gen_ai.completion" in attributes:
            told.received += messages.read(attributes["gen_ai.completion"], "assistant")[1]
        elif name == conventions.EVALUATION_EVENT and (evaluation := _evaluation(attributes)) is not None:
            span.evaluations.append(evaluation)
        else:
            _read_other(event, attributes, told, span)
    return told


def _read_other(event: Any, attributes: dict[str, Any], told: Told, span: Span) -> None:
    since_start = event.time_unix_nano - span.started_ns
    if event.name == conventions.FIRST_TOKEN_EVENT and since_start >= 0 and span.kind == MODEL_CALL:
        span.time_to_first_token_ms = span.time_to_first_token_ms or since_start / 1_000_000
        return
    if event.name == conventions.EXCEPTION_EVENT:
        told.failed = True
        told.error_type = _label(attributes.get("exception.type")) or told.error_type
        message = attributes.get("exception.message")
        told.error_message = message if type(message) is str and message else told.error_message
    if len(told.others) < OTHERS_LIMIT:
        kept = {"name": text.name(event.name, 200), "after_ms": round(since_start / 1_000_000, 3)}
        told.others.append({**kept, "attributes": attributes} if attributes else kept)
    else:
        told.left_out += 1


def _evaluation(attributes: dict[str, Any]) -> Evaluation | None:
    """Return a judgement; None if it has no name, for then it stays an event like others."""
    name = _label(attributes.get("gen_ai.evaluation.name"))
    if name is None:
        return None
    explanation = attributes.get("gen_ai.evaluation.explanation")
    return Evaluation(
        name=name,
        score=values.number(attributes.get("gen_ai.evaluation.score.value")),
        label=_label(attributes.get("gen_ai.evaluation.score.label")) or "",
        explanation=text.cut(text.clean(explanation), 10_000 - text.MARK_LENGTH) if type(explanation) is str else "",
    )
