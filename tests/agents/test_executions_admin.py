"""The admin of executions, model calls and tool executions: to read, with their links."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.admin import executions
from agents.models import AgentExecution, ModelCall, ToolExecution, Trace
from core.models import Organization
from tests.admin.conftest import Staff, make_staff, staff  # noqa: F401 (fixtures)
from tests.admin.pages import listed, url
from tests.factories.agents import AgentExecutionFactory, FeedbackFactory, ModelCallFactory, ToolExecutionFactory
from tests.kit.database import writes_nothing
from tests.kit.spans import agent, call, step, stored, tool

pytestmark = pytest.mark.django_db

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEAVY = {
    AgentExecution: ("input", "output", "result", "attributes", "error_message"),
    ModelCall: ("parameters", "input_messages", "output_messages", "attributes"),
    ToolExecution: ("input", "output", "attributes"),
}
FACTORIES: dict[Any, Any] = {
    AgentExecution: AgentExecutionFactory,
    ModelCall: ModelCallFactory,
    ToolExecution: ToolExecutionFactory,
}


def page(staff: Staff, record: Any) -> str:  # noqa: F811
    answer = staff.client.get(url("change", type(record), record.pk))
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("model", FACTORIES)
def test_a_list_reads_no_large_column(model: Any, staff: Staff, organization: Organization) -> None:  # noqa: F811
    row = FACTORIES[model](organization=organization)
    with CaptureQueriesContext(connection) as queries:
        answer = staff.client.get(url("changelist", model))
    assert str(row.pk) in listed(answer.content.decode())
    for name in HEAVY[model]:
        assert not [query["sql"] for query in queries if f'"{model._meta.db_table}"."{name}"' in query["sql"]]


@pytest.mark.parametrize("model", FACTORIES)
def test_nothing_is_written_here(model: Any, staff: Staff, organization: Organization) -> None:  # noqa: F811
    row = FACTORIES[model](organization=organization)
    with writes_nothing():
        assert staff.client.get(url("add", model)).status_code == 403
        assert staff.client.post(url("change", model, row.pk), {"name": "other"}).status_code == 403


def test_an_execution_leads_to_what_is_inside_and_to_its_trace(
    staff: Staff,  # noqa: F811
    organization: Organization,
) -> None:
    execution = AgentExecutionFactory(
        organization=organization, trace_id=TRACE, span_id=SPAN, input={"html": "<script>alert(1)</script>"}
    )
    child = AgentExecutionFactory(organization=organization, parent_execution=execution)
    call = ModelCallFactory(organization=organization, execution=execution)
    use = ToolExecutionFactory(organization=organization, execution=execution)
    feedback = FeedbackFactory(organization=organization, task_run=None, execution=execution)
    AgentExecutionFactory(organization=organization)
    html = page(staff, execution)
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert(1)" not in html
    for row, name in ((child, "parent_execution"), (call, "execution"), (use, "execution"), (feedback, "execution")):
        address = f"{url('changelist', type(row))}?{name}__id__exact={execution.pk}"
        assert address in html
        assert listed(staff.client.get(address).content.decode()) == [str(row.pk)]
    address = f"{reverse('admin:agents_agentexecution_changelist')}?trace_id__exact={TRACE}"
    assert address in html
    assert listed(staff.client.get(address).content.decode()) == [str(execution.pk)]
    for inside in (call, use):
        assert url("change", AgentExecution, execution.pk) in page(staff, inside)


def test_an_execution_tells_what_it_and_what_is_inside_consumed(
    organization: Organization,
    staff: Staff,  # noqa: F811
) -> None:
    """Its own totals repeat what is inside: they aren't added."""
    stored(
        organization,
        [
            agent(1, input_tokens=9_999, output_tokens=9_999),
            step(2, 1),
            call(3, 2, cached_tokens=400, reasoning_tokens=30),
            call(4, 1, provider="nobody", request_model="nobody-knows-1", status="failed"),
            tool(5, 2),
        ],
    )
    root, inner = AgentExecution.objects.order_by("span_id")
    html = page(staff, root)
    assert "2,000 tokens in (400 of them cached), 200 out (30 of them reasoning), $0.003 and 1 span of unknown" in html
    assert "2 model calls, 1 tool execution, 1 failed" in html
    assert "1,000 tokens in (400 of them cached), 100 out (30 of them reasoning), $0.003, 1 model call," in page(
        staff, inner
    )
    with CaptureQueriesContext(connection) as queries:
        page(staff, root)
    assert len([query for query in queries if "WITH RECURSIVE inside" in query["sql"]]) == 1


def test_what_would_take_long_to_add_up_is_not_added_up(
    organization: Organization,
    staff: Staff,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executions, "MOST_SUMMED", 2)
    stored(organization, [agent(1), call(2, 1), tool(3, 1)])
    html = page(staff, AgentExecution.objects.get())
    assert "Not added up here, for its trace has 3 spans." in html
    assert "tokens in (" not in html


def test_lists_tell_times_and_money_as_the_waterfall_does(organization: Organization, staff: Staff) -> None:  # noqa: F811
    dear = {"provider": "", "request_model": "nobody-knows-1", "reported_cost": None}
    stored(organization, [agent(1, seconds=500, reported_cost=Decimal("0.00000154")), tool(2, 1, seconds=0.25)])
    stored(organization, [call(3, trace=2, seconds=75), call(4, trace=2, **dear)])
    for model, told in {
        AgentExecution: ("8:20", "$0.00000154"),
        ModelCall: ("1:15", "$0.0035"),
        ToolExecution: ("250 ms",),
        Trace: ("8:20", "$0.00000154", "1:15", "$0.0035"),
    }.items():
        for question in ({}, {"o": "6"}):
            html = staff.client.get(url("changelist", model), question).content.decode()
            assert [text for text in told if f">{text}</td>" not in html] == [], model


def test_a_span_leads_to_the_waterfall_of_its_trace(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [agent(1), call(2, 1), tool(3, 1)])
    address = reverse("admin:agents_trace_waterfall", args=(Trace.objects.get().pk,))
    for model in FACTORIES:
        assert f'href="{address}"' in page(staff, model._default_manager.get())


def test_an_execution_is_found_by_its_id(staff: Staff, organization: Organization) -> None:  # noqa: F811
    one = AgentExecutionFactory(organization=organization, execution_id="run-17")
    AgentExecutionFactory(organization=organization, execution_id="run-18")
    for term in ("run-17", str(one.pk)):
        answer = staff.client.get(url("changelist", AgentExecution), {"q": term})
        assert listed(answer.content.decode()) == [str(one.pk)]


def test_a_list_is_filtered(staff: Staff, organization: Organization) -> None:  # noqa: F811
    one = ModelCallFactory(
        organization=organization,
        request_model="a",
        started_at="2026-03-04T12:00:00Z",
        completed_at="2026-03-04T12:00:01Z",
    )
    ModelCallFactory(organization=organization)
    for query in (
        {"model__exact": "a"},
        {"execution__id__exact": str(one.execution_id)},
        {"started_at__lt": "2026-03-05"},
    ):
        assert listed(staff.client.get(url("changelist", ModelCall), query).content.decode()) == [str(one.pk)]
    assert staff.client.get(url("changelist", ModelCall), {"trace_id__exact": "x"}).status_code == 302
