"""The page that draws what an organization's agents did and cost: over time, and by agent, model and tool."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.db.models import F, OuterRef, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from agents.admin.question import DrawnPage, OrganizationForm
from agents.models import SpanKind, Trace
from agents.services.figures import dollars, told
from agents.services.statistics import DAY, HOUR, Group, period, statistics
from core.models import Organization

WIDTH, TOP, HEIGHT, FOOT = 960, 24, 130, 24
MOST_ROWS = 10
PERIODS = {
    "24h": ("24 hours", 24, HOUR),
    "7d": ("7 days", 7, DAY),
    "30d": ("30 days", 30, DAY),
    "90d": ("90 days", 90, DAY),
}
DEFAULT_PERIODS = ("7d", "30d", "90d")
# By what, of which spans, and by which filter of which list they are found.
TABLES = (
    ("Agents", SpanKind.EXECUTION, "agent", "agentexecution", "agent_name__exact"),
    ("Models", SpanKind.MODEL_CALL, "model", "modelcall", "model__exact"),
    ("Tools", SpanKind.TOOL_EXECUTION, "tool", "toolexecution", "tool_name__exact"),
)


@dataclass(frozen=True)
class Bar:
    """One hour or day of a chart, in the chart's own units; ``failed`` is the height of what failed."""

    x: str
    y: str
    width: str
    height: str
    failed: str
    failed_y: str
    title: str


@dataclass(frozen=True)
class Chart:
    """What the template draws. All numbers are text already, as SVG wants them, whatever the locale."""

    title: str
    most: str
    first: str
    last: str
    width: str
    height: str
    base: str
    bars: list[Bar]


def chart(
    title: str, times: Sequence[datetime], amounts: Sequence[Any], failures: Sequence[int], text: Callable[[Any], str]
) -> Chart:
    """Return where everything of a chart stands.

    Args:
        title: what it is of.
        times: when each hour or day began, of two at least.
        amounts: how much there was in each, 0 or more.
        failures: how much of that failed.
        text: how an amount is written.
    """
    most = max(amounts)
    base, step = TOP + HEIGHT, WIDTH / len(times)
    label = _label_of(times)

    def high(amount: Any) -> float:
        return float(amount / most) * HEIGHT if most else 0.0

    bars = [
        Bar(
            x=f"{number * step + step * 0.1:.1f}",
            y=f"{base - high(amount):.1f}",
            width=f"{step * 0.8:.1f}",
            height=f"{high(amount):.1f}",
            failed=f"{high(failed):.1f}",
            failed_y=f"{base - high(failed):.1f}",
            title=f"{label(time)}: {text(amount)}{f', {failed:,} failed' if failed else ''}",
        )
        for number, (time, amount, failed) in enumerate(zip(times, amounts, failures, strict=True))
    ]
    size = (str(WIDTH), str(base + FOOT), str(base))
    return Chart(title, text(most), label(times[0]), label(times[-1]), *size, bars)


def _label_of(times: Sequence[datetime]) -> Callable[[datetime], str]:
    hourly = times[1] - times[0] < DAY
    return lambda time: f"{time:%-d %b %H:%M}" if hourly else f"{time:%-d %b}"


@dataclass(frozen=True)
class Row:
    """One agent, model or tool, or all of a kind. Figures are text; ``unpriced`` is empty where there is none."""

    name: str
    address: str
    count: str
    failures: str
    success: str
    tokens: str
    cost: str
    unpriced: str
    middle: str
    high: str


@dataclass(frozen=True)
class Table:
    """The dearest, or the busiest, of a kind; ``left`` is how many there are besides. Tools consume nothing."""

    title: str
    has_usage: bool
    rows: list[Row]
    left: int


def _row(group: Group, name: str, address: str) -> Row:
    middle, high = (group.durations[each] for each in (50, 95))
    return Row(
        name=name,
        address=address,
        count=f"{group.count:,}",
        failures=f"{group.failures:,}",
        success="-" if group.success_rate is None else f"{group.success_rate:.1%}",
        tokens=f"{group.input_tokens + group.output_tokens:,}",
        cost=dollars(group.cost),
        unpriced=f"{group.unpriced:,}" if group.unpriced else "",
        middle="-" if middle is None else told(middle),
        high="-" if high is None else told(high),
    )


@dataclass(frozen=True)
class Overview:
    """All that the page shows; without charts where nothing began."""

    totals: list[Row]
    charts: list[Chart]
    tables: list[Table]


def overview(organization_id: UUID, count: int, unit: timedelta, addresses: Callable[[str, str, str], str]) -> Overview:
    """Return what happened in the last hours or days.

    Args:
        organization_id: whose figures.
        count: how many hours or days.
        unit: an hour or a day.
        addresses: the address of the list of a model's records, filtered by a parameter and its value.
    """
    start, end = period(count, unit, now=timezone.now())

    def ask(kind: str, group_by: str | None) -> list[Group]:
        return statistics(organization_id=organization_id, kind=kind, group_by=group_by, start=start, end=end)

    totals = [_row(ask(kind, None)[0], kind.label, addresses(model, "", "")) for _, kind, _, model, _ in TABLES]
    tables = []
    for title, kind, group_by, model, parameter in TABLES:
        groups = sorted(ask(kind, group_by), key=lambda group: (-group.cost, -group.count, group.value))
        rows = [_row(group, group.value, addresses(model, parameter, group.value)) for group in groups[:MOST_ROWS]]
        tables.append(Table(title, kind != SpanKind.TOOL_EXECUTION, rows, max(0, len(groups) - MOST_ROWS)))
    found = {group.value: group for group in ask(SpanKind.EXECUTION, "hour" if unit == HOUR else "day")}
    times = [start + number * unit for number in range(count)]
    groups = [found.get(time, Group(time)) for time in times]
    counts, failures = [each.count for each in groups], [each.failures for each in groups]
    charts = [
        chart("Executions", times, counts, failures, "{:,}".format),
        chart("Cost", times, [each.cost for each in groups], [0] * len(groups), dollars),
    ]
    return Overview(totals, charts if found else [], tables)


class QuestionForm(OrganizationForm):
    """Whose figures, and of when."""

    period = forms.ChoiceField(
        choices=[(name, label) for name, (label, _, _) in PERIODS.items()],
        initial=DEFAULT_PERIODS[0],
        label="The last",
    )


class OverviewPage(DrawnPage):
    """The part of the statistics' admin that draws them."""

    drawn_page = "overview"
    drawn_form = QuestionForm

    def unprompted(self, request: HttpRequest, organizations: Any) -> dict[str, str]:
        """Return the organization that was last at work, and a period that reaches back to it."""
        newest = Trace.objects.filter(organization=OuterRef("pk")).order_by("-started_at").values("started_at")[:1]
        by_work = organizations.annotate(at_work=Subquery(newest)).order_by(F("at_work").desc(nulls_last=True), "pk")
        found, at_work = by_work.values_list("pk", "at_work").first() or ("", None)
        now = timezone.now()
        fitting = (name for name in DEFAULT_PERIODS if period(*PERIODS[name][1:], now=now)[0] <= (at_work or now))
        return {"organization": str(found), "period": next(fitting, DEFAULT_PERIODS[-1])}

    def drawn(self, request: HttpRequest, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the figures of the organization."""
        organization, (_, count, unit) = asked["organization"], PERIODS[asked["period"]]
        return {"shown": overview(organization.pk, count, unit, self._addresses(request, organization))}

    def _addresses(self, request: HttpRequest, organization: Organization) -> Callable[[str, str, str], str]:
        """Return how to find the list of what is in a row; nowhere, for who may not see it."""

        def address(model: str, parameter: str, value: str) -> str:
            if not request.user.has_perm(f"agents.view_{model}"):
                return ""
            asked = {"organization__id__exact": organization.pk} | ({parameter: value} if parameter else {})
            name = f"admin:agents_{model}_changelist"
            return f"{reverse(name, current_app=self.admin_site.name)}?{urlencode(asked)}"

        return address
