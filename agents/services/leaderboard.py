"""Which models answer best: round tables' ranks, made into strengths by the Bradley-Terry model.

Each two answers of a judged round table are a comparison: the higher rank wins, equal ranks are half a win each. A
model's strength is the logarithm of its Bradley-Terry parameter (R. A. Bradley, M. E. Terry: Rank Analysis of
Incomplete Block Designs, Biometrika 39, 1952), with 0 as the mean of all: a model whose strength is x above another's
wins exp(x) / (1 + exp(x)) of the comparisons. So that one that won or lost all has a finite one too, each model tied
once more, that one comparison being spread over all the others. Intervals come from resampling round tables, since the
comparisons within one depend on each other.

The work is bounded: the newest ``MAX_TABLES`` round tables, by one index; the ``MAX_MODELS`` models with the most
answers in them; ``RESAMPLES`` resamples.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from agents.models import RoundTable, RoundTableEntry
from agents.models.roundtables import MAX_ENTRIES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

MAX_TABLES = 5_000
MAX_MODELS = 50
RESAMPLES = 200
SEED = 20_240_229  # any; it makes the same question have the same answer
DECIMALS = 6  # of strengths: what the fit is sure of, so that models which stand alike are told to
TOLERANCE, RESAMPLE_TOLERANCE = 1e-9, 1e-5


class Name(NamedTuple):
    """A model, by its provider's and its own name."""

    provider: str
    model: str


class Answer(NamedTuple):
    """An entry of a judged round table; ``rank`` is None where it failed. Cost in US dollars, latency in seconds."""

    round_table: UUID
    name: Name
    rank: int | None
    cost: Decimal | None = None
    latency: float | None = None


@dataclass(frozen=True)
class Standing:
    """How one model stands. Without a comparison it has neither rank, strength, interval nor win rate.

    ``low`` and ``high`` bound the 95 % interval of ``strength``; None where there is but one round table.
    """

    provider: str
    model: str
    rank: int | None
    strength: float | None
    low: float | None
    high: float | None
    win_rate: float | None
    comparisons: int
    answers: int
    failures: int
    mean_cost: Decimal | None
    mean_latency: float | None


@dataclass(frozen=True)
class Leaderboard:
    """The models, the strongest first, and what they were judged by.

    ``more_round_tables`` tells that older round tables were left out, ``more_models`` how many models were.
    """

    standings: list[Standing]
    round_tables: int
    more_round_tables: bool
    more_models: int


def leaderboard(
    *,
    organization_id: UUID,
    category: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Leaderboard:
    """Return how the organization's models stand by the round tables judged from ``start`` until before ``end``."""
    tables = RoundTable.objects.for_organization(organization_id).judged().order_by("-judged_at", "-id")
    if category is not None:
        tables = tables.filter(task_category=category)
    if start is not None:
        tables = tables.filter(judged_at__gte=start)
    if end is not None:
        tables = tables.filter(judged_at__lt=end)
    rows = (
        RoundTableEntry.objects.filter(round_table__in=tables.values("pk")[:MAX_TABLES])
        .order_by("round_table_id", "provider", "model")
        .values_list("round_table_id", "provider", "model", "rank", "cost", "latency")
    )
    answers = [Answer(table, Name(*name), rank, cost, latency) for table, *name, rank, cost, latency in rows]
    return standings(answers, more_round_tables=tables[MAX_TABLES : MAX_TABLES + 1].exists())


def standings(answers: Sequence[Answer], *, more_round_tables: bool = False) -> Leaderboard:
    """Return how the models stand by these answers, of which those of a round table come together."""
    counts = Counter(answer.name for answer in answers)
    chosen = {name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_MODELS]}
    kept = [answer for answer in answers if answer.name in chosen]
    comparisons = Comparisons([answer for answer in kept if answer.rank is not None])
    rows = comparisons.figures()
    ordered = sorted(rows, key=lambda name: (-rows[name].strength, name))
    strengths = [rows[name].strength for name in ordered]
    ranks = {name: 1 + sum(other > rows[name].strength for other in strengths) for name in ordered}
    by_name: dict[Name, list[Answer]] = {name: [] for name in (*ordered, *sorted(chosen - set(ordered)))}
    for answer in kept:
        by_name[answer.name].append(answer)
    return Leaderboard(
        standings=[_standing(name, found, rows.get(name), ranks.get(name)) for name, found in by_name.items()],
        round_tables=len({answer.round_table for answer in answers}),
        more_round_tables=more_round_tables,
        more_models=len(counts) - len(chosen),
    )


class Figures(NamedTuple):
    """What comparisons say of one model."""

    strength: float
    low: float | None
    high: float | None
    win_rate: float
    comparisons: int


class Comparisons:
    """The comparisons between answers of the same round tables: a column each, a row a comparison.

    ``share`` is what ``one`` won of the comparison with ``other``: 1, 0.5 or 0.
    """

    table: Any
    one: Any
    other: Any
    share: Any

    def __init__(self, answers: Sequence[Answer]) -> None:
        # Imported here: with SciPy, which choix needs, it takes a worker some 100 MB and seconds; most never come by.
        import numpy as np

        self.np: Any = np
        names = sorted({answer.name for answer in answers})
        number = {name: position for position, name in enumerate(names)}
        tables = {table: position for position, table in enumerate(dict.fromkeys(each.round_table for each in answers))}
        self._pair_up(
            np.array([tables[each.round_table] for each in answers], dtype=np.int64),
            np.array([number[each.name] for each in answers], dtype=np.int64),
            np.array([each.rank for each in answers], dtype=np.int64),
        )
        # Only models that were compared are numbered from here on.
        used = np.unique(np.concatenate([self.one, self.other]))
        self.names = [names[position] for position in used]
        self.one, self.other = np.searchsorted(used, self.one), np.searchsorted(used, self.other)
        self.tables = len(set(self.table.tolist()))
        self.table = np.unique(self.table, return_inverse=True)[1]

    def _pair_up(self, table: Any, model: Any, rank: Any) -> None:
        """Compare each answer with those that follow it in its round table."""
        np = self.np
        parts = []
        for distance in range(1, min(MAX_ENTRIES, len(table))):
            same = table[:-distance] == table[distance:]
            mine, theirs = rank[:-distance][same], rank[distance:][same]
            share = np.where(mine < theirs, 1.0, np.where(mine == theirs, 0.5, 0.0))
            parts.append((table[:-distance][same], model[:-distance][same], model[distance:][same], share))
        none = (np.zeros(0, dtype=np.int64),) * 3 + (np.zeros(0),)
        columns = [np.concatenate(column) for column in zip(none, *parts, strict=True)]
        self.table, self.one, self.other, self.share = columns

    def wins(self, weights: "Numbers") -> "Numbers":
        """Return how often each model (row) won against each other one (column), each comparison times its weight."""
        size = len(self.names)
        one = self.np.bincount(self.one * size + self.other, self.share * weights, size * size)
        other = self.np.bincount(self.other * size + self.one, (1 - self.share) * weights, size * size)
        return (one + other).reshape(size, size)

    def figures(self) -> dict[Name, Figures]:
        """Return what the comparisons say of each model that took part in one."""
        if not self.names:
            return {}
        np = self.np
        wins = self.wins(np.ones(len(self.share)))
        strengths = fit(wins)
        won, lost = wins.sum(axis=1), wins.sum(axis=0)
        low, high = self._intervals(strengths)
        return {
            name: Figures(
                strength=round(float(strengths[position]), DECIMALS),
                low=None if low is None else round(float(low[position]), DECIMALS),
                high=None if high is None else round(float(high[position]), DECIMALS),
                win_rate=float(won[position] / (won[position] + lost[position])),
                comparisons=round(won[position] + lost[position]),
            )
            for position, name in enumerate(self.names)
        }

    def _intervals(self, strengths: "Numbers") -> tuple[Any, Any]:
        """Return the bounds of the 95 % intervals: percentiles of the bootstrap over round tables."""
        if self.tables <= 1:
            return None, None
        np = self.np
        random = np.random.default_rng(SEED)
        resampled = []
        for _ in range(RESAMPLES):
            drawn = np.bincount(random.integers(self.tables, size=self.tables), minlength=self.tables)
            wins = self.wins(drawn[self.table].astype(float))
            resampled.append(fit(wins, strengths, RESAMPLE_TOLERANCE))
        return tuple(np.quantile(np.array(resampled), [0.025, 0.975], axis=0))


def fit(wins: "Numbers", initial: "Numbers | None" = None, tolerance: float = TOLERANCE) -> "Numbers":
    """Return the strengths, with mean 0, that make the wins likeliest, together with one more tie of each model.

    ``initial`` are strengths to begin at; the last step changes them by ``tolerance`` a model at most, on average.
    """
    import choix

    size = len(wins)
    prior = 0.5 / (size - 1)
    return choix.ilsr_pairwise_dense(wins + prior, initial_params=initial, max_iter=10_000, tol=tolerance)


def _standing(name: Name, answers: Sequence[Answer], figures: Figures | None, rank: int | None) -> Standing:
    given = [answer for answer in answers if answer.rank is not None]
    costs = [answer.cost for answer in given if answer.cost is not None]
    latencies = [answer.latency for answer in given if answer.latency is not None]
    return Standing(
        provider=name.provider,
        model=name.model,
        rank=rank,
        strength=figures.strength if figures else None,
        low=figures.low if figures else None,
        high=figures.high if figures else None,
        win_rate=figures.win_rate if figures else None,
        comparisons=figures.comparisons if figures else 0,
        answers=len(given),
        failures=len(answers) - len(given),
        mean_cost=(sum(costs, Decimal(0)) / len(costs)).quantize(Decimal("0.00000001")) if costs else None,
        mean_latency=sum(latencies) / len(latencies) if latencies else None,
    )
