"""Statistics over HTTP, held against a count in plain Python, and the commands that check and reprice."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import AgentExecution, ModelCall, SpanStatistic, Trace
from agents.services import recounts, statistics
from core.models import Organization
from tests.agents.counting import (
    ADDRESSES,
    CALL,
    END,
    EXECUTIONS,
    MODEL_CALLS,
    START,
    TOOL_EXECUTIONS,
    WHEN,
    Counted,
    compare,
    day,
    hour,
    run,
    used_with,
)
from tests.factories.agents import ModelCallFactory
from tests.kit.cast import Actor
from tests.kit.spans import NOON, agent, call, step, stored, tool

pytestmark = pytest.mark.django_db

# --- Groups ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ADDRESSES)
def test_groups_are_what_counting_says(kind: str, counted: Counted, viewer: Actor) -> None:
    def ask(group_by: str) -> Any:
        return viewer.by_key.get(ADDRESSES[kind], {**WHEN, "group_by": group_by})

    compare(ask("agent"), counted.groups(kind, counted.agent_of, used_with(kind)))
    compare(ask("day"), counted.groups(kind, day, used_with(kind)))
    compare(ask("hour"), counted.groups(kind, hour, used_with(kind)))
    compare(ask("status"), counted.groups(kind, lambda each: each.status))
    compare(viewer.by_key.get(ADDRESSES[kind], WHEN), counted.groups(kind, lambda each: None, used_with(kind)))


def test_calls_by_model_and_provider_and_tools_by_name(counted: Counted, viewer: Actor) -> None:
    def ask(address: str, group_by: str) -> Any:
        return viewer.by_key.get(address, {**WHEN, "group_by": group_by})

    compare(ask(MODEL_CALLS, "model"), counted.groups("model_call", lambda each: each.request_model))
    compare(ask(MODEL_CALLS, "provider"), counted.groups("model_call", lambda each: each.provider))
    compare(ask(TOOL_EXECUTIONS, "tool"), counted.groups("tool_execution", lambda each: each.tool_name))


def test_groups_by_time_come_in_order_and_others_by_count(counted: Counted, viewer: Actor) -> None:
    days = [group["value"] for group in viewer.by_key.get(EXECUTIONS, {**WHEN, "group_by": "day"}).json()["groups"]]
    assert days == sorted(days)
    agents = viewer.by_key.get(EXECUTIONS, {**WHEN, "group_by": "agent"}).json()["groups"]
    assert [each["count"] for each in agents] == sorted((each["count"] for each in agents), reverse=True)


@pytest.mark.parametrize("hours", [(0, 24), (1, 24), (0, 23), (3, 9), (5, 100), (23, 25), (20, 52)])
def test_any_whole_hours_can_be_asked_for(hours: tuple[int, int], organization: Organization, viewer: Actor) -> None:
    midnight = NOON.replace(hour=0)
    stored(organization, [tool(1, trace=n + 1, at=midnight + timedelta(hours=n, minutes=59)) for n in range(120)])
    when = [(midnight + timedelta(hours=each)).isoformat() for each in hours]
    [group] = viewer.by_key.get(TOOL_EXECUTIONS, {"start": when[0], "end": when[1]}).json()["groups"]
    assert group["count"] == hours[1] - hours[0]


def test_sums_are_read_in_one_query_of_few_rows(counted: Counted, viewer: Actor) -> None:
    viewer.by_key.get(EXECUTIONS, WHEN)
    with CaptureQueriesContext(connection) as queries:
        viewer.by_key.get(EXECUTIONS, {**WHEN, "group_by": "agent"})
    assert len([query for query in queries if "agents_" in query["sql"]]) == 1
    parts = list(statistics.parts_of(START, END))
    assert [width for width, _, _ in parts] == ["hour", "day", "hour"]
    assert (parts[0][1], parts[-1][2]) == (START, END)
    assert all(one[2] == following[1] for one, following in pairwise(parts))


def test_a_span_is_counted_at_once_in_the_present_period(organization: Organization, viewer: Actor) -> None:
    for period in ("1h", "24h", "1d", "7d", "90d"):
        before = viewer.by_key.get(EXECUTIONS, {"period": period}).json()["groups"][0]["count"]
        number = AgentExecution.objects.count() + 1
        stored(organization, [agent(1, trace=number, at=datetime.now(tz=UTC), after=-0.001, seconds=0.001)])
        answer = viewer.by_key.get(EXECUTIONS, {"period": period}).json()
        assert answer["groups"][0]["count"] == before + 1
        length = datetime.fromisoformat(answer["end"]) - datetime.fromisoformat(answer["start"])
        assert length == timedelta(**{{"h": "hours", "d": "days"}[period[-1]]: int(period[:-1])})


def test_what_changes_or_goes_moves_the_figures(organization: Organization, viewer: Actor) -> None:
    stored(organization, [agent(1), tool(3, 1)])
    around = AgentExecution.objects.get()
    ModelCallFactory(organization=organization, execution=around, status="running", started_at=NOON, completed_at=None)
    ModelCall.objects.update(status="failed", completed_at=NOON)
    [group] = viewer.by_key.get(MODEL_CALLS, WHEN).json()["groups"]
    assert (group["failures"], group["success_rate"]) == (1, 0.0)
    AgentExecution.objects.all().delete()
    [group] = viewer.by_key.get(MODEL_CALLS, WHEN).json()["groups"]
    assert (group["count"], group["cost"], group["duration"]["p50"]) == (0, "0.0000000000", None)
    assert viewer.by_key.get(MODEL_CALLS, {**WHEN, "group_by": "model"}).json()["groups"] == []
    assert list(recounts.differences(organization.pk)) == []


def test_what_a_step_alone_reports_counts_for_its_agent(organization: Organization, viewer: Actor) -> None:
    stored(organization, [agent(1, input_tokens=70), step(2, 1, input_tokens=70), step(3, 1)])
    [group] = viewer.by_key.get(EXECUTIONS, {**WHEN, "group_by": "agent"}).json()["groups"]
    assert (group["value"], group["count"], group["input_tokens"]) == ("planner", 1, 70)
    assert list(recounts.differences(organization.pk)) == []


@pytest.mark.parametrize("seconds", [0, 1e-6, 2e-6, 0.000123, 0.01, 1, 59.999999, 7_200, 90_000])
def test_percentiles_are_within_four_percent_of_any_duration(
    seconds: float, organization: Organization, viewer: Actor
) -> None:
    stored(organization, [tool(1, seconds=seconds)])
    [group] = viewer.by_key.get(TOOL_EXECUTIONS, WHEN).json()["groups"]
    assert group["duration"]["p50"] == pytest.approx(seconds, rel=0.04, abs=1e-5)


def test_check_spans_finds_nothing_where_only_spans_were_written(counted: Counted) -> None:
    assert "are right" in run("check_spans")


def test_check_spans_finds_and_mends_what_was_written_past_the_triggers(
    counted: Counted, organization: Organization
) -> None:
    before = [list(model.objects.order_by("pk").values()) for model in (Trace, SpanStatistic)]
    changed, gone, _ = Trace.objects.filter(organization=organization).order_by("pk")[:3]
    Trace.objects.filter(pk=changed.pk).update(cost=5, errors=77)
    Trace.objects.filter(pk=gone.pk).delete()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE agents_spanstatistic SET durations[7] = durations[7] + 1 WHERE dimension = 'tool'")
    output = StringIO()
    with pytest.raises(CommandError, match="rows are wrong"):
        call_command("check_spans", stdout=output)
    assert f"trace {changed.trace_id}: cost is 5, counted" in output.getvalue()
    assert f"trace {gone.trace_id}: is missing" in output.getvalue()
    assert "statistic tool_execution tool" in output.getvalue()
    assert "mended" in run("check_spans", "--mend")
    assert "are right" in run("check_spans")
    for model, rows in zip((Trace, SpanStatistic), before, strict=True):
        own = ("id",)
        now = [{name: row[name] for name in row if name not in own} for row in model.objects.values()]
        then = [{name: row[name] for name in row if name not in own} for row in rows]
        assert sorted(map(str, now)) == sorted(map(str, then))


def test_reprice_computes_costs_anew_and_the_sums_follow(organization: Organization, viewer: Actor) -> None:
    stored(
        organization,
        [
            agent(1),
            call(2, 1),
            call(3, 1, request_model="unheard-of"),
            call(4, 1, input_tokens=None, output_tokens=None),
        ],
    )
    stored(organization, [call(1, trace=2, at=NOON - timedelta(days=9))])
    ModelCall.objects.filter(pricing="computed").update(cost=None, pricing="unknown_model")
    assert Trace.objects.get(trace_id=(1).to_bytes(16)).unpriced == 2
    with CaptureQueriesContext(connection) as queries:
        assert "1 of 3 model calls" in run("reprice", "--since", "2026-03-04")
    reads = [
        query["sql"] for query in queries if query["sql"].startswith("SELECT") and "agents_modelcall" in query["sql"]
    ]
    assert reads
    assert all("FOR NO KEY UPDATE" in read for read in reads), "Usage that is told meanwhile would be priced as before."
    trace = Trace.objects.get(trace_id=(1).to_bytes(16))
    assert (trace.cost, trace.unpriced) == (CALL, 1)
    [group] = viewer.by_key.get(MODEL_CALLS, {"start": "2026-03-04T00:00:00Z", "end": "2026-03-05T00:00:00Z"}).json()[
        "groups"
    ]
    assert (Decimal(group["cost"]), group["unpriced"]) == (CALL, 1)
    assert Trace.objects.get(trace_id=(2).to_bytes(16)).cost == 0
    assert "0 of 3" in run("reprice", "--since", "2026-03-04T00:00:00Z")
    assert "1 of 4" in run("reprice", "--since", "2026-01-01")
    with pytest.raises(CommandError, match="is no time"):
        run("reprice", "--since", "yesterday")
    assert list(recounts.differences(organization.pk)) == []


def test_a_span_that_goes_on_has_no_rate_and_no_duration(organization: Organization, viewer: Actor) -> None:
    AgentExecution.objects.create(organization=organization, name="on", status="running", started_at=NOON)
    [group] = viewer.by_key.get(EXECUTIONS, WHEN).json()["groups"]
    assert (group["count"], group["open"], group["success_rate"]) == (1, 1, None)
    assert group["duration"] == {"p50": None, "p95": None, "p99": None}
