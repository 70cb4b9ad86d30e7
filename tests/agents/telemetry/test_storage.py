"""Spans in storage: once each, linked whatever the order, priced, summed."""

import random
import time
from decimal import Decimal
from itertools import pairwise, permutations
from uuid import uuid4

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, AgentExecution, Feedback, ModelCall, Pricing, SpanStatistic, ToolExecution, Trace
from agents.telemetry import agents, storage
from agents.telemetry.spans import Evaluation, Span
from agents.telemetry.storage import store
from core.models import Organization
from tests.factories.agents import AgentFactory
from tests.factories.core import OrganizationFactory
from tests.kit.sql import run

from .recount import assert_kept

pytestmark = pytest.mark.django_db

TRACE = bytes(range(16))
UPDATES = "SELECT n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'agents_modelcall'"
SECOND = 10**9
BEGIN = 1_780_000_000 * SECOND


@pytest.fixture
def organization() -> Organization:
    return OrganizationFactory()


def span(number: int, parent: int | None, kind: str = "execution", **fields: object) -> Span:
    """Return a span of a second."""
    made = Span(
        kind,
        TRACE,
        number.to_bytes(8, "big"),
        None if parent is None else parent.to_bytes(8, "big"),
        f"span {number}",
        BEGIN + number * SECOND,
        BEGIN + (number + 1) * SECOND,
        agent_type="chain" if kind == "execution" else "",
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def call(number: int, parent: int | None, **fields: object) -> Span:
    usage = {"input_tokens": 1_000, "output_tokens": 500, "provider": "openai", "response_model": "gpt-4o-2024-08-06"}
    return span(number, parent, "model_call", **(usage | fields))


def story() -> list[Span]:
    """An agent, in it a chain, in that a tool that asks a model, and a call of the chain's own."""
    return [
        span(1, None, agent_type="agent", agent_name="Ada", input_tokens=2_000, output_tokens=1_000),
        span(2, 1),
        span(3, 2, "tool_execution", tool_name="search"),
        call(4, 3),
        call(5, 2),
    ]


def assert_story(organization: Organization) -> None:
    agent = AgentExecution.objects.get(name="span 1")
    chain = AgentExecution.objects.get(name="span 2")
    assert (agent.parent_execution, chain.parent_execution) == (None, agent)
    assert ToolExecution.objects.get().execution == chain
    assert set(ModelCall.objects.values_list("name", "execution__name")) == {("span 4", "span 2"), ("span 5", "span 2")}
    assert (agent.usage_below, chain.usage_below) == (True, True)
    for model in (AgentExecution, ModelCall, ToolExecution):
        assert set(model.objects.values_list("agent_name", flat=True)) == {"Ada"}
    trace = Trace.objects.get()
    assert (trace.root_name, trace.root_agent_name, trace.spans, trace.model_calls) == ("span 1", "Ada", 5, 2)
    # The agent repeats its calls' tokens; they count once.
    assert (trace.input_tokens, trace.output_tokens, trace.cost) == (2_000, 1_000, Decimal("0.015"))
    assert_kept()


@pytest.mark.parametrize("order", list(permutations(range(5)))[::7])
def test_links_are_right_whatever_the_order(organization: Organization, order: tuple[int, ...]) -> None:
    spans = story()
    for number in order:
        assert store(organization.pk, [spans[number]]) == 1
    assert_story(organization)


@pytest.mark.parametrize("cut", range(6))
def test_links_are_right_wherever_a_batch_ends(organization: Organization, cut: int) -> None:
    spans = story()[::-1]
    store(organization.pk, spans[:cut])
    store(organization.pk, spans[cut:])
    assert_story(organization)


def test_a_batch_sent_twice_is_stored_once(organization: Organization) -> None:
    assert store(organization.pk, story()) == 5
    assert store(organization.pk, story()) == 0
    assert store(organization.pk, [*story(), *story(), span(6, 1)]) == 1
    assert AgentExecution.objects.count() == 3
    assert_kept()


def test_a_part_sent_again_with_more_is_linked_to_what_stands(organization: Organization) -> None:
    store(organization.pk, story()[:2])
    store(organization.pk, story())
    assert_story(organization)


def test_the_same_ids_are_other_spans_in_another_organization(organization: Organization) -> None:
    other = OrganizationFactory()
    store(organization.pk, story())
    store(other.pk, story())
    assert Trace.objects.count() == 2
    for each in (organization, other):
        links = ModelCall.objects.filter(organization=each).values_list("execution__organization", flat=True)
        assert set(links) == {each.pk}
    assert_kept()


def test_a_ring_of_parents_is_stored_and_ends(organization: Organization) -> None:
    store(organization.pk, [span(1, 2), span(2, 3), span(3, 1), call(4, 3)])
    assert AgentExecution.objects.count() == 3
    assert_kept()


def test_a_parent_that_never_comes(organization: Organization) -> None:
    store(organization.pk, [span(2, 1, agent_name="Ada"), call(3, 2)])
    assert AgentExecution.objects.get().parent_execution is None
    assert Trace.objects.get().root_name == "span 2"
    assert not Trace.objects.get().has_root


def test_a_trace_of_30_000_spans_whose_root_comes_last(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [call(number, 1) for number in range(2, 30_001)]
    random.Random(1).shuffle(spans)
    monkeypatch.setattr(storage, "_stored", 0)  # other tests' spans, which are gone, count in it
    for start in range(0, len(spans), 2_000):
        store(organization.pk, spans[start : start + 2_000])
        storage.analyze_if_grown()  # as at the end of each request
    store(organization.pk, [span(1, None, agent_type="agent", agent_name="Ada")])
    root = AgentExecution.objects.get()
    assert ModelCall.objects.filter(execution=root, agent_name="Ada").count() == 29_999
    assert root.usage_below
    assert_kept()


@pytest.mark.parametrize("order", [None, *permutations(range(4))])
def test_what_a_tool_says_of_tokens_takes_nothing_from_its_agent(
    organization: Organization, order: tuple[int, ...] | None
) -> None:
    """In one request (None) or in many: a tool's row has no tokens, so they are no usage below the agent."""
    told = {"input_tokens": 700, "output_tokens": 70, "reported_cost": Decimal("0.01")}
    spans = [
        span(1, None, agent_type="agent", agent_name="Ada"),
        span(2, 1, **told),
        span(3, 2, "tool_execution", tool_name="ask", **told),
        span(4, 3),
    ]
    for batch in [spans] if order is None else [[spans[number]] for number in order]:
        store(organization.pk, batch)
    below = dict(AgentExecution.objects.values_list("name", "usage_below"))
    assert below == {"span 1": True, "span 2": False, "span 4": False}
    trace = Trace.objects.get()
    assert (trace.input_tokens, trace.output_tokens, trace.cost) == (700, 70, Decimal("0.01"))
    assert_kept()


def judgement(name: str) -> list[Evaluation]:
    return [Evaluation(name, 0.8, "good", "why")]


@pytest.mark.parametrize("order", [None, *permutations(range(4))])
def test_evaluations_are_feedback_on_the_execution_around_whatever_comes_first(
    organization: Organization, order: tuple[int, ...] | None
) -> None:
    """In one request (None) or in many, each sent twice."""
    spans = [
        span(1, None, agent_type="agent", agent_name="Ada", evaluations=judgement("whole")),
        span(2, 1, "tool_execution", tool_name="ask"),
        call(3, 2, evaluations=judgement("call")),
        span(4, 1, "tool_execution", tool_name="search", evaluations=judgement("tool")),
    ]
    for batch in [spans] if order is None else [[spans[number]] for number in order]:
        store(organization.pk, batch)
        store(organization.pk, batch)
    found = Feedback.objects.order_by("category").values_list("execution__name", "category", "comment")
    assert list(found) == [("span 1", name, "good (0.8): why") for name in ("call", "tool", "whole")]


def test_what_a_client_calls_evaluations_is_no_feedback(organization: Organization) -> None:
    theirs: list[object] = [7, "good", [1], {"name": "x"}, {"name": 1, "score": 1, "label": "", "explanation": ""}]
    for number, value in enumerate([*theirs, theirs], 2):
        store(organization.pk, [call(number, 1, attributes=orjson.dumps({"evaluations": value}))])
    store(organization.pk, [span(1, None)])
    assert ModelCall.objects.filter(execution__name="span 1").count() == 6
    assert not Feedback.objects.exists()


def test_an_agent_joins_the_roster_when_first_named(organization: Organization) -> None:
    store(organization.pk, story())
    agent = Agent.objects.get(name="Ada")
    assert AgentExecution.objects.get(agent_type="agent").agent == agent
    assert not AgentExecution.objects.exclude(agent_type="agent").filter(agent__isnull=False).exists()


def test_another_organization_s_work_is_no_work_of_ours(organization: Organization) -> None:
    store(organization.pk, [span(1, None, task_run_id=uuid4(), squad_id=uuid4(), agent_id=uuid4())])
    execution = AgentExecution.objects.get()
    assert (execution.task_run, execution.squad, execution.agent) == (None, None, None)


def test_an_agent_that_is_told_by_its_id_is_not_made_by_a_name(organization: Organization) -> None:
    ada = AgentFactory(organization=organization, name="Ada")
    spans = [
        span(1, None, agent_type="agent", agent_id=ada.pk),
        span(2, None, agent_type="agent", agent_id=ada.pk, agent_name="Countess"),
        span(3, None, agent_type="agent", agent_id=AgentFactory().pk),
        call(4, 1),
    ]
    store(organization.pk, spans)
    rows = AgentExecution.objects.order_by("started_at")
    assert list(rows.values_list("agent__name", "agent_name")) == [
        ("Ada", "Ada"),
        ("Ada", "Countess"),
        ("span 3", "span 3"),
    ]
    assert ModelCall.objects.get().agent_name == "Ada"
    assert set(Agent.objects.filter(organization=organization).values_list("name", flat=True)) == {"Ada", "span 3"}


def test_agents_that_report_are_seen_to_the_minute(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    by_id = AgentFactory(organization=organization, name="Grace")

    def seen(*spans: Span) -> list[float | None]:
        store(organization.pk, spans)
        found = Agent.objects.for_organization(organization).order_by("name").values_list("last_seen_at", flat=True)
        return [at and at.timestamp() - BEGIN / SECOND for at in found]

    assert seen(span(1, None, agent_type="agent", agent_name="Ada"), span(2, None, agent_name="Grace")) == [2, None]
    later = [span(7, None, agent_type="agent", agent_name="Ada"), span(8, None, agent_type="agent", agent_id=by_id.pk)]
    assert seen(*later) == [2, 9], "Ada was seen less than a minute ago."
    monkeypatch.setattr(agents, "REMEMBERED", 0)
    assert seen(span(5, None, agent_type="agent", agent_name="Ada")) == [6, 9]
    assert seen(span(3, None, agent_type="agent", agent_name="Ada")) == [6, 9], "What ended before says nothing new."
    ahead = time.time_ns() + 3_600 * SECOND
    seen(span(9, None, agent_type="agent", agent_name="Ada", started_ns=ahead, ended_ns=ahead))
    assert Agent.objects.get(name="Ada").last_seen_at <= timezone.now()


def test_unknown_models_have_no_cost_and_say_so(organization: Organization) -> None:
    store(
        organization.pk,
        [
            call(1, None, response_model="nobody-s-model"),
            call(2, None, input_tokens=None, output_tokens=None),
            call(3, None, response_model="nobody-s-model", reported_cost=Decimal("0.25")),
        ],
    )
    stored = {made.name: (made.cost, made.pricing) for made in ModelCall.objects.all()}
    assert stored["span 1"] == (None, Pricing.UNKNOWN_MODEL)
    assert stored["span 2"] == (None, Pricing.NO_USAGE)
    trace = Trace.objects.get()
    assert (trace.unpriced, trace.cost) == (1, Decimal("0.25"))
    assert_kept()


ALONE = {
    "input_tokens": 100_000,
    "output_tokens": 20_000,
    "provider": "anthropic",
    "response_model": "claude-sonnet-4-5",
}


def test_usage_of_an_agent_alone_is_unpriced(organization: Organization) -> None:
    silent = span(1, None, agent_type="agent", agent_name="Ada", **ALONE)
    told = span(2, None, agent_type="agent", agent_name="Grace", reported_cost=Decimal("0.6"), **ALONE)
    unused = span(3, None, agent_type="agent", agent_name="Edsger", input_tokens=0, output_tokens=0)
    store(organization.pk, [silent, told, unused])
    assert AgentExecution.objects.get(name="span 1").cost is None
    trace = Trace.objects.get()
    assert (trace.input_tokens, trace.cost, trace.unpriced) == (200_000, Decimal("0.6"), 1)
    AgentExecution.objects.filter(name="span 1").update(cost=Decimal("0.5"))
    assert (Trace.objects.get().cost, Trace.objects.get().unpriced) == (Decimal("1.1"), 0)
    assert_kept()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_usage_that_is_told_again_inside_is_priced_there(organization: Organization, order: tuple[int, ...]) -> None:
    spans = [span(1, None, agent_type="agent", agent_name="Ada", **ALONE), span(2, 1, **ALONE), call(3, 2)]
    for number in order:
        store(organization.pk, [spans[number]])
    trace = Trace.objects.get()
    assert (trace.input_tokens, trace.cost, trace.unpriced) == (1_000, Decimal("0.0075"), 0)
    assert_kept()


@pytest.mark.parametrize("cuts", [(0, 1, 2, 3), (3,), (2, 3), (1, 3)])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_call_that_its_framework_reports_too_counts_once(
    organization: Organization, order: tuple[int, ...], cuts: tuple[int, ...]
) -> None:
    spans = [span(1, None, agent_type="agent", agent_name="Ada"), call(2, 1), call(3, 2)]
    shuffled = [spans[number] for number in order]
    for start, end in pairwise((0, *cuts)):
        store(organization.pk, shuffled[start:end])
    trace = Trace.objects.get()
    assert (trace.model_calls, trace.input_tokens, trace.cost) == (2, 1_000, Decimal("0.0075"))
    assert ModelCall.objects.get(usage_below=True).name == "span 2"
    assert_kept()


def test_what_comes_together_is_written_once(organization: Organization) -> None:
    nested = [span(1, None, agent_type="agent", agent_name="Ada"), call(2, 1), call(3, 2), call(4, 3)]
    before = run(UPDATES)
    store(organization.pk, nested)
    assert ModelCall.objects.filter(usage_below=True).count() == 2
    assert run(UPDATES) == before


def test_what_changes_and_goes_is_counted_again(organization: Organization) -> None:
    store(organization.pk, story())
    ModelCall.objects.filter(name="span 5").update(input_tokens=7, cost=Decimal("0.0001"))
    assert_kept()
    assert Trace.objects.get().input_tokens == 1_007
    ModelCall.objects.filter(name="span 5").delete()
    assert_kept()
    assert Trace.objects.get().spans == 4
    AgentExecution.objects.filter(name="span 1").delete()
    assert_kept()
    assert not Trace.objects.exists()
    assert not SpanStatistic.objects.exclude(count=0).exists()


def test_tables_that_grew_are_analyzed_once_and_later(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def analyses() -> int:
        return sum("ANALYZE" in query["sql"] for query in queries)

    monkeypatch.setattr(storage, "YOUNG", (storage._stored + 1,))
    with CaptureQueriesContext(connection) as queries:
        store(organization.pk, story())
        assert analyses() == 0
        storage.analyze_if_grown()
        assert analyses() == 1
        storage.analyze_if_grown()
        assert analyses() == 1
