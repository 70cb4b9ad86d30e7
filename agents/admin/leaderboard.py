"""The page that draws the leaderboard: strengths with their intervals, as an SVG made here, and the figures below."""

from dataclasses import dataclass
from datetime import UTC, date
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator
from django.http import HttpRequest

from agents.admin.question import DrawnPage, OrganizationForm
from agents.models import RoundTable
from agents.services.leaderboard import MAX_TABLES, RESAMPLES, Leaderboard, Standing, leaderboard
from agents.services.spancounts import midnight
from agents.services.statistics import DAY
from core.admin.tenancy import reach_of

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
    end = forms.DateField(
        required=False,
        label="to",
        widget=forms.DateInput({"type": "date"}),
        validators=[MaxValueValidator(date.max - DAY)],  # the day after it has to be one
    )


class LeaderboardPage(DrawnPage):
    """The part of the round tables' admin that serves the leaderboard."""

    drawn_page = "leaderboard"
    drawn_form = QuestionForm

    def unprompted(self, request: HttpRequest, organizations: Any) -> dict[str, str]:
        """Return the organization that judged last."""
        newest = reach_of(request).root(RoundTable.objects.all()).order_by("-pk")
        return {"organization": str(newest.values_list("organization_id", flat=True).first() or "")}

    def drawn(self, request: HttpRequest, asked: dict[str, Any]) -> dict[str, Any]:
        """Return how the models of the organization stand."""
        start, end = asked["start"], asked["end"]
        board = leaderboard(
            organization_id=asked["organization"].pk,
            category=asked["category"] or None,
            start=midnight(start, UTC) if start else None,
            end=midnight(end + DAY, UTC) if end else None,
        )
        return {"board": board, "plot": plot(board), "resamples": RESAMPLES, "most_tables": MAX_TABLES}
