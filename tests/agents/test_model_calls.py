"""Model calls over HTTP: reporting, prices, lists, changes."""

from collections.abc import Callable
from typing import Any

import pytest

from agents.models import ModelCall
from core.models import Organization
from tests.factories.agents import AgentExecutionFactory, ModelCallFactory
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db

CALLS = "/api/v1/model-calls/"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NOON = "2026-03-04T12:00:00Z"
SONNET = {"provider": "anthropic", "request_model": "claude-sonnet-4-5"}  # 3 dollars in, 15 out, 0.3 from the cache


def report(actor: Actor, **body: Any) -> Any:
    answer = actor.by_key.post(CALLS, body)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def test_a_call_is_reported_whole(teammate: Actor) -> None:
    execution = AgentExecutionFactory(organization=teammate.organization, agent_name="Ada")
    body = {
        "execution": str(execution.pk),
        "status": "completed",
        "operation": "chat",
        "provider": "anthropic",
        "request_model": "claude-sonnet-4-5",
        "response_model": "claude-sonnet-4-5-20250929",
        "parameters": {"temperature": 0.2},
        "input_messages": [{"role": "user", "parts": [{"type": "text", "content": "Hello?"}]}],
        "output_messages": [{"role": "assistant", "parts": []}],
        "finish_reason": "stop",
        "input_tokens": 100_000,
        "output_tokens": 10_000,
        "cached_tokens": 50_000,
        "cache_write_tokens": None,
        "reasoning_tokens": 0,
        "reported_cost": "9.9900000000",
        "time_to_first_token": 0.25,
        "trace_id": TRACE,
        "span_id": SPAN,
        "attributes": {"server.address": "api"},
    }
    given = report(teammate, **body, started_at=NOON, duration=2)
    assert {name: given[name] for name in body} == body
    assert (given["name"], given["agent_name"], given["duration"]) == ("chat claude-sonnet-4-5", "Ada", 2)
    assert given["model"] == "claude-sonnet-4-5-20250929"
    assert (given["cost"], given["pricing"]) == ("0.3150000000", "computed")  # 0.15 + 0.015 + 0.15
    execution.refresh_from_db()
    assert execution.usage_below


@pytest.mark.parametrize(
    ("usage", "cost", "pricing"),
    [
        (SONNET | {"input_tokens": 1000}, "0.0030000000", "computed"),
        (SONNET | {"output_tokens": 1}, "0.0000150000", "computed"),
        (SONNET | {"input_tokens": 0}, "0.0000000000", "computed"),
        (SONNET, None, "no_usage"),
        (SONNET | {"request_model": "nobody-knows-1", "output_tokens": 1}, None, "unknown_model"),
        ({"input_tokens": 5}, None, "unknown_model"),
        (
            SONNET | {"request_model": "x", "response_model": "claude-sonnet-4-5", "input_tokens": 1000},
            "0.0030000000",
            "computed",
        ),
    ],
)
def test_the_cost_follows_from_usage(usage: dict[str, Any], cost: str | None, pricing: str, teammate: Actor) -> None:
    given = report(teammate, started_at=NOON, duration=1, **usage)
    assert (given["cost"], given["pricing"]) == (cost, pricing)
    several = teammate.by_key.post(CALLS, [usage, usage]).json()
    assert [(each["cost"], each["pricing"]) for each in several] == [(cost, pricing)] * 2


def test_a_cost_is_worked_out_anew_when_usage_comes(teammate: Actor) -> None:
    call = ModelCallFactory(organization=teammate.organization, status="running")
    address = f"{CALLS}{call.pk}/"
    changed = teammate.by_key.patch(address, {"input_tokens": 1000, "status": "completed"}).json()
    assert (changed["cost"], changed["pricing"], changed["status"]) == ("0.0030000000", "computed", "completed")
    assert changed["completed_at"] is not None
    changed = teammate.by_key.patch(address, {"finish_reason": "stop"}).json()
    assert (changed["cost"], changed["status"]) == ("0.0030000000", "completed")
    changed = teammate.by_key.patch(address, {"duration": 4}).json()
    assert (changed["duration"], changed["cost"]) == (4, "0.0030000000")
    changed = teammate.by_key.patch(address, {"input_tokens": None}).json()
    assert (changed["cost"], changed["pricing"]) == (None, "no_usage")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"reported_cost": -1}, "reported_cost"),
        ({"time_to_first_token": -1}, "time_to_first_token"),
        ({"operation": ""}, "operation"),
        ({"input_messages": ["\0"]}, "input_messages"),
        ({"status": "pending", "completed_at": NOON}, "completed_at"),
        ({"trace_id": TRACE}, None),
        ({"execution": "01a13461-ff40-7cc4-811f-fc025fbcde56"}, "execution"),
        ({"request_model": "x" * 201}, "request_model"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_call_is_refused(
    wrong: dict[str, Any], field: str | None, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    with writes_nothing():
        one = teammate.by_key.post(CALLS, SONNET | wrong)
        many = teammate.by_key.post(CALLS, [SONNET, SONNET | wrong])
    assert (one.status_code, one.json()["errors"][0]["field"]) == (400, field), one.json()
    assert (many.status_code, many.json()["errors"][0]["field"]) == (400, f"1.{field}" if field else "1")


def test_clients_set_no_price(teammate: Actor) -> None:
    given = report(teammate, **SONNET, input_tokens=1000, cost="0", pricing="no_usage")
    assert (given["cost"], given["pricing"]) == ("0.0030000000", "computed")


def test_a_span_is_reported_once(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    span = {"trace_id": TRACE, "span_id": SPAN, "started_at": NOON, "duration": 1}
    report(teammate, **span)
    with writes_nothing():
        answer = teammate.by_key.post(CALLS, span)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unique")


def test_another_organizations_execution_is_nowhere(
    teammate: Actor, other_organization: Organization, writes_nothing: Callable[[], Any]
) -> None:
    theirs = AgentExecutionFactory(organization=other_organization)
    with writes_nothing():
        answer = teammate.by_key.post(CALLS, {"execution": str(theirs.pk)})
    assert answer.json()["errors"][0].items() >= {"field": "execution", "code": "does_not_exist"}.items()


@pytest.mark.parametrize("name", ["execution", "trace_id", "span_id", "parent_span_id", "cost", "pricing", "model"])
def test_what_a_call_is_cannot_be_changed(name: str, teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    call = ModelCallFactory(organization=teammate.organization)
    with writes_nothing():
        answer = teammate.by_key.patch(f"{CALLS}{call.pk}/", {name: None})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, name)


def test_a_list_is_filtered_and_leaves_out_what_is_large(viewer: Actor) -> None:
    organization = viewer.organization
    one = ModelCallFactory(organization=organization, trace_id=TRACE, span_id=SPAN)
    two = ModelCallFactory(
        organization=organization, status="failed", provider="openai", request_model="a", response_model="b"
    )

    def found(**query: Any) -> list[Any]:
        answer = viewer.by_key.get(CALLS, query)
        assert answer.status_code == 200, answer.json()
        return [{str(one.pk): 1, str(two.pk): 2}[row["id"]] for row in answer.json()["results"]]

    assert found() == [2, 1]
    assert found(status="failed") == found(provider="openai") == found(model="b") == found(execution=two.execution_id)
    assert found(model="b,claude-sonnet-4-5") == [2, 1]
    assert found(model="a") == []
    assert found(trace_id=TRACE) == found(span=f"{TRACE}-{SPAN}") == [1]
    [listed] = viewer.by_key.get(CALLS, {"model": "b"}).json()["results"]
    detail = viewer.by_key.get(f"{CALLS}{two.pk}/").json()
    assert set(detail) - set(listed) == {"parameters", "input_messages", "output_messages", "attributes"}
    assert ModelCall.objects.get(pk=two.pk).input_messages == detail["input_messages"]
