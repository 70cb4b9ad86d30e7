"""The leaderboard: Bradley-Terry against cases worked out by hand, its intervals, its bounds, and its endpoint."""

from datetime import UTC, datetime
from decimal import Decimal
from math import exp, log
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import RoundTable
from agents.services import leaderboard as service
from agents.services.leaderboard import Answer, Leaderboard, Name, standings
from core.models import Organization
from tests.factories.agents.round_tables import RoundTableFactory, judged
from tests.kit.cast import Actor
from tests.kit.plans import plan_of
from tests.kit.sql import run

pytestmark = pytest.mark.django_db

BOARD = "/api/v1/leaderboard/"


def tables(*ranked: dict[str, int | None]) -> list[Answer]:
    """Return the answers of round tables, each given by its models' ranks."""
    return [
        Answer(UUID(int=number), Name("acme", model), rank)
        for number, ranks in enumerate(ranked)
        for model, rank in sorted(ranks.items())
    ]


def strengths(board: Leaderboard) -> dict[str, float | None]:
    return {each.model: each.strength for each in board.standings}


# --- By hand -----------------------------------------------------------------------------------------


def test_of_two_models_the_odds_of_winning_are_the_strengths() -> None:
    """Three wins to one, and the tie that all are given: 3.5 to 1.5. The logarithm of that lies between the two."""
    board = standings(tables({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 2, "b": 1}))
    apart = log(3.5 / 1.5)
    assert strengths(board) == {"a": pytest.approx(apart / 2, abs=1e-6), "b": pytest.approx(-apart / 2, abs=1e-6)}
    first, second = board.standings
    assert (first.rank, first.win_rate, first.comparisons) == (1, 0.75, 4)
    assert (second.rank, second.win_rate, second.comparisons) == (2, 0.25, 4)


def test_a_tie_is_half_a_win_each() -> None:
    board = standings(tables({"a": 1, "b": 1}, {"a": 1, "b": 2}))
    apart = log(2 / 1)  # 1.5 wins to 0.5, and the tie that all are given
    assert strengths(board) == {"a": pytest.approx(apart / 2, abs=1e-6), "b": pytest.approx(-apart / 2, abs=1e-6)}
    assert [each.win_rate for each in board.standings] == [0.75, 0.25]
    level = standings(tables({"a": 1, "b": 1}))
    assert [(each.rank, each.strength) for each in level.standings] == [(1, 0), (1, 0)]


def test_three_models_solve_the_equations_of_the_likelihood() -> None:
    """At the maximum, each model's wins are what its strength lets one expect (Zermelo 1929, Ford 1957)."""
    games = [("a", "b", 5), ("b", "a", 2), ("b", "c", 4), ("c", "b", 3), ("a", "c", 6), ("c", "a", 1)]
    board = standings(tables(*({won: 1, lost: 2} for won, lost, times in games for _ in range(times))))
    found = {name: strength or 0.0 for name, strength in strengths(board).items()}
    prior = 0.25  # each model's one tie, spread over two others
    for name in "abc":
        wins = sum(times for won, _, times in games if won == name) + 2 * prior
        expected = sum(
            (sum(times for won, lost, times in games if {won, lost} == {name, other}) + 2 * prior)
            / (1 + exp(found[other] - found[name]))
            for other in "abc"
            if other != name
        )
        assert wins == pytest.approx(expected, abs=1e-4)
    assert sum(found.values()) == pytest.approx(0, abs=1e-5)


def test_one_that_won_or_lost_all_has_a_finite_strength() -> None:
    board = standings(tables(*[{"a": 1, "b": 2, "c": 3}] * 30))
    assert [each.model for each in board.standings] == ["a", "b", "c"]
    for each in board.standings:
        assert each.strength is not None
        assert abs(each.strength) < 10


def test_models_that_never_met_are_compared_by_what_they_tied() -> None:
    board = standings(tables({"a": 1, "b": 2}, {"c": 1, "d": 2}))
    found = strengths(board)
    assert found["a"] == pytest.approx(found["c"])
    assert [each.rank for each in board.standings] == [1, 1, 3, 3]


# --- Intervals ---------------------------------------------------------------------------------------


def drawn(truth: dict[str, float], count: int, seed: int) -> list[Answer]:
    """Return round tables of three models, ranked by chance as strengths say (Plackett-Luce)."""
    random = Random(seed)
    ranked = []
    for _ in range(count):
        left, ranks = random.sample(sorted(truth), 3), {}
        for rank in (1, 2, 3):
            best = random.choices(left, [exp(truth[name]) for name in left])[0]
            ranks[best] = rank
            left.remove(best)
        ranked.append(ranks)
    return tables(*ranked)


TRUTH = {"a": 1.2, "b": 0.4, "c": -0.4, "d": -1.2}


def test_intervals_hold_the_truth() -> None:
    """Of 10 samples of 4 models, 95 % of the intervals should; fewer than 34 of 40 would by chance be one in 500."""
    held = 0
    for seed in range(10):
        board = standings(drawn(TRUTH, 200, seed))
        assert [each.model for each in board.standings] == ["a", "b", "c", "d"]
        for each in board.standings:
            assert each.low is not None
            assert each.high is not None
            assert each.strength is not None
            assert each.low < each.strength < each.high
            held += each.low <= TRUTH[each.model] <= each.high
    assert 34 <= held <= 40


def test_intervals_narrow_with_more_round_tables() -> None:
    few, many = (standings(drawn(TRUTH, count, 1)).standings[0] for count in (50, 800))
    assert (many.high or 0) - (many.low or 0) < 0.5 * ((few.high or 0) - (few.low or 0))


def test_the_same_question_has_the_same_answer() -> None:
    assert standings(drawn(TRUTH, 60, 1)) == standings(drawn(TRUTH, 60, 1))


def test_one_round_table_tells_no_interval() -> None:
    [first, second] = standings(tables({"a": 1, "b": 2})).standings
    assert (first.low, first.high, second.low, second.high) == (None,) * 4


# --- What is left out --------------------------------------------------------------------------------


def test_models_that_were_compared_with_none_stand_last_without_a_rank() -> None:
    board = standings(tables({"a": 1, "b": 2, "c": None}, {"d": 1, "c": None}))
    assert [(each.model, each.rank, each.answers, each.failures) for each in board.standings] == [
        ("a", 1, 1, 0),
        ("b", 2, 1, 0),
        ("c", None, 0, 2),
        ("d", None, 1, 0),
    ]
    assert [(each.strength, each.win_rate, each.comparisons) for each in board.standings[2:]] == [(None, None, 0)] * 2


def test_the_models_with_the_most_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_MODELS", 2)
    board = standings(tables({"a": 1, "b": 2, "c": 3}, {"b": 1, "c": 2}))
    assert ([each.model for each in board.standings], board.more_models) == (["b", "c"], 1)


def test_the_newest_round_tables_are_kept(monkeypatch: pytest.MonkeyPatch, organization: Organization) -> None:
    for _ in range(3):
        judged(organization=organization)
    assert service.leaderboard(organization_id=organization.pk).more_round_tables is False
    monkeypatch.setattr(service, "MAX_TABLES", 2)
    board = service.leaderboard(organization_id=organization.pk)
    assert (board.round_tables, board.more_round_tables) == (2, True)


# --- Over HTTP ---------------------------------------------------------------------------------------


def judged_at(day: int, organization: Organization, **fields: Any) -> RoundTable:
    """Judge a new round table on a day of March."""
    table = RoundTableFactory(organization=organization, **fields)
    table.entries.update(cost=Decimal("0.25"), latency=1.5)
    table.total_cost = Decimal("0.5")
    table.save()
    judged(table)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("SET LOCAL session_replication_role = replica")
        moment = datetime(2026, 3, day, 12, tzinfo=UTC)
        cursor.execute("UPDATE agents_roundtable SET judged_at = %s WHERE id = %s", [moment, table.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    return table


def test_the_leaderboard_is_of_ones_own_organization(teammate: Actor, other_organization: Organization) -> None:
    judged_at(1, teammate.organization)
    judged(organization=other_organization)
    RoundTableFactory(organization=teammate.organization)
    cancelled = judged(organization=teammate.organization)
    RoundTable.lifecycle.move(cancelled, "cancel")
    answer = teammate.by_key.get(BOARD)
    assert answer.status_code == 200, answer.json()
    board = answer.json()
    assert (board["round_tables"], board["more_round_tables"], board["more_models"]) == (1, False, 0)
    first, second = board["standings"]
    assert (first["provider"], first["model"], first["rank"]) == ("acme", "model-0", 1)
    assert (first["mean_cost"], first["mean_latency"], first["win_rate"]) == ("0.25000000", 1.5, 1.0)
    assert first["strength"] == pytest.approx(log(1.5 / 0.5) / 2, abs=1e-6)
    assert (first["low"], second["rank"], second["win_rate"]) == (None, 2, 0.0)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, 3),
        ({"category": "physics"}, 2),
        ({"category": "none"}, 0),
        ({"from": "2026-03-02T12:00:00Z"}, 2),
        ({"to": "2026-03-02T12:00:00Z"}, 1),
        ({"category": "physics", "from": "2026-03-02T00:00:00Z", "to": "2026-03-04T00:00:00Z"}, 1),
    ],
)
def test_the_leaderboard_is_asked_by_category_and_period(asked: dict[str, str], found: int, teammate: Actor) -> None:
    for day, category in ((1, "physics"), (2, "physics"), (3, "law")):
        judged_at(day, teammate.organization, task_category=category)
    board = teammate.by_key.get(BOARD, asked).json()
    assert board["round_tables"] == found
    assert len(board["standings"]) == (2 if found else 0)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-02T00:00:00Z"}, "from"),
        ({"category": "x" * 101}, "category"),
        ({"category": "\0"}, "category"),
    ],
)
def test_a_wrong_question_is_refused(asked: dict[str, str], field: str, teammate: Actor) -> None:
    answer = teammate.by_key.get(BOARD, asked)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


# --- The plan ----------------------------------------------------------------------------------------

MANY = """
INSERT INTO agents_roundtable (id, organization_id, result_id, prompt, task_category, status, judge, criteria,
                               entry_count, vote_count, metadata, judged_at)
SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       CASE WHEN n %% 20 = 0 THEN %s ELSE %s END::uuid, '', 'why', 'category ' || n %% 3, 'judged', 'Ada', '{}',
       2, 0, '{}', now() - n * interval '1 minute'
  FROM generate_series(1, 60000) AS n
"""
ENTRIES = """
INSERT INTO agents_roundtableentry (organization_id, round_table_id, provider, model, response, scores, rank, error)
SELECT organization_id, id, 'acme', 'model-' || n, repeat('because ', 120), '{}', n, ''
  FROM agents_roundtable CROSS JOIN generate_series(1, 2) AS n
"""


def test_the_leaderboard_reads_indexes_only(
    organization: Organization, other_organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 60,000 round tables, 3,000 ours, the newest by one index, and the entries by one that has all it takes.

    The bound is lower than it is in earnest, as the tables are: where most rows are asked for, reading all is right.
    """
    monkeypatch.setattr(service, "MAX_TABLES", 500)
    run("SET LOCAL session_replication_role = replica")
    run(MANY, organization.pk, other_organization.pk)
    run(ENTRIES)
    run("SET LOCAL session_replication_role = origin")
    run("ANALYZE agents_roundtable; ANALYZE agents_roundtableentry")
    for category, index in ((None, "agents_roundtable_board"), ("category 0", "agents_roundtable_topic_board")):
        with CaptureQueriesContext(connection) as queries:
            board = service.leaderboard(organization_id=organization.pk, category=category)
        assert (board.round_tables, board.more_round_tables) == (500, True)
        plan = plan_of(queries[0]["sql"], limit=100)
        assert index in plan.tree, plan.tree
        assert "Index Only Scan agents_roundtableentry_model_once" in plan.tree, plan.tree
        assert plan.scanned == (), plan.tree
        assert len(queries) == 2
