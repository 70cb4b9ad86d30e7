"""``POST /v1/traces`` as exporters use it."""

import gzip
from typing import Any

import orjson
import psycopg
import pytest
from django.db import connection
from django.test import Client
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from agents.models import AgentExecution, Feedback, ModelCall, ToolExecution, Trace
from agents.telemetry import intake, otlp, storage
from agents.telemetry.spans import Mapped
from core.models import APIKey
from tests.kit.cast import Actor

from .otlp_kit import add_event, add_span, mapped
from .recount import assert_kept

pytestmark = pytest.mark.django_db

PROTOBUF, JSON = "application/x-protobuf", "application/json"
SPANS = (AgentExecution, ModelCall, ToolExecution)


def stored() -> int:
    return sum(model.objects.count() for model in SPANS)


def a_request(**fields: Any) -> ExportTraceServiceRequest:
    """Return a request of a chat inside an agent, the chat first."""
    request = ExportTraceServiceRequest()
    chat = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o", "gen_ai.usage.input_tokens": 10}
    add_span(request, chat, parent_span_id=(2).to_bytes(8, "big"), **fields)
    add_span(request, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Ada"})
    return request


def report(
    actor: Actor, body: bytes, content_type: str = PROTOBUF, *, scopes: tuple[str, ...] | None = None, **headers: str
) -> Any:
    key = actor.key
    if scopes is not None:
        key, text = APIKey.issue(user=actor.user, organization_id=actor.organization.pk, name="k", scopes=list(scopes))
    else:
        text = key.text  # type: ignore[attr-defined]
    return Client().post(
        "/v1/traces",
        body,
        content_type,
        headers={"Authorization": f"Bearer {text}", "Content-Type": content_type} | headers,
    )


def refusal(answer: Any) -> Status:
    assert answer["Content-Type"] == PROTOBUF
    status = Status.FromString(answer.content)
    assert status.message
    return status


def test_spans_are_stored_before_the_answer(owner: Actor) -> None:
    answer = report(owner, a_request().SerializeToString())
    assert (answer.status_code, answer["Content-Type"]) == (200, PROTOBUF)
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
    call = ModelCall.objects.get()
    assert (call.execution, call.organization) == (AgentExecution.objects.get(agent_name="Ada"), owner.organization)
    assert_kept()


def test_tables_that_grew_are_analyzed_when_the_answer_was_sent(owner: Actor) -> None:
    storage._has_grown.set()
    assert report(owner, a_request().SerializeToString()).status_code == 200
    assert not storage._has_grown.is_set()


def test_json_is_answered_in_json(owner: Actor) -> None:
    body = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "spanId": "EEE19B7EC3C1B174",
                                "name": "work",
                                "kind": 1,
                                "startTimeUnixNano": "1780000000000000000",
                                "endTimeUnixNano": 1780000001000000000,
                                "somethingNew": {"a": 1},
                            }
                        ]
                    }
                ]
            }
        ]
    }
    answer = report(owner, orjson.dumps(body), JSON)
    assert (answer.status_code, answer["Content-Type"], orjson.loads(answer.content)) == (200, JSON, {})
    assert AgentExecution.objects.get().trace_id == "5b8efff798038103d269b633813fc60c"


def test_gzip(owner: Actor) -> None:
    body = gzip.compress(a_request().SerializeToString())
    assert report(owner, body, **{"Content-Encoding": "gzip"}).status_code == 200
    assert stored() == 2


def test_an_empty_request_is_a_full_success(owner: Actor) -> None:
    assert report(owner, b"").status_code == 200


def test_a_bad_span_costs_itself_only_and_is_told(owner: Actor) -> None:
    request = a_request()
    add_span(request, end_time_unix_nano=1)
    answer = report(owner, request.SerializeToString())
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, told.rejected_spans) == (200, 1)
    assert "end" in told.error_message
    assert stored() == 2


def test_sent_twice_is_stored_once(owner: Actor) -> None:
    body = a_request().SerializeToString()
    for _ in range(2):
        answer = report(owner, body)
        assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
    assert stored() == 2


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status"),
    [
        (b"\xff\xff", PROTOBUF, {}, 400),
        (b"{", JSON, {}, 400),
        (b"broken", PROTOBUF, {"Content-Encoding": "gzip"}, 400),
        (b"", "text/plain", {}, 415),
        (b"", PROTOBUF, {"Content-Encoding": "br"}, 415),
    ],
)
def test_what_can_t_be_read_is_refused_for_good(
    body: bytes, content_type: str, headers: dict[str, str], status: int, owner: Actor
) -> None:
    answer = report(owner, body, content_type, **headers)
    assert answer.status_code == status
    assert "Retry-After" not in answer
    assert stored() == 0


def test_too_much_is_refused(owner: Actor, settings: Any) -> None:
    settings.TELEMETRY_MAX_BYTES = 1_000
    settings.TELEMETRY_MAX_DECOMPRESSED_BYTES = 2_000
    assert refusal(report(owner, b"x" * 1_001)).code == otlp.Code.RESOURCE_EXHAUSTED
    bomb = gzip.compress(b"x" * 100_000)
    answer = report(owner, bomb, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 413


def test_who_may_report(owner: Actor, viewer: Actor) -> None:
    body = a_request().SerializeToString()
    anonymous = Client().post("/v1/traces", body, PROTOBUF)
    assert (anonymous.status_code, refusal(anonymous).code) == (401, otlp.Code.UNAUTHENTICATED)
    assert anonymous["WWW-Authenticate"].startswith("Bearer")
    assert owner.client.post("/v1/traces", body, PROTOBUF).status_code == 401  # a session is no key
    lacking = report(owner, body, scopes=("agents:write",))
    assert (lacking.status_code, refusal(lacking).code) == (403, otlp.Code.PERMISSION_DENIED)
    assert report(viewer, body, scopes=("telemetry:write",)).status_code == 403
    assert Client().post("/v1/traces", body, PROTOBUF, headers={"Authorization": "Bearer no"}).status_code == 401
    assert stored() == 0
    assert report(owner, body, scopes=("telemetry:write",)).status_code == 200


def test_only_post(owner: Actor) -> None:
    answer = Client().get("/v1/traces")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_a_database_that_doesn_t_answer_asks_to_send_again(owner: Actor) -> None:
    with psycopg.connect(**connection.get_connection_params()) as other:  # whose turn it is, and stays
        other.execute("SELECT agents_take_turns(ARRAY[%s])", [owner.organization.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1500")
        answer = report(owner, a_request().SerializeToString())
    assert (answer.status_code, refusal(answer).code) == (503, otlp.Code.UNAVAILABLE)
    assert int(answer["Retry-After"]) > 0
    assert stored() == 0


def test_what_only_the_database_refuses_costs_itself_only(owner: Actor) -> None:
    request = a_request()
    spans = mapped(request).spans
    spans[0].name = "x" * 301
    taken = Mapped(spans, 0, [])
    intake.take(owner.organization.pk, taken)
    assert taken.rejected == 1
    assert "too long" in taken.reasons[0]
    assert stored() == 1


@pytest.mark.django_db(transaction=True)
def test_an_agent_that_was_purged_meanwhile_costs_nothing(owner: Actor) -> None:
    report(owner, a_request().SerializeToString())
    first = AgentExecution.objects.get()
    agent = first.agent
    assert agent is not None
    first.delete()
    ModelCall.objects.all().delete()
    agent.delete()
    answer = report(owner, a_request().SerializeToString())
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
    again = AgentExecution.objects.get()
    assert again.agent is not None
    assert again.agent.pk != agent.pk


def test_an_evaluation_is_feedback_on_the_execution_around(owner: Actor) -> None:
    request = a_request()
    result = {
        "gen_ai.evaluation.name": "relevance",
        "gen_ai.evaluation.score.value": 0.8,
        "gen_ai.evaluation.score.label": "relevant",
        "gen_ai.evaluation.explanation": "It answers the question.",
    }
    add_event(request.resource_spans[0].scope_spans[0].spans[0], "gen_ai.evaluation.result", result)
    for _ in range(2):
        report(owner, request.SerializeToString())
    feedback = Feedback.objects.get()
    assert feedback.execution == AgentExecution.objects.get()
    assert (feedback.category, feedback.tags) == ("relevance", ["evaluation"])
    assert feedback.comment == "relevant (0.8): It answers the question."
    assert ModelCall.objects.get().attributes["evaluations"][0]["score"] == 0.8


def test_traces_of_others_are_theirs(owner: Actor, stranger: Actor) -> None:
    body = a_request().SerializeToString()
    report(owner, body)
    report(stranger, body)
    assert set(Trace.objects.values_list("organization", flat=True)) == {
        owner.organization.pk,
        stranger.organization.pk,
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300) | st.from_regex(rb'\{"resourceSpans":.{0,100}\}', fullmatch=True))
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_whatever_comes_is_answered(content_type: str, owner: Actor, body: bytes) -> None:
    assert report(owner, body, content_type).status_code in (200, 400, 413)
