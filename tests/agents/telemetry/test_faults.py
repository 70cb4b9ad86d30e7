"""Faults of our own that nobody foresaw: each costs the span that it meets, and no other.

Whatever span would fail today would be mended, not tested. So a rule that reads one attribute is broken here, for the
values that say so; but rows that can't be packed are real ones.
"""

import logging
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.db import OperationalError
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from prometheus_client import Counter

from agents.models import AgentExecution, ModelCall, ToolExecution
from agents.telemetry import intake, storage
from agents.telemetry.reading import CONVERTERS, CONVERTERS_OF
from core.models import Organization
from core.observability import metrics
from tests.kit.cast import Actor

from .otlp_kit import NOW, SECOND, TRACE_ID, add_span, as_json, mapped, set_attributes
from .test_reporting import JSON, PROTOBUF, refusal, report, stored

pytestmark = pytest.mark.django_db

Break = Callable[[str, Exception], None]


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Break:
    """``breaking(field, error)`` lets the reading of a field raise where the value says the error's type."""

    def break_(field: str, error: Exception) -> None:
        convert = CONVERTERS[field]

        def broken(value: Any) -> Any:
            if value == type(error).__name__:
                raise error
            return convert(value)

        for converters in (CONVERTERS, *CONVERTERS_OF.values()):
            if field in converters:
                monkeypatch.setitem(converters, field, broken)

    return break_


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "agents.telemetry.faults"]


def counted(counter: Counter) -> float:
    (metric,) = counter.collect()
    return next(sample.value for sample in metric.samples if sample.name.endswith("_total"))


def partial(answer: Any) -> Any:
    """Return what a 200 tells of rejected spans, in either encoding."""
    assert answer.status_code == 200
    if answer["Content-Type"] == JSON:
        return ParseDict(orjson.loads(answer.content), ExportTraceServiceResponse()).partial_success
    return ExportTraceServiceResponse.FromString(answer.content).partial_success


@pytest.mark.parametrize(
    ("content_type", "encode"), [(PROTOBUF, lambda request: request.SerializeToString()), (JSON, as_json)]
)
def test_a_span_that_our_code_fails_at_costs_itself_only(
    content_type: str, encode: Any, owner: Actor, breaking: Break, caplog: pytest.LogCaptureFixture
) -> None:
    breaking("session_id", KeyError("a secret"))
    request = ExportTraceServiceRequest()
    for session in ("one", "KeyError", "two"):
        add_span(request, {"session.id": session})
    taken, rejected = counted(metrics.spans), counted(metrics.rejected)
    told = partial(report(owner, encode(request), content_type))
    assert told.rejected_spans == 1
    assert told.error_message == (
        "1 span couldn't be mapped for a fault in Muster (KeyError),"
        f" first span 0000000000000002 of trace {TRACE_ID.hex()}"
    )
    assert set(AgentExecution.objects.values_list("session_id", flat=True)) == {"one", "two"}
    assert (counted(metrics.spans) - taken, counted(metrics.rejected) - rejected) == (2, 1)
    (record,) = logged(caplog)
    assert record.levelno == logging.ERROR
    assert "in broken" in caplog.text  # the traceback's last line
    assert "a secret" in caplog.text


def test_a_fault_is_logged_once_however_many_spans_it_meets(
    owner: Actor, breaking: Break, caplog: pytest.LogCaptureFixture
) -> None:
    breaking("session_id", KeyError())
    breaking("user_name", RecursionError())
    request = ExportTraceServiceRequest()
    for number in range(500):
        add_span(request, {"user.id": "RecursionError"} if number % 5 == 0 else {"session.id": "KeyError"})
    add_span(request)
    told = partial(report(owner, request.SerializeToString()))
    assert told.rejected_spans == 500
    assert "100 spans couldn't be mapped for a fault in Muster (RecursionError)" in told.error_message
    assert "400 spans couldn't be mapped for a fault in Muster (KeyError)" in told.error_message
    assert stored() == 1
    assert sorted(type(record.exc_info[1]).__name__ for record in logged(caplog) if record.exc_info) == [
        "KeyError",
        "RecursionError",
    ]


def test_a_resource_that_our_code_fails_at_costs_its_own_spans_only(owner: Actor, breaking: Break) -> None:
    breaking("correlation_id", ZeroDivisionError())
    request = ExportTraceServiceRequest()
    add_span(request)
    other = request.resource_spans.add()
    set_attributes(other.resource.attributes, {"muster.correlation.id": "ZeroDivisionError"})
    spans = other.scope_spans.add().spans
    for number in (b"1", b"2"):
        spans.add(trace_id=TRACE_ID, span_id=number * 8, start_time_unix_nano=NOW - SECOND, end_time_unix_nano=NOW)
    told = partial(report(owner, request.SerializeToString()))
    assert told.rejected_spans == 2
    assert "(ZeroDivisionError)" in told.error_message
    assert stored() == 1


def test_what_is_no_spans_fault_is_not_laid_on_it(
    owner: Actor, breaking: Break, caplog: pytest.LogCaptureFixture
) -> None:
    breaking("session_id", MemoryError())
    breaking("user_name", OperationalError())
    starved, cut_off = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    add_span(starved, {"session.id": "MemoryError"})
    add_span(cut_off, {"user.id": "OperationalError"})
    with pytest.raises(MemoryError):
        report(owner, starved.SerializeToString())
    answer = report(owner, cut_off.SerializeToString())
    assert (answer.status_code, bool(refusal(answer).message)) == (503, True)
    assert logged(caplog) == []
    assert stored() == 0


def test_a_row_that_can_t_be_packed_costs_itself_only(
    organization: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    request = ExportTraceServiceRequest()
    parent = (1).to_bytes(8, "big")
    add_span(request, {"gen_ai.operation.name": "invoke_agent"})
    add_span(request, {"gen_ai.operation.name": "chat"}, parent_span_id=parent)
    add_span(request, {"gen_ai.tool.name": "look"}, parent_span_id=parent)
    add_span(request, {"gen_ai.tool.name": "listen"}, parent_span_id=parent)
    taken = mapped(request)
    agent, call, look, listen = taken.spans
    agent.input_tokens = 1 << 63  # no bigint
    look.tool_name = "\ud800"  # no UTF-8
    listen.error_type = "x" * 201  # which the database alone refuses
    intake.take(organization.pk, taken)
    assert taken.rejected == 3
    assert taken.spans == [call]
    *unfit, refused = taken.reasons
    assert sorted(reason.split(",")[0] for reason in unfit) == [
        "1 span couldn't be packed for a fault in Muster (UnicodeEncodeError)",
        "1 span couldn't be packed for a fault in Muster (struct.error)",
    ]
    assert "too long" in refused
    assert len(logged(caplog)) == 2
    assert ModelCall.objects.get().execution is None
    assert (AgentExecution.objects.count(), ToolExecution.objects.count()) == (0, 0)


def test_a_span_is_rejected_once_however_often_its_request_is_tried(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "BATCH", 2)
    request = ExportTraceServiceRequest()
    for _ in range(4):
        add_span(request)
    taken = mapped(request)
    refused, good, unfit, refused_too = taken.spans
    refused.error_type = refused_too.error_type = "x" * 201
    unfit.input_tokens = 1 << 63
    intake.take(organization.pk, taken)
    assert taken.spans == [good]
    assert (taken.rejected, len(taken.reasons)) == (3, 3)
    assert stored() == 1
