"""The page that draws the leaderboard: strengths with their intervals, as an SVG made here, and the figures below."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from agents.admin.question import OrganizationForm
from agents.models import RoundTable
from agents.services.leaderboard import MAX_TABLES, RESAMPLES, Leaderboard, Standing, leaderboard
from core.admin.tenancy import reach_of
from core.models import Organization

WIDTH, LEFT, RIGHT, TOP, ROW = 960, 300, 40, 30, 34
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
MOST_TICKS = 8


@dataclass(frozen=True)
class Mark:
    """One model on the plot, in the plot's own units."""

    name: str
    title: str
    y: str
    middle: str
    low: str
    high: str


@dataclass(frozen=True)
class Tick:
    """A line of the scale."""

    label: str
    x: str


@dataclass(frozen=True)
class Plot:
    """What the template draws: a scale of strengths, and a point with an interval for each model.

    All numbers are text already, as SVG wants them, whatever the locale.
    """

    width: str
    height: str
    left: str
    bottom: str
    ticks: list[Tick]
    marks: list[Mark]


def plot(board: Leaderboard) -> Plot | None:
    """Return where everything of the plot stands; None where no model was compared."""
    standings = [each for each in board.standings if each.strength is not None]
    if not standings:
        return None
    bounds = [bound for each in standings for bound in (each.strength, each.low, each.high) if bound is not None]
    step = next((step for step in STEPS if (max(bounds) - min(bounds)) / step < MOST_TICKS - 1), STEPS[-1])
    first, last = int(min(bounds) // step), int(-(-max(bounds) // step))
    last = max(last, first + 1)

    def x(strength: float) -> str:
        share = (strength - first * step) / ((last - first) * step)
        return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"

    height = TOP + ROW * len(standings) + 30
    return Plot(
        width=str(WIDTH),
        height=str(height),
        left=str(LEFT),
        bottom=str(height - 30),
        ticks=[Tick(f"{number * step:g}", x(number * step)) for number in range(first, last + 1)],
        marks=[_mark(each, position, x) for position, each in enumerate(standings)],
    )


def _mark(standing: Standing, position: int, x: Any) -> Mark:
    strength = standing.strength or 0.0
    low = strength if standing.low is None else standing.low
    high = strength if standing.high is None else standing.high
    interval = "" if standing.low is None else f", 95 % interval {low:.2f} to {high:.2f}"
    return Mark(
        name=f"{standing.rank}. {standing.provider}/{standing.model}",
        title=f"{standing.provider}/{standing.model}: {strength:.2f}{interval}",
        y=f"{TOP + ROW * (position + 0.5):.1f}",
        middle=x(strength),
        low=x(low),
        high=x(high),
    )


class QuestionForm(OrganizationForm):
    """Which round tables the page is about."""

    category = forms.CharField(required=False, max_length=100, label="Task category")
    start = forms.DateField(required=False, label="Judged from", widget=forms.DateInput({"type": "date"}))
    end = forms.DateField(required=False, label="to", widget=forms.DateInput({"type": "date"}))


def _midnight(day: date | None, days: int = 0) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), tzinfo=UTC) + timedelta(days=days)


class LeaderboardPage(admin.ModelAdmin):
    """The part of the round tables' admin that serves the leaderboard."""

    def get_urls(self) -> list[URLPattern]:
        """Return the kit's addresses and that of the leaderboard."""
        page = path(
            "leaderboard/", self.admin_site.admin_view(self.leaderboard_view), name="agents_roundtable_leaderboard"
        )
        return [page, *super().get_urls()]

    def leaderboard_view(self, request: HttpRequest) -> HttpResponse:
        """Show how the models of one organization stand; unless asked otherwise, of the one that judged last."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        organizations = reach_of(request).root(Organization.objects.all())
        asked = request.GET.copy()
        if "organization" not in asked:
            newest = reach_of(request).root(RoundTable.objects.all()).order_by("-pk")
            asked["organization"] = str(newest.values_list("organization_id", flat=True).first() or "")
        form = QuestionForm(asked, organizations=organizations, site=self.admin_site)
        board = None
        if form.is_valid():
            board = leaderboard(
                organization_id=form.cleaned_data["organization"].pk,
                category=form.cleaned_data["category"] or None,
                start=_midnight(form.cleaned_data["start"]),
                end=_midnight(form.cleaned_data["end"], days=1),
            )
        context = {
            **self.admin_site.each_context(request),
            "title": "Leaderboard",
            "opts": self.opts,
            "media": self.media + form.media,
            "form": form,
            "board": board,
            "plot": plot(board) if board else None,
            "resamples": RESAMPLES,
            "most_tables": MAX_TABLES,
        }
        return TemplateResponse(request, "admin/agents/roundtable/leaderboard.html", context)
