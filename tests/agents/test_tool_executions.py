"""Tool executions over HTTP: reporting, lists, changes."""

from collections.abc import Callable
from typing import Any

import pytest

from agents.models import ToolExecution
from tests.factories.agents import AgentExecutionFactory, ToolExecutionFactory
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db

TOOLS = "/api/v1/tool-executions/"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NOON = "2026-03-04T12:00:00Z"


def test_a_use_is_reported_whole(teammate: Actor) -> None:
    execution = AgentExecutionFactory(organization=teammate.organization, agent_name="Ada")
    body = {
        "execution": str(execution.pk),
        "tool_name": "shop.search",
        "tool_type": "function",
        "call_id": "call_1",
        "permission": "needs_approval",
        "status": "failed",
        "input": {"query": "belts"},
        "output": [1, 2],
        "error_type": "HTTPError",
        "error_message": "502",
        "session_id": "s-1",
        "correlation_id": "c-1",
        "trace_id": TRACE,
        "span_id": SPAN,
        "attributes": {"attempt": 3},
    }
    answer = teammate.by_key.post(TOOLS, body | {"started_at": NOON, "duration": 0.5})
    assert answer.status_code == 201, answer.json()
    given = answer.json()
    assert {name: given[name] for name in body} == body
    assert (given["name"], given["agent_name"], given["duration"]) == ("shop.search", "Ada", 0.5)
    assert given["user"] == str(teammate.user.pk)
    assert teammate.by_key.get(answer["Location"]).json() == given


def test_many_are_reported_at_once_or_none(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    bodies: list[dict[str, Any]] = [{"tool_name": f"tool {number}", "status": "completed"} for number in range(100)]
    answer = teammate.by_key.post(TOOLS, bodies)
    assert answer.status_code == 201
    assert [each["tool_name"] for each in answer.json()] == [body["tool_name"] for body in bodies]
    bodies[42] = {"tool_name": "", "permission": "maybe"}
    with writes_nothing():
        answer = teammate.by_key.post(TOOLS, bodies)
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"42.tool_name", "42.permission"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tool_name": None}, "tool_name"),
        ({"tool_name": " "}, "tool_name"),
        ({"permission": "maybe"}, "permission"),
        ({"status": "running", "duration": 1}, "duration"),
        ({"output": "\0"}, "output"),
        ({"attributes": 1}, "attributes"),
        ({"user_name": "x"}, "user_name"),
    ],
)
def test_a_use_is_refused(
    wrong: dict[str, Any], field: str, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    with writes_nothing():
        answer = teammate.by_key.post(TOOLS, {"tool_name": "search"} | wrong)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), answer.json()


def test_a_use_is_approved_and_ends(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    use = ToolExecutionFactory(organization=teammate.organization, status="pending", permission="needs_approval")
    address = f"{TOOLS}{use.pk}/"
    going = teammate.by_key.patch(address, {"permission": "allowed", "status": "running"}).json()
    assert (going["permission"], going["status"], going["completed_at"]) == ("allowed", "running", None)
    assert going["started_at"] is not None
    ended = teammate.by_key.patch(address, {"status": "completed", "output": "Found."}).json()
    assert (ended["status"], ended["output"]) == ("completed", "Found.")
    assert ended["duration"] >= 0
    with writes_nothing():
        for name in ("tool_name", "execution", "trace_id", "user"):
            answer = teammate.by_key.patch(address, {name: "other"})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, name)


def test_a_list_is_filtered_and_leaves_out_what_is_large(viewer: Actor) -> None:
    organization = viewer.organization
    one = ToolExecutionFactory(organization=organization, trace_id=TRACE, span_id=SPAN, user=viewer.user)
    two = ToolExecutionFactory(organization=organization, status="timeout", tool_name="browse")

    def found(**query: Any) -> list[Any]:
        answer = viewer.by_key.get(TOOLS, query)
        assert answer.status_code == 200, answer.json()
        return [{str(one.pk): 1, str(two.pk): 2}[row["id"]] for row in answer.json()["results"]]

    assert found() == [2, 1]
    assert found(status="timeout") == found(tool_name="browse") == found(execution=two.execution_id) == [2]
    assert found(trace_id=TRACE) == found(span=f"{TRACE}-{SPAN}") == found(user=viewer.user.pk) == [1]
    [listed] = viewer.by_key.get(TOOLS, {"tool_name": "browse"}).json()["results"]
    detail = viewer.by_key.get(f"{TOOLS}{two.pk}/").json()
    assert set(detail) - set(listed) == {"input", "output", "attributes"}


def test_none_is_deleted(owner: Actor) -> None:
    use = ToolExecutionFactory(organization=owner.organization)
    assert owner.by_key.delete(f"{TOOLS}{use.pk}/").status_code == 405
    assert ToolExecution.objects.filter(pk=use.pk).exists()
