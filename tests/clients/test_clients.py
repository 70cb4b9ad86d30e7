"""Agent frameworks with their real instrumentations report to a real server: what they sent is what is stored."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agents.models import TaskRun, Trace
from core.models import Scope
from tests.clients import fake_model
from tests.clients.examples import CASES, FRAMEWORKS, OPTIONS, PAGE, Run, install, program, run, spans_of
from tests.clients.record import RECORDED
from tests.clients.stories import KINDS, STORIES, Row, Stored, tree
from tests.factories.agents.work import TaskRunFactory
from tests.factories.core import APIKeyFactory
from tests.kit.cast import Actor
from tests.kit.server import serving

Identity = tuple[str, str, str, str, datetime, datetime]

QUESTION = "Where is my order 1042?"

REPORTS_THE_QUESTION = {"langchain", "pydantic-ai"}
"""Whose instrumentation says what the whole run was asked, and not only its model calls."""

COUNTS_CACHED_TOKENS = set(FRAMEWORKS) - {"openai-v2"}
"""Whose instrumentation reports cached and reasoning tokens."""


@pytest.fixture(scope="session")
def _installed() -> None:
    install()


@pytest.fixture
def task_run(teammate: Actor) -> TaskRun:
    return TaskRunFactory(organization=teammate.organization)


@pytest.fixture
def runs(framework: str, teammate: Actor, task_run: TaskRun, tmp_path: Path, _installed: None) -> dict[str, Run]:
    """The framework's example in all its cases, reported to a server, which has ended since."""
    key = APIKeyFactory(organization=teammate.organization, user=teammate.user, scopes=[Scope.TELEMETRY_WRITE])
    ran = {}
    with fake_model.fake_model() as model, serving(tmp_path / "server") as server:
        for case, path in CASES.items():
            folder = tmp_path / f"example{case}"
            folder.mkdir()
            ran[case] = run(
                framework,
                folder,
                muster=server.url(""),
                key=key.text,
                model=model + path,
                OTEL_RESOURCE_ATTRIBUTES=f"muster.task_run.id={task_run.pk}",
            )
    return ran


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_an_example_sends_arrives_whole(
    framework: str, runs: dict[str, Run], teammate: Actor, task_run: TaskRun
) -> None:
    for case, ran in runs.items():
        assert ran.outsiders == []
        assert "Failed to export" not in ran.errors, ran.errors
        assert_ended_as(framework, case, ran)
        assert shape(ran.spans) == shape(recorded(framework, case)), (
            "It reports otherwise than recorded: see record.py."
        )

        [trace_id] = {span["traceId"] for span in ran.spans}
        stored = Stored(trace_id)
        assert sorted(map(stored_identity, stored.rows)) == sorted(map(sent_identity, ran.spans))
        assert tree(stored) == STORIES[framework + case].strip("\n")
        assert {execution.task_run_id for execution in stored.executions} == {task_run.pk}
        if framework in REPORTS_THE_QUESTION:
            assert QUESTION in json.dumps(stored.executions[0].input)
        assert_calls_are_right(framework, case, stored)
        assert_tools_are_right(framework, case, stored)
        assert_trace_adds_up(stored)

    assert sum(kind.objects.count() for kind in KINDS) == sum(len(ran.spans) for ran in runs.values())
    assert {row.organization_id for kind in KINDS for row in kind.objects.all()} == {teammate.organization.pk}


def assert_ended_as(framework: str, case: str, ran: Run) -> None:
    """The program itself did what its story says; openai-agents lets its model answer for a tool that failed."""
    if not case:
        assert (ran.code, ran.output, ran.errors) == (0, fake_model.ANSWER + "\n", "")
    elif case == "-failed-tool" and framework == "openai-agents":
        assert (ran.code, ran.output) == (0, fake_model.APOLOGY + "\n")
    else:
        assert (ran.code, ran.output) == (1, "")
        assert ("KeyError: '9999'" if case == "-failed-tool" else fake_model.RATE_LIMIT_MESSAGE) in ran.errors


def assert_calls_are_right(framework: str, case: str, stored: Stored) -> None:
    if case == "-failed-call":
        [call] = stored.calls
        assert fake_model.RATE_LIMIT_MESSAGE in call.error_message
        assert (call.input_tokens, call.output_tokens, call.cost) == (None, None, None)
        return
    usages = (fake_model.ASKING_USAGE, fake_model.ANSWERING_USAGE)
    sayings = (fake_model.TOOL, fake_model.APOLOGY if case else fake_model.ANSWER)
    for call, usage, said in zip(stored.calls, usages, sayings, strict=False):  # a failed tool may end the run
        assert (call.provider, call.model) == ("openai", fake_model.SERVED_MODEL)
        assert (call.input_tokens, call.output_tokens) == (usage.input, usage.output)
        details = (usage.cached, usage.reasoning) if framework in COUNTS_CACHED_TOKENS else (None, None)
        assert (call.cached_tokens, call.reasoning_tokens) == details
        assert call.cost == cost(usage, cached=framework in COUNTS_CACHED_TOKENS)
        assert call.reported_cost == (call.cost if framework == "pydantic-ai" else None)
        assert QUESTION in json.dumps(call.input_messages)
        assert said in json.dumps(call.output_messages)


def cost(usage: fake_model.Usage, *, cached: bool) -> Decimal:
    """Return what the call cost at the prices of GPT-5 mini: 0.25, cached 0.025, output 2 dollars a million."""
    at_discount = usage.cached if cached else 0
    paid = (usage.input - at_discount) * Decimal("0.25") + at_discount * Decimal("0.025") + usage.output * 2
    return paid / 1_000_000


def assert_tools_are_right(framework: str, case: str, stored: Stored) -> None:
    asked = fake_model.UNKNOWN_ORDER if case else fake_model.KNOWN_ORDER
    for tool in stored.tools:
        assert tool.tool_name == fake_model.TOOL
        assert tool.input == (asked["order_id"] if framework == "langchain" else asked)
        assert tool.call_id == (fake_model.CALL_ID if framework in {"pydantic-ai", "openai-v2"} else "")
        if not case:
            assert "shipped on Monday, arrives tomorrow" in json.dumps(tool.output)
        elif framework == "openai-agents":
            assert "Error running tool" in tool.error_message
        else:
            assert tool.error_type == "KeyError"
            assert "9999" in tool.error_message


def assert_trace_adds_up(stored: Stored) -> None:
    """The trace's sums count each model call once, though Pydantic AI's agent repeats its calls' totals."""
    trace = Trace.objects.get(trace_id=stored.trace_id)
    assert trace.has_root
    assert trace.root_name == stored.executions[0].name
    assert trace.spans == len(stored.rows)
    assert (trace.model_calls, trace.tool_executions) == (len(stored.calls), len(stored.tools))
    assert trace.input_tokens == sum(call.input_tokens or 0 for call in stored.calls)
    assert trace.output_tokens == sum(call.output_tokens or 0 for call in stored.calls)
    assert trace.cost == sum(call.cost or 0 for call in stored.calls)
    assert trace.errors == len([row for row in stored.rows if row.status == "failed"])


def sent_identity(span: dict[str, Any]) -> Identity:
    """Return what of a span no mapping may change: trace, id, parent, name, start and end."""
    start, end = moment(span["startTimeUnixNano"]), moment(span["endTimeUnixNano"])
    return span["traceId"], span["spanId"], span.get("parentSpanId", ""), span["name"], start, end


def stored_identity(row: Row) -> Identity:
    return row.trace_id, row.span_id, row.parent_span_id or "", row.name, row.started_at, row.completed_at


def moment(nanoseconds: str) -> datetime:
    """Return the time in the database's microseconds, the rest cut off."""
    seconds, rest = divmod(int(nanoseconds) // 1000, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def recorded(framework: str, case: str) -> list[dict[str, Any]]:
    return spans_of(json.loads((RECORDED / f"{framework}{case}.json").read_text()))


def shape(spans: list[dict[str, Any]]) -> list[tuple[str, list[str], list[str]]]:
    """Return the spans' names, attributes' names and events' names: what a new version of a framework may change."""
    return sorted(
        (
            span["name"],
            sorted(attribute["key"] for attribute in span.get("attributes", [])),
            sorted(event["name"] for event in span.get("events", [])),
        )
        for span in spans
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_set_up_takes_under_ten_lines(framework: str) -> None:
    lines = program(framework).splitlines()
    end = next(number for number, line in enumerate(lines) if "instrument" in line and "import" not in line)
    of_the_agent = ("import json", "from agents ", "from langchain.", "from openai ")
    assert len([line for line in lines[: end + 1] if line and not line.startswith(of_the_agent)]) < 10


def test_page_names_the_options_that_examples_run_with() -> None:
    page = PAGE.read_text()
    for options in OPTIONS.values():
        assert all(f"`{name}={value}`" in page for name, value in options.items())
