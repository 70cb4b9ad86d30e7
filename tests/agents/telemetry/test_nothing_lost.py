"""Whatever an attribute says is in a column of its record, or stays among its attributes."""

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agents.models import AgentExecution, ModelCall, ToolExecution
from agents.telemetry import conventions
from agents.telemetry.storage import store
from core.models import Organization
from tests.agents.telemetry.otlp_kit import add_event, add_span, map_one, mapped, only
from tests.factories.agents import AgentFactory, SquadFactory, TaskRunFactory
from tests.kit.cast import Actor

KINDS = {"invoke_agent": AgentExecution, "chat": ModelCall, "execute_tool": ToolExecution}

# Of any kind of record: what told its kind isn't kept, nor what tells the type of contents.
TOLD_OTHERWISE = {"span_kind", "operation_name", "entity_kind", "input_type", "output_type"}

SENSIBLE: dict[str, Any] = {  # where a text wouldn't do
    "parameters": '{"temperature": 0.125}',
    "seconds_to_first_token": 0.375,
    "milliseconds_to_first_token": 375,
    "input_tokens": 1101,
    "output_tokens": 1102,
    "cached_tokens": 1103,
    "cache_write_tokens": 1104,
    "reasoning_tokens": 1105,
    "reported_cost": 0.625,
    "costs": '{"total": 0.625}',
    "usage": '{"input": 1201, "output": 1202}',
    "first_token_at": "2026-05-28T20:26:38.25Z",
}
SHOWN = {
    "parameters": "0.125",
    "costs": "0.625",
    "usage": "1201",
    "first_token_at": "0.25",
    "milliseconds_to_first_token": "0.375",
}
"""What must be found of a value that is taken apart."""

SPELLINGS = [
    (field, spelling.replace(".*", ".custom"))
    for field, spellings in conventions.TABLE.items()
    if field not in TOLD_OTHERWISE | conventions.CONTENT_FIELDS
    for spelling, _ in spellings
]


@pytest.fixture
def organization(teammate: Actor) -> Organization:
    return teammate.organization


@pytest.mark.django_db
@pytest.mark.parametrize("operation", KINDS)
def test_no_attribute_of_the_table_is_lost(operation: str, organization: Organization) -> None:
    ours = {
        "task_run_id": TaskRunFactory(organization=organization).pk,
        "squad_id": SquadFactory(organization=organization).pk,
        "agent_id": AgentFactory(organization=organization).pk,
    }
    sensible = SENSIBLE | {field: str(key) for field, key in ours.items()}
    lost = []
    for number, (field, spelling) in enumerate(SPELLINGS, 1):
        value = sensible.get(field, f"a {field}")
        span = map_one({"gen_ai.operation.name": operation, spelling: value}, span_id=number.to_bytes(8, "big"))
        said = json.loads(span.attributes)
        store(organization.pk, [span])
        row = KINDS[operation].objects.get(span_id=span.span_id)
        columns = [str(getattr(row, column.attname)) for column in row._meta.concrete_fields]
        if not any(str(SHOWN.get(field, value)) in found for found in columns) and said.get(spelling) != value:
            lost.append(spelling)
    assert lost == []


@pytest.mark.parametrize(("operation", "kept"), [("invoke_agent", True), ("chat", False), ("execute_tool", True)])
def test_a_requested_model_is_kept_beside_the_one_that_answered(operation: str, kept: bool) -> None:
    asked, answered = {"gen_ai.request.model": "m"}, {"gen_ai.response.model": "m-2026"}
    span = map_one({"gen_ai.operation.name": operation, **asked, **answered})
    assert ("gen_ai.request.model" in json.loads(span.attributes)) == kept
    same = map_one({"gen_ai.operation.name": "invoke_agent", **asked, "gen_ai.response.model": "m"})
    assert json.loads(same.attributes) == {}


@pytest.mark.parametrize(("kind", "field"), [("AGENT", "agent_name"), ("TOOL", "tool_name")])
def test_a_name_that_makes_no_sense_stays_and_the_next_is_taken(kind: str, field: str) -> None:
    span = map_one({"openinference.span.kind": kind, "graph.node.name": ["a"], "graph.node.id": "planner"})
    assert getattr(span, field) == "planner"
    assert json.loads(span.attributes) == {"graph.node.name": ["a"]}


def test_all_parameters_of_a_span_that_is_no_model_call_stay() -> None:
    said = {"gen_ai.request.temperature": 0.5, "gen_ai.request.top_p": 1, "llm.invocation_parameters": '{"seed": 7}'}
    span = map_one({"gen_ai.operation.name": "invoke_agent", **said})
    assert (span.parameters, json.loads(span.attributes)) == (None, said)


def test_the_first_token_of_a_span_that_is_no_model_call_stays_an_event() -> None:
    request = ExportTraceServiceRequest()
    add_event(add_span(request, {"openinference.span.kind": "AGENT"}), "First Token Stream Event", {}, after=0.5)
    assert json.loads(only(mapped(request)).attributes)["events"] == [
        {"name": "First Token Stream Event", "after_ms": 500}
    ]
