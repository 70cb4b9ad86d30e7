"""What the frameworks' instrumentations sent once, sent again: by OTLP/JSON, in any order, twice."""

import json
from typing import Any

import pytest

from core.models import Scope
from tests.clients.examples import spans_of
from tests.clients.record import RECORDED
from tests.clients.stories import KINDS, STORIES, Stored, tree
from tests.kit.cast import Actor
from tests.kit.client import ApiClient

pytestmark = pytest.mark.parametrize("story", STORIES)


@pytest.fixture
def reporter(teammate: Actor) -> ApiClient:
    return teammate.with_scopes([Scope.TELEMETRY_WRITE])


@pytest.fixture
def recorded(story: str) -> dict[str, Any]:
    return json.loads((RECORDED / f"{story}.json").read_text())


def test_a_recorded_trace_is_told_as_its_story(story: str, recorded: dict[str, Any], reporter: ApiClient) -> None:
    send(reporter, recorded)
    assert_told(story, recorded)


def test_a_trace_sent_twice_is_stored_once(story: str, recorded: dict[str, Any], reporter: ApiClient) -> None:
    send(reporter, recorded)
    send(reporter, recorded)
    assert_told(story, recorded)


@pytest.mark.parametrize("parents_first", [False, True], ids=["children first", "parents first"])
def test_spans_may_come_one_by_one(
    story: str, recorded: dict[str, Any], reporter: ApiClient, parents_first: bool
) -> None:
    spans = spans_of(recorded)
    spans.sort(key=lambda span: int(span["endTimeUnixNano"]), reverse=parents_first)
    for span in spans:
        send(reporter, {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert_told(story, recorded)


def send(reporter: ApiClient, request: dict[str, Any]) -> None:
    answer = reporter.post("/v1/traces", request)
    assert (answer.status_code, answer.json()) == (200, {})


def assert_told(story: str, recorded: dict[str, Any]) -> None:
    spans = spans_of(recorded)
    assert tree(Stored(spans[0]["traceId"])) == STORIES[story].strip("\n")
    assert sum(kind.objects.count() for kind in KINDS) == len(spans)
