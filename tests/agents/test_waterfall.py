"""The waterfall page of a trace: what it shows, how it stays small, and who may see it."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import AgentExecution, ModelCall, ToolExecution, Trace
from agents.services import waterfall
from core.models import Organization
from tests.admin.conftest import Staff, StaffMaker, make_staff, staff, superuser  # noqa: F401 (fixtures)
from tests.admin.pages import inline_code
from tests.kit.spans import agent, call, span_id, step, stored, tool

pytestmark = pytest.mark.django_db

BAR = re.compile(r'<rect class="([^"]*)" x="([^"]*)%" y="2" width="([^"]*)%"')


def page(client: Client, **question: Any) -> str:
    """Return the waterfall of the only trace."""
    answer = client.get(reverse("admin:agents_trace_waterfall", args=(Trace.objects.get().pk,)), question)
    assert answer.status_code == 200
    html = answer.content.decode()
    assert inline_code(html) == []
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    return html


def bars(html: str) -> list[tuple[str, float, float]]:
    """Return each bar's class, and where it begins and how long it is in percent."""
    return [(css, float(x), float(width)) for css, x, width in BAR.findall(html)]


def test_bars_stand_on_the_time_axis(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(
        organization,
        [
            agent(1, name="invoke planner", seconds=10),
            step(2, 1, name="plan", after=2, seconds=5),
            call(3, 2, name="chat gpt-4o", after=2.5, seconds=1),
            tool(4, 2, name="look up", after=4, seconds=2, status="failed", error_type="LookupError"),
        ],
    )
    html = page(staff.client)
    assert bars(html) == [
        ("waterfall-agent", 0, 100),
        ("waterfall-step", 20, 50),
        ("waterfall-model", 25, 10),
        ("waterfall-tool waterfall-bad", 40, 20),
    ]
    assert re.findall(r"waterfall-in(\d+)", html) == ["0", "1", "2", "2"]
    assert re.findall(r'<abbr [^>]*title="([^"]*)">(\w)</abbr>', html) == [
        ("Agent", "A"),
        ("Chain", "C"),
        ("Model call", "M"),
        ("Tool execution", "T"),
    ]
    assert "✕ LookupError" in html
    assert "1,100" in html
    assert "$0.0035" in html
    assert re.findall(r"<text [^>]*>([^<]*)</text>", html) == ["0", "2 s", "4 s", "6 s", "8 s", "10 s"]


def test_a_bar_leads_to_its_record(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [agent(1), call(2, 1), tool(3, 1)])
    html = page(staff.client)
    for model in (AgentExecution, ModelCall, ToolExecution):
        address = reverse(f"admin:agents_{model._meta.model_name}_change", args=(model._default_manager.get().pk,))
        assert f'href="{address}"' in html
        assert staff.client.get(address).status_code == 200


def test_what_repeats_is_in_brackets(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [agent(1, input_tokens=770, output_tokens=7, reported_cost=Decimal("0.25")), call(2, 1)])
    assert re.findall(r"<span title=\"[^\"]*\">\(([^)]*)\)</span>", page(staff.client)) == ["777", "$0.25"]


def test_text_of_clients_is_text(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [agent(1, name="<script>alert(1)</script>", error_type="<b>", status="failed")])
    html = page(staff.client)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;b&gt;" in html


def test_deep_spans_of_a_large_trace_are_opened_by_links(
    organization: Organization,
    staff: Staff,  # noqa: F811
) -> None:
    spans = [agent(1, seconds=100)]
    for number in range(2, 12):
        spans.append(step(number, 1, after=number))
        spans += [call(number * 1_000 + each, number, after=number + each / 1_000) for each in range(200)]
    stored(organization, spans)
    html = page(staff.client)
    assert len(bars(html)) == 11
    assert "11 of 2,011 spans are drawn." in html
    more = re.findall(r'href="\?under=([^"]*)">\+ ([\d,]+) inside', html)
    assert [number for _, number in more] == ["200"] * 10
    assert "Those deeper than 2 levels are behind" in html
    inner = page(staff.client, under=more[0][0])
    assert len(bars(inner)) == 201
    assert "Only what is under" in inner
    assert bars(inner)[0][1] == 0


def test_what_is_hidden_tells_its_failures_tokens_and_cost(
    organization: Organization,
    staff: Staff,  # noqa: F811
    django_assert_max_num_queries: Any,
) -> None:
    """Ten steps of 60 spans: the third holds a tool that failed, the fifth a step whose own calls failed."""
    spans = [agent(1, seconds=500)]
    for number in range(2, 12):
        spans.append(step(number, 1, name=f"step {number}", after=number, input_tokens=7, output_tokens=7))
        inside = [call(number * 1_000 + each, number, after=number + each / 1_000) for each in range(58)]
        spans += [*inside, tool(number * 1_000 + 58, number, after=number + 0.5)]
    spans += [
        tool(4_900, 4, after=4.6, status="failed"),
        call(6_900, 6, after=6.6, status="timeout", input_tokens=None, output_tokens=None),
        step(6_901, 6, after=6.5, status="failed", input_tokens=9, output_tokens=9),
        call(6_902, 6_901, after=6.7, status="failed"),
    ]
    stored(organization, spans)
    with django_assert_max_num_queries(14):
        html = page(staff.client)
    rows = {
        name: row for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL) for name in re.findall(r">(step \d+)</a>", row)
    }
    assert len(rows) == 10
    sums = {name: re.findall(r"Σ ([^<]*)<", row) for name, row in rows.items()}
    assert sums.pop("step 6") == ["64,900", "$0.2065"]
    assert list(sums.values()) == [["63,800", "$0.203"]] * 9
    failed = {
        name: re.findall(r'href="([^"]*)" title="The first that failed">✕ (\d+) failed inside', row)
        for name, row in rows.items()
    }
    first_tool = ToolExecution.objects.get(span_id=span_id(4_900).hex())
    first_step = AgentExecution.objects.get(span_id=span_id(6_901).hex())
    assert {name: links for name, links in failed.items() if links} == {
        "step 4": [(reverse("admin:agents_toolexecution_change", args=(first_tool.pk,)), "1")],
        "step 6": [(reverse("admin:agents_agentexecution_change", args=(first_step.pk,)), "3")],
    }
    assert [name for name, row in rows.items() if "waterfall-failed" in row] == ["step 4", "step 6"]


def test_what_counts_stands_beside_what_is_inside(organization: Organization, staff: Staff) -> None:  # noqa: F811
    """A call with 600 tools, of which one asks a model."""
    inside = [*(tool(number, 2, after=number / 1_000) for number in range(10, 610)), call(3, 10)]
    stored(organization, [agent(1), call(2, 1), *inside])
    html = page(staff.client)
    [around, *_] = [row for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL) if "+ 601 inside" in row]
    assert re.findall(r">([^<>]*) <span[^>]*>Σ ([^<]*)<", around) == [("1,100", "1,100"), ("$0.0035", "$0.0035")]


@pytest.mark.parametrize(
    ("seconds", "marks", "took"),
    [
        (500, ["0", "1:40", "3:20", "5:00", "6:40", "8:20"], "8:20"),
        (100, ["0", "0:20", "0:40", "1:00", "1:20", "1:40"], "1:40"),
        (9_000, ["0", "30:00", "1:00:00", "1:30:00", "2:00:00", "2:30:00"], "2:30:00"),
        (0.5, ["0", "100 ms", "200 ms", "300 ms", "400 ms", "500 ms"], "500 ms"),
    ],
)
def test_the_axis_says_what_the_bars_say(
    seconds: float,
    marks: list[str],
    took: str,
    organization: Organization,
    staff: Staff,  # noqa: F811
) -> None:
    stored(organization, [agent(1, seconds=seconds)])
    html = page(staff.client)
    assert re.findall(r"<text [^>]*>([^<]*)</text>", html) == marks
    assert f"Completed, {took} from" in html
    assert f'<td class="waterfall-number">{took}</td>' in html


def test_a_small_cost_is_not_told_as_nothing(organization: Organization, staff: Staff) -> None:  # noqa: F811
    known = {"provider": "nobody", "request_model": "nobody-knows-1", "input_tokens": 7, "output_tokens": 0}
    stored(organization, [agent(1), call(2, 1, **known, reported_cost=Decimal("0.00000154"))])
    html = page(staff.client)
    assert html.count("$0.00000154") == 2
    assert "$0.0000<" not in html


def test_a_flat_trace_is_leafed_through(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [agent(1), *(tool(number, 1) for number in range(2, 1_203))])
    seen, question = 0, {}
    for _ in range(4):
        html = page(staff.client, **question)
        assert len(html) < 600_000
        seen += len(bars(html))
        following = re.search(r'href="\?from=([^"]*)">Next', html)
        if not following:
            break
        question = {"from": following[1]}
    assert seen == 1_202


def test_a_chain_deeper_than_the_page_is_wide(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [agent(1), *(step(number, number - 1) for number in range(2, 1_500))])
    html = page(staff.client)
    assert len(bars(html)) == waterfall.MOST_BARS
    assert f"waterfall-in{waterfall.DEEPEST}" in html
    assert f"waterfall-in{waterfall.DEEPEST + 1}" not in html
    [(deeper, number)] = re.findall(r'href="\?under=([^"]*)">\+ ([\d,]+) inside', html)
    assert int(number.replace(",", "")) == 1_499 - waterfall.MOST_BARS
    assert len(bars(page(staff.client, under=deeper))) == waterfall.MOST_BARS


def test_a_trace_of_no_length_and_without_a_root_is_drawn(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [tool(2, 1, seconds=0)])
    html = page(staff.client)
    [(_, left, width)] = bars(html)
    assert left == 0
    assert width > 0
    assert "hasn't come yet" in html


def test_a_part_that_is_not_there_is_not_found(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [agent(1)])
    address = reverse("admin:agents_trace_waterfall", args=(Trace.objects.get().pk,))
    for question in ({"under": "nonsense"}, {"from": span_id(1).hex()}):
        assert staff.client.get(address, question).status_code == 404


def test_the_list_and_the_record_lead_to_it(organization: Organization, staff: Staff) -> None:  # noqa: F811
    stored(organization, [agent(1, session_id="s1", seconds=4)])
    trace = Trace.objects.get()
    address = reverse("admin:agents_trace_waterfall", args=(trace.pk,))
    changelist = reverse("admin:agents_trace_changelist")
    for question in ({}, {"q": trace.trace_id}, {"q": "s1"}, {"duration__gte": "3"}, {"has_errors": "0"}):
        assert address in staff.client.get(changelist, question).content.decode(), question
    for question in ({"q": "0" * 32}, {"duration__gte": "5"}, {"has_errors": "1"}):
        assert address not in staff.client.get(changelist, question).content.decode(), question
    assert address in staff.client.get(reverse("admin:agents_trace_change", args=(trace.pk,))).content.decode()


def test_only_who_may_see_the_trace_sees_it(
    organization: Organization,
    other_organization: Organization,
    make_staff: StaffMaker,  # noqa: F811
    superuser: Staff,  # noqa: F811
) -> None:
    stored(organization, [agent(1)])
    address = reverse("admin:agents_trace_waterfall", args=(Trace.objects.get().pk,))
    assert superuser.client.get(address).status_code == 200
    assert make_staff("elsewhere", at=other_organization).client.get(address).status_code == 404
    assert make_staff("nothing", permissions=[]).client.get(address).status_code in (403, 404)
    assert Client().get(address).status_code == 302
