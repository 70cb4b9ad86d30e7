"""What a resource says of all its spans, and what a span says of itself beside its attributes."""

import json
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agents.telemetry import leftovers
from agents.telemetry.spans import Span
from tests.agents.telemetry.otlp_kit import add_span, map_one, mapped, only, set_attributes
from tests.agents.telemetry.test_conventions import IDS


def map_with(resource: dict[str, Any], attributes: dict[str, Any] | None = None) -> Span:
    request = ExportTraceServiceRequest()
    add_span(request, attributes)
    set_attributes(request.resource_spans[0].resource.attributes, resource)
    return only(mapped(request))


def test_our_own_attributes_of_the_resource_hold_for_its_spans_unless_these_say_otherwise():
    request = ExportTraceServiceRequest()
    add_span(request)
    other = "0190b5a0-0000-7000-8000-00000000000f"
    add_span(request, {"muster.task_run.id": other})
    set_attributes(request.resource_spans[0].resource.attributes, IDS)
    first, second = mapped(request).spans
    assert first.task_run_id == UUID(IDS["muster.task_run.id"])
    assert second.task_run_id == UUID(other)
    assert second.squad_id == UUID(IDS["muster.squad.id"])


def test_resource_and_scope_are_kept_beside_the_attributes():
    request = ExportTraceServiceRequest()
    add_span(request, {"custom": True, "resource": "mine"})
    set_attributes(
        request.resource_spans[0].resource.attributes,
        {"service.name": "api", "service.version": 2, "deployment.environment.name": "production", "process.pid": 7},
    )
    request.resource_spans[0].scope_spans[0].scope.name = "my.library"
    assert json.loads(only(mapped(request)).attributes) == {
        "custom": True,
        "attribute.resource": "mine",
        "resource": {
            "service.name": "api",
            "service.version": 2,
            "deployment.environment.name": "production",
            "process.pid": 7,
        },
        "scope": "my.library",
    }


def test_no_attribute_passes_for_one_of_ours():
    said = {"resource": 1, "attribute.resource": 2, "evaluations": [], "left_out": 3, "attribute": 4}
    assert json.loads(map_one(said).attributes) == {
        "attribute.resource": 1,
        "attribute.attribute.resource": 2,
        "attribute.evaluations": [],
        "attribute.left_out": 3,
        "attribute": 4,
    }


def test_all_that_a_resource_says_is_kept() -> None:
    said = {"team": "blue", "cloud.region": "eu-1", "k8s.labels": {"app": ["a", 1]}, "empty": "", "nul": "a\x00"}
    assert json.loads(map_with(said).attributes)["resource"] == {
        "team": "blue",
        "cloud.region": "eu-1",
        "k8s.labels": {"app": ["a", 1]},
        "nul": "a\N{REPLACEMENT CHARACTER}",
    }


def test_a_resource_is_bounded_and_says_so() -> None:
    large = {f"note.{number}": "é" * 500 for number in range(10)}
    said = json.loads(map_with({"huge": "x" * 5_000, **large, "service.name": "api", "team": "blue"}).attributes)
    resource = said["resource"]
    assert resource["service.name"] == "api", "The best known go first."
    assert resource["team"] == "blue", "What is small finds room behind what doesn't."
    assert "huge" not in resource
    assert 0 < said["resource_left_out"] == 13 - len(resource)
    assert len(json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()) <= leftovers.RESOURCE_LIMIT


def test_a_resource_tells_the_session_and_the_user_of_spans_that_tell_none() -> None:
    said = {"session.id": "conversation", "user.id": "user"}
    span = map_with(said)
    assert (span.session_id, span.user_name) == ("conversation", "user")
    own = map_with(said, {"gen_ai.conversation.id": "another", "enduser.id": "someone"})
    assert (own.session_id, own.user_name) == ("another", "someone")


@pytest.mark.parametrize(
    ("number", "expected"), [(0, None), (1, None), (2, "server"), (3, "client"), (4, "producer"), (5, "consumer")]
)
def test_a_spans_kind_is_kept_unless_it_is_internal(number: int, expected: str | None) -> None:
    assert json.loads(map_one(kind=number).attributes) == ({} if expected is None else {"span_kind": expected})


def test_a_trace_state_is_kept() -> None:
    span = map_one({"trace_state": "mine"}, trace_state="vendor=1")
    assert json.loads(span.attributes) == {"attribute.trace_state": "mine", "trace_state": "vendor=1"}
    assert len(json.loads(map_one(trace_state="x" * 1_000).attributes)["trace_state"]) == leftovers.TRACE_STATE_LIMIT
