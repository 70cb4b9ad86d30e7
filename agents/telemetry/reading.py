"""One span's attributes read by the table: the best value of each field, and what is left."""

from collections.abc import Callable
from typing import Any

from agents.telemetry import values
from agents.telemetry.conventions import BY_NAME, BY_PREFIX, CONTENT_FIELDS, FIRST_TOKEN_FIELDS
from agents.telemetry.kinds import EXECUTION, MODEL_CALL, TOOL_EXECUTION
from agents.telemetry.spans import Span

LABEL_LIMIT = 200
"""Characters of an id, or of a name other than the span's own."""

CONVERTERS = {
    "task_run_id": values.uuid,
    "squad_id": values.uuid,
    "agent_id": values.uuid,
    "correlation_id": values.label(LABEL_LIMIT),
    "session_id": values.label(LABEL_LIMIT),
    "user_name": values.label(LABEL_LIMIT),
    "agent_name": values.label(LABEL_LIMIT),
    "provider": values.label(LABEL_LIMIT, quotes=True),
    "request_model": values.label(LABEL_LIMIT, quotes=True),
    "response_model": values.label(LABEL_LIMIT),
    "finish_reason": values.reasons(100),
    "input_tokens": values.count,
    "output_tokens": values.count,
    "cached_tokens": values.count,
    "cache_write_tokens": values.count,
    "reasoning_tokens": values.count,
    "reported_cost": values.cost,
    "tool_name": values.label(LABEL_LIMIT),
    "tool_type": values.label(LABEL_LIMIT),
    "tool_call_id": values.label(LABEL_LIMIT),
    "error_type": values.label(LABEL_LIMIT),
}
"""What makes the value of each field that is a field of the record by itself."""

_ALL = {"session_id", "correlation_id", "agent_name", "error_type"}
_USAGE = {"input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "reported_cost"}
_MODEL = {"provider", "request_model", "response_model", "usage", "costs", *_USAGE}
STORED = {
    EXECUTION: _ALL | _MODEL | {"task_run_id", "squad_id", "agent_id", "user_name"},
    MODEL_CALL: _ALL | _MODEL | {"parameters", "finish_reason", *FIRST_TOKEN_FIELDS},
    TOOL_EXECUTION: _ALL | {"tool_name", "tool_type", "tool_call_id"},
}
"""The fields that a record of each kind has columns for. What else an attribute says stays an attribute."""

CONVERTERS_OF = {kind: {field: CONVERTERS[field] for field in CONVERTERS if field in STORED[kind]} for kind in STORED}
"""Of those, the ones for a record of each kind."""

_UNSTORED = {kind: frozenset().union(*STORED.values()) - STORED[kind] for kind in STORED}

Candidate = tuple[int, str, Any]
"""A spelling's rank, the attribute's key and its value."""


class Reading:
    """What one span's attributes say, by field.

    ``told`` has the best candidate of each field, ``spare`` the further ones, ``below`` the attributes below a prefix,
    ``rest`` what no row knows.
    """

    __slots__ = ("below", "rest", "spare", "told")

    def __init__(self, pairs: Any) -> None:
        self.told: dict[str, Candidate] = {}
        self.spare: list[tuple[str, Candidate]] = []
        self.below: dict[str, list[tuple[str, Any]]] = {}
        self.rest: dict[str, Any] = {}
        told, below, rest, rows, prefixes = self.told, self.below, self.rest, BY_NAME, BY_PREFIX
        for pair in pairs:
            key = pair.key
            any_value = pair.value
            # A field that isn't the one set is empty: asking for the usual two is quicker than asking which it is.
            value = any_value.string_value or any_value.int_value or values.python(any_value)
            row = rows.get(key)
            if row is not None:
                field, rank = row
                if field not in told:
                    told[field] = (rank, key, value)
                else:
                    self._tell_again(field, (rank, key, value))
                continue
            second = key.find(".", key.find(".") + 1)
            if second > 0 and (prefix := key[:second]) in prefixes:
                below.setdefault(prefix, []).append((key[second + 1 :], value))
            else:
                rest[key] = value

    def _tell_again(self, field: str, candidate: Candidate) -> None:
        """Take a further spelling of a field: the one to believe first is told, the other spare."""
        earlier = self.told[field]
        if candidate[0] < earlier[0]:
            self.told[field], candidate = candidate, earlier
        self.spare.append((field, candidate))

    def pop(self, field: str) -> Any:
        """Take a field's best value out; None if there is none."""
        candidate = self.told.pop(field, None)
        return candidate[2] if candidate is not None else None

    def settle(self, field: str, convert: Callable[[Any], Any]) -> None:
        """Have a field told by its first spelling whose value makes sense; leave those before it."""
        while field in self.told and convert(self.told[field][2]) is None:
            self.leave(self.told.pop(field))
            spare = [pair for pair in self.spare if pair[0] == field]
            if spare:
                best = min(spare, key=lambda pair: rank_of(pair[1]))
                self.spare.remove(best)
                self.told[field] = best[1]

    def leave(self, candidate: Candidate) -> None:
        """Keep a candidate among the attributes that no row knew."""
        self.rest[candidate[1]] = candidate[2]

    def leave_below(self, prefix: str) -> None:
        """Keep the attributes below a prefix among those that no row knew."""
        for key, value in self.below.pop(prefix, ()):
            self.rest[f"{prefix}.{key}"] = value

    def leave_spare(self, kind: str) -> None:
        """Keep the further spellings of the fields that no converter makes and that don't repeat contents."""
        converters, unstored = CONVERTERS_OF[kind], _UNSTORED[kind]
        for field, candidate in self.spare:
            if field in converters or field in CONTENT_FIELDS or (field == "parameters" and field not in unstored):
                continue
            self.leave(candidate)

    def convert_into(self, span: Span) -> None:
        """Set every field of the record that a converter makes; what makes no sense, or has no column, stays."""
        told = self.told
        converters, unstored = CONVERTERS_OF[span.kind], _UNSTORED[span.kind]
        if span.kind == EXECUTION and "request_model" in told and "response_model" in told:
            self._tell_one_model()
        spare = self.spare
        for field, candidate in told.items():
            convert = converters.get(field)
            if convert is None:
                if field in unstored:
                    self.leave(candidate)
                continue
            value = convert(candidate[2])
            if value is None or spare:
                value = self._second_best(field, candidate, value)
            if value is not None:
                setattr(span, field, value)

    def _tell_one_model(self) -> None:
        """Make the model asked for a further spelling of the one that answered: an execution has one column."""
        behind = len(BY_NAME)
        asked = [self.told.pop("request_model")]
        asked += [candidate for field, candidate in self.spare if field == "request_model"]
        self.spare = [pair for pair in self.spare if pair[0] != "request_model"]
        self.spare += [("response_model", (behind + rank, key, value)) for rank, key, value in asked]

    def _second_best(self, field: str, best: Candidate, value: Any) -> Any:
        """Return the first value that makes sense, and leave the candidates that say something else."""
        if value is None:
            self.leave(best)
        for candidate in sorted((spare[1] for spare in self.spare if spare[0] == field), key=rank_of):
            converted = CONVERTERS[field](candidate[2])
            if value is None:
                value = converted
            if converted is None or converted != value:
                self.leave(candidate)
        return value


def rank_of(candidate: Candidate) -> int:
    """Sort key: the spelling to believe first."""
    return candidate[0]
