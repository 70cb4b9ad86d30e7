"""The admin's page of figures: bars over time, and tables by agent, model and tool."""

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from agents.admin.overview import HEIGHT, MOST_ROWS, chart
from agents.models import SpanStatistic
from core.models import Organization, Role
from tests.admin.conftest import Staff, StaffMaker, make_staff, staff, superuser  # noqa: F401 (fixtures)
from tests.admin.pages import inline_code, listed, url
from tests.kit.spans import agent, call, stored, tool

pytestmark = pytest.mark.django_db

PAGE = "/admin/agents/spanstatistic/overview/"


@pytest.fixture
def work(organization: Organization) -> datetime:
    """Today two traces, one of them failed, and four days ago one; return when today's were."""
    now = datetime.now(tz=UTC) - timedelta(seconds=1)
    for trace, (at, status) in enumerate(
        [(now, "completed"), (now, "failed"), (now - timedelta(days=4), "completed")], 1
    ):
        common: dict[str, Any] = {"trace": trace, "at": at, "after": 0, "seconds": 0.25}
        spans = [agent(1, agent_name="plan & go", status=status, **common), call(2, 1, **common)]
        stored(organization, [*spans, tool(3, 1, tool_name="search", **common)])
    return now


def charts(html: str) -> list[Any]:
    """Return the SVGs of a page."""
    found = ["<svg class" + part[: part.index("</svg>") + 6] for part in html.split("<svg class")[1:]]
    return [ElementTree.fromstring(each) for each in found]


def tall(drawing: Any, of: str) -> list[float]:
    return [float(each.get("height")) for each in drawing.iter("rect") if each.get("class") == of]


def test_the_list_leads_to_the_overview(staff: Staff, make_staff: StaffMaker) -> None:  # noqa: F811
    looker = make_staff("looker", Role.VIEWER, permissions=["view_spanstatistic"])
    for each in (staff, looker):
        assert f'href="{PAGE}"' in each.client.get(url("changelist", SpanStatistic)).content.decode()
        assert each.client.get(PAGE).status_code == 200
    assert make_staff("nobody", permissions=["view_task"]).client.get(PAGE).status_code == 403


def test_bars_are_as_tall_as_what_they_stand_for(work: datetime, staff: Staff) -> None:  # noqa: F811
    html = staff.client.get(PAGE).content.decode()
    assert not inline_code(html)
    executions, cost = charts(html)
    assert tall(executions, "all") == [0, 0, HEIGHT / 2, 0, 0, 0, HEIGHT]
    assert tall(executions, "failed") == [0, 0, 0, 0, 0, 0, HEIGHT / 2]
    assert tall(cost, "all") == [0, 0, HEIGHT / 2, 0, 0, 0, HEIGHT]
    titles = [each.text for each in executions.iter("title")]
    assert titles[-1] == f"{work:%-d %b}: 2, 1 failed"
    assert len(charts(staff.client.get(PAGE, {"period": "24h"}).content.decode())[0].findall(".//rect")) == 48


def test_tables_lead_to_the_records(work: datetime, staff: Staff, organization: Organization) -> None:  # noqa: F811
    html = staff.client.get(PAGE).content.decode()
    asked = f"organization__id__exact={organization.pk}&agent_name__exact=plan+%26+go"
    address = f"/admin/agents/agentexecution/?{asked}"
    cells = "".join(f"<td>{figure}</td>" for figure in ("3", "1", "66.7%", "3,300", "$0.0105"))
    assert f'<a href="{escape(address)}">plan &amp; go</a></th>{cells}' in html
    assert len(listed(staff.client.get(address).content.decode())) == 3
    assert listed(staff.client.get(address.replace("go", "gone")).content.decode()) == []
    assert "gpt-4o</a>" in html
    assert "search</a>" in html


def test_lists_that_one_may_not_see_are_no_links(work: datetime, make_staff: StaffMaker) -> None:  # noqa: F811
    looker = make_staff("looker", Role.VIEWER, permissions=["view_spanstatistic", "view_toolexecution"])
    html = looker.client.get(PAGE).content.decode()
    assert "search</a>" in html
    assert 'scope="row">gpt-4o</th>' in html


def test_only_the_dearest_are_shown(organization: Organization, staff: Staff) -> None:  # noqa: F811
    now = datetime.now(tz=UTC) - timedelta(seconds=1)
    for number in range(MOST_ROWS + 3):
        spans = [agent(1, trace=number + 1, agent_name=f"agent-{number:02}", at=now, after=0, seconds=0.1)]
        spans += [call(2 + each, 1, trace=number + 1, at=now, after=0, seconds=0.1) for each in range(number)]
        stored(organization, spans)
    html = staff.client.get(PAGE).content.decode()
    assert [f"agent-{number:02}</a>" in html for number in range(MOST_ROWS + 3)] == [False] * 3 + [True] * MOST_ROWS
    assert "3 more with less cost." in html


def test_staff_see_their_own_organizations_figures(
    staff: Staff,  # noqa: F811
    superuser: Staff,  # noqa: F811
    other_organization: Organization,
) -> None:
    stored(other_organization, [agent(1, agent_name="theirs", at=datetime.now(tz=UTC), after=-0.1, seconds=0.1)])
    asked = {"organization": str(other_organization.pk)}
    for question in ({}, asked):
        assert "theirs</a>" not in staff.client.get(PAGE, question).content.decode()
        assert "theirs</a>" in superuser.client.get(PAGE, question).content.decode()


@pytest.mark.parametrize(("days", "period"), [(0, "7d"), (6, "7d"), (7, "30d"), (40, "90d"), (400, "90d")])
def test_it_reaches_back_to_the_last_work(days: int, period: str, organization: Organization, staff: Staff) -> None:  # noqa: F811
    at = datetime.now(tz=UTC) - timedelta(days=days, seconds=1)
    stored(organization, [agent(1, agent_name="planner", at=at, after=0, seconds=0.1)])
    html = staff.client.get(PAGE).content.decode()
    assert f'<option value="{period}" selected>' in html
    assert '<option value="7d" selected>' in staff.client.get(PAGE, {"organization": organization.pk}).content.decode()
    assert ("planner</a>" in html) == (days < 90)
    assert ("No execution and no call" in html) == (days > 90)


@pytest.mark.parametrize("question", [{"period": "5y"}, {"organization": "x"}, {"organization": ""}])
def test_what_is_asked_wrongly_is_told(question: dict[str, str], staff: Staff) -> None:  # noqa: F811
    answer = staff.client.get(PAGE, question)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()


def test_the_page_takes_as_many_queries_for_a_few_as_for_many(
    work: datetime,
    staff: Staff,  # noqa: F811
    organization: Organization,
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            staff.client.get(PAGE, {"period": "90d"})
        return len(queries)

    staff.client.get(PAGE)
    before = count()
    for number in range(20):
        stored(organization, [agent(1, trace=50 + number, agent_name=f"a{number}", at=work, after=0, seconds=0.1)])
    assert count() == before


def test_nothing_is_no_division_by_nothing() -> None:
    times = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2)]
    drawn = chart("Executions", times, [0, 0], [0, 0], str)
    assert [bar.height for bar in drawn.bars] == ["0.0", "0.0"]
    assert (drawn.first, drawn.last) == ("1 Mar", "2 Mar")
