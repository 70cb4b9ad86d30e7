"""Statistics as counting in plain Python has them."""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from agents import prices
from agents.telemetry.spans import Span
from tests.kit.spans import agent, call, step, tool

EXECUTIONS = "/api/v1/statistics/executions/"
MODEL_CALLS = "/api/v1/statistics/model-calls/"
TOOL_EXECUTIONS = "/api/v1/statistics/tool-executions/"
ADDRESSES = {"execution": EXECUTIONS, "model_call": MODEL_CALLS, "tool_execution": TOOL_EXECUTIONS}
START = datetime(2026, 3, 1, 5, tzinfo=UTC)
END = datetime(2026, 3, 5, 19, tzinfo=UTC)
WHEN = {"start": START.isoformat(), "end": END.isoformat()}
CALL = Decimal("0.0035")  # a call of 1,000 tokens in and 100 out, at 2.5 and 10 dollars a million


def run(*command: str) -> str:
    output = StringIO()
    call_command(*command, stdout=output)
    return output.getvalue()


MODELS = [("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-20250514"), ("acme", "homegrown-7b")]

TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


def many_spans(seed: int = 4) -> list[Span]:
    """Return traces of six days: agents with steps, calls and tools; some fail, some repeat what is inside."""
    chance = random.Random(seed)
    spans = []
    for number in range(60):
        at = START - timedelta(hours=10) + timedelta(seconds=chance.randrange(6 * 86_400))
        common: dict[str, Any] = {"trace": number + 1, "at": at}

        def ended() -> dict[str, Any]:
            return {
                "seconds": 10 ** chance.uniform(-3, 2),
                "status": chance.choice(["completed"] * 8 + ["failed", "timeout"]),
            }

        def usage() -> dict[str, Any]:
            names = dict(zip(TOKENS, (chance.randrange(5_000), chance.randrange(500), 30, 20), strict=True))
            return names if chance.random() < 0.9 else {"input_tokens": None, "output_tokens": None}

        spans.append(agent(1, agent_name=chance.choice("abc"), **common, **ended(), **usage()))
        spans.append(step(2, 1, **common, **ended(), **(usage() if chance.random() < 0.3 else {})))
        for each in range(chance.randrange(4)):
            provider, model = chance.choice(MODELS)
            names = {"provider": provider, "request_model": model}
            spans.append(call(10 + each, chance.choice([1, 2]), after=each, **common, **ended(), **names, **usage()))
        spans.append(tool(20, 2, tool_name=chance.choice(["search", "read"]), **common, **ended()))
        if chance.random() < 0.2:
            spans.append(agent(30, 2, agent_name="helper", **common, **ended(), **usage()))
    return spans


def began(each: Span) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=each.started_ns // 1_000)


def key(each: Span) -> tuple[bytes, bytes | None]:
    return each.trace_id, each.span_id


def reports(each: Span) -> bool:
    return each.input_tokens is not None or each.output_tokens is not None


class Counted:
    """What the spans amount to, worked out from the tree of each trace."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = list(spans)
        self.by_key = {key(each): each for each in self.spans}
        self.above_usage = {key(around) for each in self.spans if reports(each) for around in self.around(each)}

    def around(self, each: Span) -> list[Span]:
        found: list[Span] = []
        while each.parent_span_id is not None:
            each = self.by_key[each.trace_id, each.parent_span_id]
            found.append(each)
        return found

    def agent_of(self, each: Span) -> str:
        return next((one.agent_name for one in (each, *self.around(each)) if one.agent_name), "")

    def usage(self, each: Span) -> dict[str, Any]:
        nothing = dict.fromkeys((*TOKENS, "unpriced"), 0) | {"cost": Decimal(0)}
        if each.kind == "tool_execution" or (each.kind == "execution" and key(each) in self.above_usage):
            return nothing
        tokens = {name: getattr(each, name) or 0 for name in TOKENS}
        if each.kind == "execution":
            return nothing | tokens | {"unpriced": int(bool(tokens["input_tokens"] or tokens["output_tokens"]))}
        if not reports(each):
            return nothing | tokens
        units = prices.price(
            each.provider,
            each.request_model,
            each.started_ns / 1e9,
            **{name: getattr(each, name) for name in (*TOKENS, "cache_write_tokens")},
        )
        return tokens | {"unpriced": int(units is None), "cost": Decimal(units or 0) / prices.UNITS}

    def groups(
        self,
        kind: str,
        value_of: Callable[[Span], Any],
        also: Callable[[Span], bool] = lambda each: False,
        only: Callable[[Span], bool] = lambda each: True,
        *,
        by_agent: bool = False,
    ) -> dict[Any, dict[str, Any]]:
        """Return the figures by value of what began between START and END; ``also`` adds what others consumed.

        By agent only agents proper count.
        """
        groups: defaultdict[Any, dict[str, Any]] = defaultdict(
            lambda: dict.fromkeys(("count", "failures", *TOKENS, "unpriced"), 0) | {"cost": Decimal(0), "seconds": []}
        )
        for each in self.spans:
            value = value_of(each)
            if value == "" or not START <= began(each) < END or not only(each):
                continue
            if each.kind == kind or also(each):
                for name, number in self.usage(each).items():
                    groups[value][name] += number
            steps = (by_agent or value_of == self.agent_of) and each.agent_type not in ("agent", "")
            if each.kind == kind and not steps:
                groups[value]["count"] += 1
                groups[value]["failures"] += each.status in ("failed", "timeout")
                groups[value]["seconds"].append((each.ended_ns - each.started_ns) / 1e9)
        used = ("count", *TOKENS, "unpriced")
        return {value: group for value, group in groups.items() if any(group[name] for name in used)}


def percentile(seconds: list[float], percent: int) -> float | None:
    return sorted(seconds)[max(1, math.ceil(len(seconds) * percent / 100)) - 1] if seconds else None


def compare(answer: Any, expected: dict[Any, dict[str, Any]], *, tolerance: float = 0.04) -> None:
    """Hold an answer against the count: counts and money exactly, percentiles within 4 %."""
    assert answer.status_code == 200, answer.json()
    groups = {group["value"]: group for group in answer.json()["groups"]}
    assert len(groups) == len(answer.json()["groups"])
    assert set(groups) == {None if value is None else str(value) for value in expected}
    for value, figures in expected.items():
        group = groups[None if value is None else str(value)]
        told = {name: group[name] for name in ("count", "failures", *TOKENS, "unpriced")}
        assert told == {name: figures[name] for name in told}, value
        assert Decimal(group["cost"]) == figures["cost"]
        rate = (figures["count"] - figures["failures"]) / figures["count"] if figures["count"] else None
        assert group["success_rate"] == rate
        for percent in (50, 95, 99):
            exact = percentile(figures["seconds"], percent)
            assert group["duration"][f"p{percent}"] == (
                exact if exact is None else pytest.approx(exact, rel=tolerance + 1e-9)
            )


def hour(each: Span) -> str:
    return began(each).replace(minute=0, second=0, microsecond=0).isoformat()


def day(each: Span) -> str:
    return began(each).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()


def used_with(kind: str) -> Callable[[Span], bool]:
    """Return what executions answer for too, by agent and time: what model calls consumed."""
    return lambda each: kind == "execution" and each.kind == "model_call"
