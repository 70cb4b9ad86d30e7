"""What follows from spans, whoever writes them: links, usage and traces, attacked with raw SQL."""

import itertools
import math
import random
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.models import AgentExecution, ModelCall, SpanStatistic, Trace
from core.models import Organization
from tests.agents.spans_kit import LINKS, MODELS, NOON, TABLES, assert_each_is_linked, each_kind, insert, span
from tests.kit.sql import run

pytestmark = pytest.mark.django_db


# --- Links -------------------------------------------------------------------------------------------


def owner(kind: str, pk: Any) -> Any:
    """Return the id of the execution that a span is in."""
    return MODELS[kind].objects.values_list(LINKS[kind], flat=True).get(pk=pk)


@each_kind
@pytest.mark.parametrize("parent_first", [True, False])
def test_a_span_is_linked_to_the_execution_around_it(
    kind: str, parent_first: bool, organization: Organization, other_organization: Organization
) -> None:
    insert("execution", other_organization, span(1))
    insert("execution", organization, span(1, trace=b"\7" * 16))
    ids: dict[str, Any] = {}
    steps = {"parent": ("execution", span(1, agent_name="Ada")), "child": (kind, span(2, 1))}
    for name in ("parent", "child") if parent_first else ("child", "parent"):
        which, row = steps[name]
        [ids[name]] = insert(which, organization, row)
    assert owner(kind, ids["child"]) == ids["parent"]
    assert MODELS[kind].objects.get(pk=ids["child"]).agent_name == "Ada"
    assert owner("execution", ids["parent"]) is None


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)])
def test_links_lead_through_calls_to_the_execution_around_them(
    order: tuple[int, ...], organization: Organization
) -> None:
    """Root, then a tool in it, a model call in the tool, and a step in the call."""
    rows = [
        ("execution", span(1)),
        ("tool", span(2, 1)),
        ("modelcall", span(3, 2)),
        ("execution", span(4, 3, agent_type="step")),
    ]
    ids = {}
    for number in order:
        kind, row = rows[number]
        [ids[number]] = insert(kind, organization, row)
    assert [owner(rows[number][0], ids[number]) for number in range(4)] == [None, ids[0], ids[0], ids[0]]


def test_a_batch_is_linked_among_itself_and_rings_harm_nobody(organization: Organization) -> None:
    one, two, three = insert("execution", organization, span(3, 2), span(2, 1), span(1))
    assert [owner("execution", pk) for pk in (one, two, three)] == [two, three, None]
    itself, *ring = insert("execution", organization, span(9, 9), span(10, 11), span(11, 10))
    assert owner("execution", itself) is None
    assert [owner("execution", pk) for pk in ring] == list(reversed(ring))


def test_a_link_that_was_given_stays(organization: Organization) -> None:
    [given, _] = insert("execution", organization, {}, span(1))
    [call] = insert("modelcall", organization, span(2, 1, execution_id=given))
    assert owner("modelcall", call) == given


# --- Usage -------------------------------------------------------------------------------------------


def below() -> set[str]:
    """Return the names of the executions inside which something reports usage."""
    return set(AgentExecution.objects.filter(usage_below=True).values_list("name", flat=True))


@pytest.mark.parametrize("usage", [{"input_tokens": 0}, {"output_tokens": 5}, {"reported_cost": 1}])
@pytest.mark.parametrize("late", [True, False])
def test_usage_is_noted_in_all_executions_around_it(
    usage: dict[str, Any], late: bool, organization: Organization
) -> None:
    around = [span(1, name="root"), span(2, 1, name="chain"), span(3, 1, name="other")]
    call = span(4, 2, **usage)
    if late:
        insert("modelcall", organization, call)
        insert("execution", organization, *reversed(around))
    else:
        insert("execution", organization, *around)
        insert("modelcall", organization, call)
    assert below() == {"root", "chain"}


def test_usage_is_noted_when_it_comes_later(organization: Organization) -> None:
    insert("execution", organization, span(1, name="root"), span(2, 1, name="chain"))
    insert("modelcall", organization, span(4, 2))
    assert below() == set()
    run("UPDATE agents_modelcall SET input_tokens = 7")
    assert below() == {"root", "chain"}


def test_an_executions_own_usage_marks_those_around_it_and_counts_once(organization: Organization) -> None:
    insert("execution", organization, span(1, name="root", input_tokens=10), span(2, 1, name="chain", input_tokens=10))
    assert below() == {"root"}
    assert Trace.objects.get().input_tokens == 10
    insert("modelcall", organization, span(3, 2, input_tokens=4), span(4, 2, input_tokens=5))
    assert below() == {"root", "chain"}
    assert Trace.objects.get().input_tokens == 9
    assert_all_follows()


def repeated() -> set[str]:
    """Return the names of the model calls that repeat what one right inside reports."""
    return set(ModelCall.objects.filter(usage_below=True).values_list("name", flat=True))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("middle", [{}, {"input_tokens": 10}])
@pytest.mark.parametrize("inner", [{"input_tokens": 10}, {"reported_cost": 1}])
def test_a_call_that_two_instrumentations_report_counts_once(
    order: tuple[int, ...], middle: dict[str, Any], inner: dict[str, Any], organization: Organization
) -> None:
    calls = [
        span(1, name="gateway", input_tokens=10),
        span(2, 1, name="framework", **middle),
        span(3, 2, name="client", **inner),
    ]
    for number in order:
        insert("modelcall", organization, calls[number])
    assert repeated() == {"gateway", "framework"}
    assert Trace.objects.get().input_tokens == inner.get("input_tokens", 0)
    assert_all_follows()


def test_calls_reported_together_count_once(organization: Organization) -> None:
    insert("execution", organization, span(1, name="agent", input_tokens=10))
    insert("modelcall", organization, span(3, 2, input_tokens=10), span(2, 1, name="framework", input_tokens=10))
    assert (below(), repeated()) == ({"agent"}, {"framework"})
    assert Trace.objects.get().input_tokens == 10
    assert_all_follows()


def test_usage_of_a_call_within_that_comes_later_counts_once(organization: Organization) -> None:
    insert("modelcall", organization, span(1, name="framework", input_tokens=10), span(2, 1))
    assert repeated() == set()
    run("UPDATE agents_modelcall SET output_tokens = 7 WHERE parent_span_id IS NOT NULL")
    assert repeated() == {"framework"}
    assert_all_follows()


def test_what_is_a_call_of_its_own_counts_beside_the_one_around_it(organization: Organization) -> None:
    """Such as what a tool asks of a model, an embedding, a call without usage, and one of another trace."""
    insert("modelcall", organization, span(1, input_tokens=1), span(9, 9, input_tokens=1))
    insert("tool", organization, span(2, 1))
    insert("execution", organization, span(3, 1))
    insert("modelcall", organization, span(4, 2, input_tokens=1), span(5, 3, input_tokens=1), span(6, 1))
    insert("modelcall", organization, span(7, 1, operation="embeddings", input_tokens=1))
    insert("modelcall", organization, span(8, 1, trace=b"\7" * 16, input_tokens=1))
    assert repeated() == set()
    assert_all_follows()


# --- What follows: traces and statistics ---------------------------------------------------------------


def test_a_trace_that_begins_late_has_a_summary_from_then_on(organization: Organization) -> None:
    [pk] = insert("execution", organization, span(1, status="pending", started_at=None, completed_at=None))
    assert not Trace.objects.exists()
    run("UPDATE agents_agentexecution SET status = 'running', started_at = %s WHERE id = %s", NOON, pk)
    assert Trace.objects.get().root_status == "running"
    run("UPDATE agents_agentexecution SET status = 'failed', completed_at = %s", NOON + timedelta(seconds=3))
    trace = Trace.objects.get()
    assert (trace.root_status, trace.errors, trace.duration, trace.spans) == ("failed", 1, 3, 1)
    assert_all_follows()


def test_a_trace_goes_with_its_last_span_that_began(organization: Organization) -> None:
    [_, call] = [
        *insert("execution", organization, span(1, status="pending", started_at=None, completed_at=None)),
        *insert("modelcall", organization, span(2, 1)),
    ]
    assert Trace.objects.get().spans == 1
    run("DELETE FROM agents_modelcall WHERE id = %s", call)
    assert not Trace.objects.exists()
    assert_all_follows()


def random_row(kind: str, chance: random.Random, numbers: list[int]) -> dict[str, Any]:
    """Return the columns of a span of one of three traces, with or without usage."""
    start = NOON + timedelta(minutes=chance.randrange(3_000), microseconds=numbers[0])
    status = chance.choice(["completed", "completed", "failed", "timeout", "cancelled", "running", "pending"])
    row: dict[str, Any] = {
        "status": status,
        "name": f"span {numbers[0]}",
        "started_at": None if status == "pending" else start,
        "completed_at": None if status in ("running", "pending") else start + timedelta(seconds=chance.random() * 100),
        "agent_name": chance.choice(["", "Ada", "Grace"]),
    }
    if chance.random() < 0.9:
        trace = chance.randrange(3)
        parent = chance.choice([None, *(n for n in numbers[1:] if n % 3 == trace), 3 * chance.randrange(200) + trace])
        row |= span(3 * numbers[0] + trace, parent, trace=bytes([trace]) * 16)
    if kind != "tool" and chance.random() < 0.6:
        row |= {"input_tokens": chance.randrange(1000), "output_tokens": chance.choice([None, 7])}
        row |= {"cached_tokens": chance.choice([None, 3]), "reasoning_tokens": chance.choice([None, 2])}
    if kind == "execution":
        row |= {"agent_type": chance.choice(["agent", "chain"]), "model_name": chance.choice(["", "m1"])}
        row |= {"cost": chance.choice([None, Decimal("0.25")])}
    if kind == "modelcall":
        row["operation"] = chance.choice(["chat", "chat", "embeddings"])
        cost = chance.choice([None, Decimal("0.0000000001")])
        row |= {"cost": cost, "pricing": "no_usage" if cost is None else "computed"}
        if cost is None and chance.random() < 0.5:
            row |= {"pricing": "unknown_model", "reported_cost": chance.choice([None, Decimal(2)])}
    if kind == "tool":
        row["tool_name"] = chance.choice(["search", "browse"])
    return row


@pytest.mark.parametrize("seed", range(4))
def test_all_follows_whatever_is_written(seed: int, organization: Organization) -> None:
    """Batches of spans of all kinds in any order, changes and deletions, beside another organization's."""
    chance = random.Random(seed)
    number = 0
    used: list[int] = []
    for _ in range(12):
        for kind in chance.sample(list(TABLES), 3):
            rows = []
            for _ in range(chance.randrange(1, 6)):
                number += 1
                rows.append(random_row(kind, chance, [number, *used]))
                used.append(int.from_bytes(rows[-1].get("span_id", b""), "big"))
            insert(kind, organization, *rows)
    assert_all_follows()
    assert_each_is_linked()
    run("UPDATE agents_modelcall SET input_tokens = 11, pricing = 'unknown_model', cost = NULL WHERE random() < 0.3")
    ends = "status = 'failed', completed_at = started_at + interval '70 seconds'"
    run(f"UPDATE agents_toolexecution SET {ends} WHERE status = 'running'")
    run("UPDATE agents_modelcall SET started_at = started_at - interval '90 minutes' WHERE random() < 0.3")
    run("UPDATE agents_agentexecution SET agent_name = 'Edsger' WHERE agent_name = '' AND random() < 0.5")
    run("UPDATE agents_agentexecution SET status = 'running', started_at = %s WHERE status = 'pending'", NOON)
    assert_all_follows()
    run("DELETE FROM agents_toolexecution WHERE random() < 0.5")
    run("DELETE FROM agents_modelcall WHERE trace_id = %s", b"\1" * 16)
    assert_all_follows()
    for kind in ("tool", "modelcall", "execution"):
        run(f"DELETE FROM {TABLES[kind][0]}")
    assert not Trace.objects.exists()
    assert_all_follows()


TOTALS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


def usage_of(kind: str, row: Any) -> dict[str, Any]:
    """Return what a row adds to the sums."""
    if kind == "tool" or row.usage_below:
        return {**dict.fromkeys(TOTALS, 0), "cost": Decimal(0), "unpriced": 0}
    cost, unpriced = row.cost, 0
    if kind == "execution":
        unpriced = int(cost is None and bool(row.input_tokens or row.output_tokens))
    if kind == "modelcall" and cost is None:
        cost = row.reported_cost
        unpriced = int(row.pricing == "unknown_model" and cost is None)
    return {**{name: getattr(row, name) or 0 for name in TOTALS}, "cost": cost or Decimal(0), "unpriced": unpriced}


def add(sums: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        sums[name] += value


def assert_all_follows() -> None:
    """Fail unless links, marks, traces and statistics are what counting all rows gives."""
    rows = [(kind, row) for kind, model in MODELS.items() for row in model.objects.all()]
    assert_links_follow(rows)
    assert_traces_follow(rows)
    assert_statistics_follow(rows)


def assert_links_follow(rows: list[tuple[str, Any]]) -> None:
    marked = {row.pk for kind, row in rows if kind == "execution" and row.usage_below}
    calls = {(row.trace_id, row.span_id): row for kind, row in rows if kind == "modelcall" and row.span_id}
    parents = {row.pk: row.parent_execution_id for kind, row in rows if kind == "execution"}
    for kind, row in rows:
        reports = (
            row.input_tokens is not None or row.output_tokens is not None or row.cost is not None
            if kind != "tool"
            else False
        )
        if kind == "modelcall":
            reports = reports or row.reported_cost is not None or row.usage_below
            call = calls.get((row.trace_id, row.parent_span_id))
            if reports and call not in (None, row) and "embeddings" not in {row.operation, call.operation}:
                assert call.usage_below, f"{row.name} reports usage, which {call.name} around it doesn't know."
        around = getattr(row, LINKS[kind]) if reports else None
        seen = set()
        while around is not None and around not in seen:
            assert around in marked, f"{row.name} reports usage, which {around} doesn't know."
            seen.add(around)
            around = parents[around]


def assert_traces_follow(rows: list[tuple[str, Any]]) -> None:
    counted: dict[str, dict[str, Any]] = {}
    roots: dict[str, Any] = {}
    for kind, row in rows:
        if row.trace_id is None or row.started_at is None:
            continue
        end = row.completed_at or row.started_at
        sums = counted.setdefault(
            row.trace_id,
            defaultdict(Decimal, started_at=row.started_at, completed_at=end),  # type: ignore[arg-type]
        )
        sums["started_at"], sums["completed_at"] = (
            min(sums["started_at"], row.started_at),
            max(sums["completed_at"], end),
        )
        more = {"spans": 1, "model_calls": int(kind == "modelcall"), "tool_executions": int(kind == "tool")}
        add(sums, more | {"errors": int(row.status in ("failed", "timeout"))} | usage_of(kind, row))
        roots.setdefault(row.trace_id, []).append(((row.parent_span_id is not None, row.started_at), row))
    assert {trace.trace_id for trace in Trace.objects.all()} == set(counted)
    for trace in Trace.objects.all():
        assert {name: getattr(trace, name) for name in counted[trace.trace_id]} == counted[trace.trace_id]
        _, root = min(roots[trace.trace_id], key=lambda each: each[0])
        found = (trace.root_name, trace.root_status, trace.root_agent_name, trace.root_started_at, trace.has_root)
        assert found == (root.name, root.status, root.agent_name, root.started_at, root.parent_span_id is None)


def told_apart(kind: str, row: Any) -> dict[str, str]:
    """Return by what a row is counted."""
    if kind == "tool":
        return {"status": row.status, "agent": row.agent_name, "tool": row.tool_name}
    if kind == "modelcall":
        return {"status": row.status, "agent": row.agent_name, "model": row.model, "provider": row.provider}
    agent = row.agent_name if row.agent_type == "agent" else ""
    return {"status": row.status, "agent": agent, "model": row.model_name, "provider": row.model_provider}


def assert_statistics_follow(rows: list[tuple[str, Any]]) -> None:
    counted: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(lambda: defaultdict(Decimal))
    names = {"execution": "execution", "modelcall": "model_call", "tool": "tool_execution"}
    for kind, row in rows:
        if row.started_at is None:
            continue
        hour = row.started_at.replace(minute=0, second=0, microsecond=0)
        figures = {"count": 1, "failures": int(row.status in ("failed", "timeout")), "open": int(not row.completed_at)}
        if row.duration is not None:
            bucket = 1 if row.duration <= 1e-5 else 1 + math.ceil(math.log(row.duration * 1e5) / math.log(1.08))
            figures[f"bucket {bucket}"] = 1
        for dimension, value in told_apart(kind, row).items():
            for width, start in (("hour", hour), ("day", hour.replace(hour=0))):
                if value:
                    add(counted[names[kind], dimension, width, start, value], figures | usage_of(kind, row))
                elif dimension == "agent" and row.agent_name:  # a step of an agent's: what it consumed, but no count
                    add(counted[names[kind], dimension, width, start, row.agent_name], usage_of(kind, row))
    found = {}
    for each in SpanStatistic.objects.all():
        key = (each.kind, each.dimension, each.width, each.start, each.value)
        sums = {name: getattr(each, name) for name in (*TOTALS, "cost", "unpriced", "count", "failures", "open")}
        sums |= {f"bucket {bucket}": count for bucket, count in enumerate(each.durations, 1)}
        found[key] = {name: value for name, value in sums.items() if value}
    counted_up = {key: {name: value for name, value in sums.items() if value} for key, sums in counted.items()}
    assert {key: sums for key, sums in found.items() if sums} == {key: sums for key, sums in counted_up.items() if sums}
