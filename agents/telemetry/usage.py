"""Attributes that tell several fields at once: an object of token counts, or of costs.

The counts of Langfuse's SDKs are parts, each beside the others: what their interface shows as input is the sum of all
whose name has «input» in it (https://langfuse.com/docs/model-usage-and-cost), and their integrations take cached tokens
out of ``input`` before they report it. The same object may also come as a provider's answer had it, with the cached
tokens among the others. The total tells which: where it is no more than input and output, nothing stands beside these.
Details of OpenAI's (``prompt_tokens_details``) are always among the others.
"""

from decimal import Decimal
from typing import Any

from agents.telemetry import values
from agents.telemetry.reading import CONVERTERS, Reading

_LAST = 1_000
"""The rank of what is told here: behind every attribute that tells a field by itself."""

_INPUT = ("input", "input_tokens", "prompt_tokens")
_OUTPUT = ("output", "output_tokens", "completion_tokens")
_TOTAL = ("total", "total_tokens")
_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": "cached_tokens"},
    "input_tokens_details": {"cached_tokens": "cached_tokens"},
    "completion_tokens_details": {"reasoning_tokens": "reasoning_tokens"},
    "output_tokens_details": {"reasoning_tokens": "reasoning_tokens"},
}
_REPEATED = ("priority", "ephemeral")
"""In names of counts that tell once more, by tier, what another count tells."""


def spread(reading: Reading) -> None:
    """Tell the single fields what such objects say, unless an attribute of their own does.

    An object stays among the attributes when it says more than became fields, or something else than they do.
    """
    told = reading.told
    for field, read in (("usage", tokens), ("costs", costs)):
        candidate = told.pop(field, None)
        if candidate is None:
            continue
        found, whole = read(candidate[2])
        for name, value in found.items():
            convert = CONVERTERS[name]
            reading.settle(name, convert)
            whole &= convert(told.setdefault(name, (_LAST, candidate[1], value))[2]) == convert(value)
        if not (found and whole):
            reading.leave(candidate)


def tokens(value: Any) -> tuple[dict[str, Any], bool]:
    """Return the numbers of tokens that an object, or its JSON, tells by field; and whether that is all it tells."""
    said = values.nested(value) or {}
    counts = {key: number for key, given in said.items() if (number := values.count(given)) is not None}
    given, made, total = (_first(counts, names) for names in (_INPUT, _OUTPUT, _TOTAL))
    among = total is not None and total == (given or 0) + (made or 0)
    found, whole = _details(said)
    sums = {"input_tokens": given, "output_tokens": made}
    for key, number in counts.items():
        if key in (*_INPUT, *_OUTPUT, *_TOTAL):
            continue
        side = "input_tokens" if "input" in key else "output_tokens" if "output" in key else None
        if side is None or any(tier in key for tier in _REPEATED):
            whole = False
            continue
        if not among:
            sums[side] = (sums[side] or 0) + number
        field = _part(key)
        if field is None:
            whole = False
        else:
            found[field] = found.get(field, 0) + number
    found.update({field: number for field, number in sums.items() if number is not None})
    known = {field: number for field, number in found.items() if values.count(number) is not None}
    return known, whole and known == found and len(counts) + len(_DETAILS.keys() & said.keys()) == len(said)


def _first(counts: dict[str, int], names: tuple[str, ...]) -> int | None:
    return next((counts[name] for name in names if name in counts), None)


def _details(said: dict[str, Any]) -> tuple[dict[str, int], bool]:
    found: dict[str, int] = {}
    whole = True
    for name, fields in _DETAILS.items():
        details = said.get(name)
        for key, given in details.items() if type(details) is dict else ():
            number = values.count(given)
            if key in fields and number is not None:
                found[fields[key]] = number
            elif given:
                whole = False
    return found, whole


def _part(key: str) -> str | None:
    """Return the field of a part of the input or output; None if no field is for it, such as tokens of sound."""
    if "cache" in key:
        return "cache_write_tokens" if "creation" in key or "write" in key else "cached_tokens"
    return "reasoning_tokens" if "reasoning" in key else None


def costs(value: Any) -> tuple[dict[str, Any], bool]:
    """Return the cost that an object of costs, or its JSON, tells: its total, else the sum of its parts."""
    said = values.nested(value) or {}
    amounts = {key: amount for key, given in said.items() if (amount := values.cost(given)) is not None}
    total = amounts.get("total", amounts.get("total_cost"))
    if total is None and amounts:
        total = values.cost(str(sum(amounts.values(), Decimal())))
    return ({} if total is None else {"reported_cost": str(total)}), len(said) == 1
