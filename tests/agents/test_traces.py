"""Traces over HTTP: the list, one, and its spans as a tree of any shape."""

import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import AgentExecution, Trace
from agents.services import traces
from core.models import Organization
from tests.factories.agents import SquadFactory, TaskRunFactory
from tests.kit.cast import Actor
from tests.kit.spans import NOON, agent, call, span_id, step, stored, tool, trace_id

pytestmark = pytest.mark.django_db

TRACES = "/api/v1/traces/"
FIRST = f"{TRACES}{trace_id(1).hex()}/"
SPANS = f"{FIRST}spans/"


def listed(actor: Actor, **question: Any) -> list[int]:
    """Return the numbers of the traces that the list answers."""
    answer = actor.by_key.get(TRACES, question)
    assert answer.status_code == 200, answer.json()
    return [int(row["trace_id"], 16) for row in answer.json()["results"]]


def tree(actor: Actor, **question: Any) -> list[tuple[int, int]]:
    """Return number and depth of each span that the tree answers, leafing through its pages forwards."""
    found, address = [], SPANS
    while address:
        answer = actor.by_key.get(address, question)
        assert answer.status_code == 200, answer.json()
        found += [(int(row["span_id"], 16), row["depth"]) for row in answer.json()["results"]]
        address, question = answer.json()["next"], {}
    return found


# --- The list and one ----------------------------------------------------------------------------------


def test_a_trace_is_told_as_a_whole(organization: Organization, viewer: Actor) -> None:
    stored(
        organization,
        [
            agent(1, name="invoke_agent planner", seconds=9, session_id="s1", input_tokens=1_000),
            call(2, 1, after=1),
            call(3, 1, after=2, request_model="unheard-of", status="failed"),
            tool(4, 1, after=3),
        ],
    )
    answer = viewer.by_key.get(FIRST)
    told = answer.json()
    assert (
        told.items()
        >= {
            "trace_id": trace_id(1).hex(),
            "root_name": "invoke_agent planner",
            "root_agent_name": "planner",
            "root_status": "completed",
            "has_root": True,
            "session_id": "s1",
            "duration": 9.0,
            "spans": 4,
            "model_calls": 2,
            "tool_executions": 1,
            "errors": 1,
            "input_tokens": 2_000,
            "output_tokens": 200,
            "cost": "0.0035000000",
            "unpriced": 1,
        }.items()
    )
    assert viewer.by_key.get(f"{TRACES}{told['id']}/").json() == told
    assert viewer.by_key.get(f"{TRACES}{trace_id(1).hex().upper()}/").json() == told
    assert viewer.by_key.get(TRACES).json()["results"] == [told]
    assert viewer.by_key.get(FIRST, {"fields": "cost"}).json() == {"cost": "0.0035000000"}


def test_traces_come_newest_first_and_ties_have_a_place(organization: Organization, viewer: Actor) -> None:
    stored(organization, [agent(1, trace=n, after=n // 4) for n in range(1, 30)])
    expected = [
        int(str(trace.trace_id), 16) for trace in sorted(Trace.objects.all(), key=lambda t: (t.started_at, t.pk))[::-1]
    ]
    found, address = [], f"{TRACES}?limit=3"
    pages = []
    while address:
        page = viewer.by_key.get(address).json()
        pages.append(page)
        found += [int(row["trace_id"], 16) for row in page["results"]]
        address = page["next"]
    assert found == expected
    assert viewer.by_key.get(pages[5]["previous"]).json()["results"] == pages[4]["results"]


def test_filters(organization: Organization, viewer: Actor) -> None:
    run, squad = TaskRunFactory(organization=organization), SquadFactory(organization=organization)
    stored(
        organization,
        [
            agent(1, trace=1, seconds=100, session_id="s1", task_run_id=run.pk),
            agent(1, trace=2, status="failed", squad_id=squad.pk, after=60),
            agent(1, trace=3, agent_name="coder", after=3_600),
            call(2, 1, trace=3, after=3_600, input_tokens=1_000_000),
            tool(3, 1, trace=3, after=3_600, status="timeout"),
        ],
    )
    assert listed(viewer) == [3, 2, 1]
    assert listed(viewer, status="failed") == [2]
    assert listed(viewer, status="failed,completed") == [3, 2, 1]
    assert listed(viewer, agent="coder") == [3]
    assert listed(viewer, session_id="s1") == [1]
    assert listed(viewer, has_errors="true") == [3, 2]
    assert listed(viewer, has_errors="false") == [1]
    assert listed(viewer, task_run=str(run.pk)) == [1]
    assert listed(viewer, squad=str(squad.pk)) == [2]
    assert listed(viewer, cost_min="1") == [3]
    assert listed(viewer, cost_max="1") == [2, 1]
    assert listed(viewer, duration_min="50") == [1]
    assert listed(viewer, duration_max="50") == [3, 2]
    assert listed(viewer, started_at_after=(NOON + timedelta(minutes=1)).isoformat()) == [3, 2]
    assert listed(viewer, started_at_before=(NOON + timedelta(minutes=1)).isoformat()) == [2, 1]
    assert listed(viewer, ordering="-cost")[0] == 3
    assert listed(viewer, ordering="-duration")[0] == 1
    assert viewer.by_key.get(TRACES, {"name": "x"}).status_code == 400


def test_traces_of_others_are_not_there(organization: Organization, stranger: Actor, customer: Actor) -> None:
    stored(organization, [agent(1), call(2, 1)])
    assert listed(stranger) == []
    record = f"{TRACES}{Trace.objects.get().pk}/"
    for address in (FIRST, SPANS, record, f"{record}spans/"):
        assert stranger.by_key.get(address).status_code == 404
        assert customer.client.get(address).status_code == 403


def test_the_same_trace_id_in_two_organizations_is_two_traces(
    organization: Organization, other_organization: Organization, viewer: Actor, stranger: Actor
) -> None:
    stored(organization, [agent(1), call(2, 1)])
    stored(other_organization, [agent(7)])
    assert [number for number, _ in tree(viewer)] == [1, 2]
    assert [number for number, _ in tree(stranger)] == [7]


@pytest.mark.parametrize("name", ["0" * 32, "f" * 31, "f" * 33, "g" * 32, "nonsense"])
def test_a_trace_that_is_not_there(name: str, viewer: Actor) -> None:
    assert viewer.by_key.get(f"{TRACES}{name}/").status_code == 404
    assert viewer.by_key.get(f"{TRACES}{name}/spans/").status_code == 404


# --- The tree ------------------------------------------------------------------------------------------


def test_spans_come_depth_first_by_start(organization: Organization, viewer: Actor) -> None:
    stored(
        organization,
        [
            tool(6, 4, after=3),
            call(5, 3, after=2.5),
            step(4, 1, after=2.9),
            step(3, 1, after=2),
            call(2, 1, after=1),
            agent(1, input_tokens=9),
        ],
    )
    assert tree(viewer) == [(1, 0), (2, 1), (3, 1), (5, 2), (4, 1), (6, 2)]
    rows = {int(row["span_id"], 16): row for row in viewer.by_key.get(SPANS).json()["results"]}
    root, model_call, use = rows[1], rows[2], rows[6]
    execution = AgentExecution.objects.get(span_id=span_id(1))
    assert (
        root.items()
        >= {
            "id": str(execution.pk),
            "kind": "execution",
            "type": "agent",
            "status": "completed",
            "parent_span_id": None,
            "spans_below": 5,
            "duration": 1.0,
            "input_tokens": 9,
            "counted": False,
        }.items()
    )
    assert (
        model_call.items()
        >= {
            "kind": "model_call",
            "type": "chat",
            "model": "gpt-4o",
            "parent_span_id": span_id(1).hex(),
            "execution": str(execution.pk),
            "input_tokens": 1_000,
            "cost": "0.0035000000",
            "counted": True,
        }.items()
    )
    assert use.items() >= {"kind": "tool_execution", "type": "search", "input_tokens": None, "cost": None}.items()


def test_pages_of_a_tree_join_whatever_their_length(organization: Organization, viewer: Actor) -> None:
    """Many spans begin at once, so that their order is by id."""
    chance = random.Random(1)
    spans = [agent(1)]
    for number in range(2, 60):
        kind = chance.choice([step, step, call, tool])
        spans.append(kind(number, chance.randrange(1, number), after=chance.randrange(3)))
    stored(organization, spans)
    whole = tree(viewer, limit=1_000)
    assert sorted(number for number, _ in whole) == list(range(1, 60))
    assert tree(viewer, limit=1) == tree(viewer, limit=7) == whole
    one = viewer.by_key.get(SPANS, {"limit": 7}).json()
    two = viewer.by_key.get(one["next"]).json()
    three = viewer.by_key.get(two["next"]).json()
    assert viewer.by_key.get(three["previous"]).json()["results"] == two["results"]
    assert viewer.by_key.get(two["previous"]).json()["results"] == one["results"]
    assert one["previous"] is None


def test_a_part_of_the_tree(organization: Organization, viewer: Actor) -> None:
    stored(organization, [agent(1), step(2, 1), call(3, 2, after=1), tool(4, 3, after=2), step(5, 1, after=3)])
    assert tree(viewer, under=span_id(2).hex()) == [(2, 1), (3, 2), (4, 3)]
    assert tree(viewer, under=span_id(2).hex(), limit=1) == [(2, 1), (3, 2), (4, 3)]
    assert tree(viewer, max_depth=1) == [(1, 0), (2, 1), (5, 1)]
    assert tree(viewer, max_depth=0) == [(1, 0)]


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"cursor": "01a20000-0000-7000-8000-000000000000"}, "cursor"),
        ({"cursor": "x"}, "cursor"),
        ({"under": span_id(9).hex()}, "under"),
        ({"under": "x"}, "under"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"max_depth": "-1"}, "max_depth"),
        ({"depth": "1"}, "depth"),
    ],
)
def test_a_question_about_spans_is_refused(
    question: dict[str, str], field: str, organization: Organization, viewer: Actor
) -> None:
    stored(organization, [agent(1)])
    answer = viewer.by_key.get(SPANS, question)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_whose_parent_never_came_is_a_root(organization: Organization, viewer: Actor) -> None:
    stored(organization, [call(2, 77), tool(3, 2, after=1), agent(1, after=5)])
    assert tree(viewer) == [(2, 0), (3, 1), (1, 0)]


def test_rings_of_parents_end(organization: Organization, viewer: Actor) -> None:
    stored(
        organization,
        [
            agent(1),
            step(2, 4, after=2),
            step(3, 2, after=3),
            step(4, 3, after=4),
            tool(5, 3, after=5),
            call(6, 6, after=6),
        ],
    )
    assert tree(viewer) == [(1, 0), (6, 0), (2, 0), (3, 1), (4, 2), (5, 2)]


def test_a_chain_of_thousands_is_no_trouble() -> None:
    ids = [f"{number:016x}" for number in range(30_000)]
    order, depths = traces.arrange(ids, [None, *ids[:-1]])
    assert order == depths == list(range(30_000))
    ring, ring_depths = traces.arrange(ids, [ids[-1], *ids[:-1]])
    assert ring == ring_depths == list(range(30_000))


def test_no_span_is_lost_or_doubled_whatever_the_parents() -> None:
    chance = random.Random(2)
    for _ in range(200):
        number = chance.randrange(1, 20)
        ids = [f"{each:016x}" for each in range(number)]
        order, depths = traces.arrange(ids, [chance.choice([None, "unknown", *ids]) for _ in ids])
        assert sorted(order) == list(range(number))
        assert depths[0] == 0
        assert all(depth <= before + 1 for before, depth in pairwise(depths))


def test_a_page_takes_as_many_queries_for_a_large_tree(organization: Organization, viewer: Actor) -> None:
    counts = []
    stored(organization, [agent(1)])
    viewer.by_key.get(SPANS)
    for begin, end in ((2, 5), (5, 600)):
        stored(organization, [tool(number, 1) for number in range(begin, end)])
        with CaptureQueriesContext(connection) as queries:
            answer = viewer.by_key.get(SPANS, {"limit": 500})
        assert len(answer.json()["results"]) == min(end - 1, 500)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 4
