"""One span's attributes read by the table: the best value of each field, and what is left."""

from typing import Any

from agents.telemetry import values
from agents.telemetry.conventions import BY_NAME, BY_PREFIX, CONTENT_FIELDS
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
    "provider": values.label(LABEL_LIMIT),
    "request_model": values.label(LABEL_LIMIT),
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

    def leave(self, candidate: Candidate) -> None:
        """Keep a candidate among the attributes that no row knew."""
        self.rest[candidate[1]] = candidate[2]

    def leave_spare(self) -> None:
        """Keep the further spellings of the fields that no converter makes and that don't repeat contents."""
        for field, candidate in self.spare:
            if field not in CONVERTERS and field not in CONTENT_FIELDS and field != "parameters":
                self.leave(candidate)

    def convert_into(self, span: Span) -> None:
        """Set every field of the record that a converter makes; what makes no sense stays an attribute."""
        spare = self.spare
        for field, candidate in self.told.items():
            convert = CONVERTERS.get(field)
            if convert is None:
                continue
            value = convert(candidate[2])
            if value is None or spare:
                value = self._second_best(field, candidate, value)
            if value is not None:
                setattr(span, field, value)

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
