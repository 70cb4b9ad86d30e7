"""The rules that the database keeps about round tables, each attacked with raw SQL (REQUIREMENTS.md, section 3)."""

from typing import Any

import pytest
from django.db import connection

from agents.models import RoundTable, RoundTableEntry
from core.models import Organization
from tests.factories.agents.round_tables import RoundTableFactory, judged, judged_by_votes
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

SET = "UPDATE agents_roundtable SET {} WHERE id = %s"
SET_ENTRY = "UPDATE agents_roundtableentry SET {} WHERE id = %s"
FREEZE = "SET LOCAL session_replication_role = {}"


@pytest.fixture
def pending(organization: Organization) -> RoundTable:
    """A round table of three entries that nobody judged yet."""
    return RoundTableFactory(organization=organization, entry_count=3)


@pytest.fixture
def voted(pending: RoundTable) -> RoundTable:
    """The round table, judged by votes of which all pairs came to what their order in the alphabet says."""
    entries = list(pending.entries.order_by("model"))
    table = judged_by_votes(
        pending,
        *[
            (first, second, "first" if first.model < second.model else "second")
            for first in entries
            for second in entries
            if first != second
        ],
    )
    connection.check_constraints()
    return table


def entry(table: RoundTable, number: int) -> RoundTableEntry:
    return table.entries.get(model=f"model-{number}")


def broken(table: RoundTable, *statements: tuple[str, Any]) -> str:
    """Return the rule that refuses the statements, which are made past the triggers that act at once.

    The deferred check is all that is left then: a change of ``updated_at`` of the table has it run.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(FREEZE.format("replica"))
        for sql, pk in statements:
            cursor.execute(sql, [pk])
        cursor.execute(FREEZE.format("origin"))
    return refused(SET.format("metadata = '{\"touched\": true}'"), table.pk)


# --- Columns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("prompt = ''", "agents_roundtable_prompt_given"),
        ("task_category = ''", "agents_roundtable_category_given"),
        ("criteria = '[]'", "agents_roundtable_criteria"),
        ("criteria = '{\"a\": 0}'", "agents_roundtable_criteria"),
        ("criteria = '{\"a\": 1001}'", "agents_roundtable_criteria"),
        ('criteria = \'{"a": "1"}\'', "agents_roundtable_criteria"),
        ("criteria = '{\"\": 1}'", "agents_roundtable_criteria"),
        ("metadata = '[]'", "agents_roundtable_metadata"),
        ("duration = -1", "agents_roundtable_duration"),
        ("duration = 'Infinity'", "agents_roundtable_duration"),
        ("duration = 'NaN'", "agents_roundtable_duration"),
        ("total_cost = -1", "agents_roundtable_total_cost"),
        ("entry_count = 21", "agents_roundtable_entry_count"),
        ("consensus = 0.5", "agents_roundtable_judgement"),
        ("vote_count = 2", "agents_roundtable_judgement"),
        ("judged_at = now()", "agents_roundtable_judged_at"),
        ("status = 'judged'", "agents_roundtable_judged_at"),
        ("status = 'judged', judged_at = now(), judge = ''", "agents_roundtable_judge_named"),
        ("status = 'judged', judged_at = now(), consensus = 1.1", "agents_roundtable_consensus"),
        ("entry_count = 4", "agents_roundtable_entries_counted"),
        ("total_cost = 1", "agents_roundtable_total_cost_sum"),
    ],
)
def test_a_round_table_is_refused(change: str, rule: str, pending: RoundTable) -> None:
    for _ in range(2):
        assert refused(SET.format(change), pending.pk) == rule
        ignore_all_triggers()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("provider = ''", "agents_roundtableentry_provider_given"),
        ("model = ''", "agents_roundtableentry_model_given"),
        ("model = 'model-1'", "agents_roundtableentry_model_once"),
        ("cost = -1", "agents_roundtableentry_cost"),
        ("latency = 'Infinity'", "agents_roundtableentry_latency"),
        ("scores = '[]'", "agents_roundtableentry_scores"),
        ("scores = '{\"a\": true}'", "agents_roundtableentry_scores"),
        ("scores = '{\"a\": 1e7}'", "agents_roundtableentry_scores"),
        ("rank = 0", "agents_roundtableentry_rank"),
        ("rank = 1, error = 'timeout'", "agents_roundtableentry_failed"),
        ("scores = '{\"a\": 1}', error = 'timeout'", "agents_roundtableentry_failed"),
        ("rank = 1", "agents_roundtable_ranks_when_judged"),
        ('scores = \'{"accuracy": 1, "style": 1}\'', "agents_roundtable_ranks_when_judged"),
        ("total_score = 1", "agents_roundtable_ranks_when_judged"),
        ("cost = 1", None),
    ],
)
def test_an_entry_is_refused(change: str, rule: str | None, pending: RoundTable) -> None:
    if rule is None:  # the others' costs are unknown, and so is the sum
        run(SET_ENTRY.format(change), entry(pending, 0).pk)
        return
    for _ in range(2):
        assert refused(SET_ENTRY.format(change), entry(pending, 0).pk) == rule
        ignore_all_triggers()


def test_the_last_two_entries_stay(pending: RoundTable) -> None:
    pk = pending.pk
    sql = "DELETE FROM agents_roundtableentry WHERE round_table_id = %s AND model <> 'model-0'"
    assert refused(f"WITH gone AS ({sql}) UPDATE agents_roundtable SET entry_count = 1 WHERE id = %s", pk, pk) == (
        "agents_roundtable_entries_counted"
    )


def test_an_entry_stays_at_its_table(pending: RoundTable, organization: Organization) -> None:
    other = RoundTableFactory(organization=organization, entry_count=3)
    sql = SET_ENTRY.format("round_table_id = %s, model = 'other'")
    assert refused(sql, other.pk, entry(pending, 0).pk) == "agents_roundtableentry_round_table_id_immutable"


# --- The judgement -----------------------------------------------------------------------------------


def test_ranks_are_whole(pending: RoundTable) -> None:
    table = judged(pending)
    pk = entry(table, 2).pk
    assert broken(table, (SET_ENTRY.format("rank = NULL"), pk)) == "agents_roundtable_ranks_whole"


@pytest.mark.parametrize("rank", [1, 4])
def test_ranks_are_those_of_competitions(rank: int, pending: RoundTable) -> None:
    table = judged(pending)
    sql = SET_ENTRY.format(f"rank = {rank}")
    assert broken(table, (sql, entry(table, 2).pk)) == "agents_roundtable_ranks_of_competition"


def test_the_winner_has_the_first_rank(pending: RoundTable) -> None:
    table = judged(pending)
    for winner in (f"'{entry(table, 1).pk}'", "NULL"):
        assert broken(table, (SET.format(f"winner_id = {winner}"), table.pk)) == "agents_roundtable_winner_first"


def test_the_winner_is_an_entry_of_the_table(pending: RoundTable, organization: Organization) -> None:
    table, other = judged(pending), judged(organization=organization)
    assert broken(table, (SET.format(f"winner_id = '{other.winner_id}'"), table.pk)) == "agents_roundtable_winner_first"


def test_the_winner_is_of_the_organization(pending: RoundTable, other_organization: Organization) -> None:
    theirs = judged(organization=other_organization)
    sql = SET.format("status = 'judged', judged_at = now(), winner_id = %s")
    assert refused(sql, theirs.winner_id, pending.pk) in {"agents_roundtable_winner", "agents_roundtable_ranks_whole"}


def test_a_tied_first_place_may_have_a_winner_or_none(pending: RoundTable) -> None:
    table = judged(pending, {"model-0": 1, "model-1": 1, "model-2": 3})
    assert table.winner_id is None
    connection.check_constraints()
    pk = entry(table, 2).pk
    assert broken(table, (SET.format(f"winner_id = '{pk}'"), table.pk)) == "agents_roundtable_winner_first"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("scores = '{\"accuracy\": 1}', total_score = 2", "agents_roundtable_scores_whole"),
        ('scores = \'{"accuracy": 1, "style": 1, "wit": 1}\', total_score = 3', "agents_roundtable_scores_whole"),
        ('scores = \'{"accuracy": 1, "style": 1}\', total_score = 3', "agents_roundtable_scores_whole"),
        ("total_score = 3", "agents_roundtable_scores_whole"),
    ],
)
def test_scores_are_whole(change: str, rule: str, pending: RoundTable) -> None:
    table = judged(pending)
    assert broken(table, (SET_ENTRY.format(change), entry(table, 0).pk)) == rule


def test_totals_are_what_the_scores_weigh(pending: RoundTable) -> None:
    table = judged(pending)
    every = "UPDATE agents_roundtableentry SET {} WHERE round_table_id = %s"
    right = 'scores = \'{"accuracy": 1.5, "style": 1}\', total_score = 4'
    wrong = right.replace("= 4", "= 2.5")
    assert broken(table, (every.format(wrong), table.pk)) == "agents_roundtable_total_scores"
    with connection.cursor() as cursor:
        cursor.execute(FREEZE.format("replica"))
        cursor.execute(every.format(right), [table.pk])
        cursor.execute(FREEZE.format("origin"))
    run(SET.format("metadata = '{\"touched\": true}'"), table.pk)


@pytest.mark.parametrize(
    "column",
    [
        *("prompt = 'x'", "task_category = 'x'", "judge = 'x'", "criteria = '{}'", "winner_id = NULL", "consensus = 1"),
        *("entry_count = 4", "vote_count = 1", "total_cost = 1", "duration = 1", "judged_at = NULL"),
    ],
)
def test_a_judgement_stands(column: str, pending: RoundTable) -> None:
    table = judged(pending)
    for _ in range(2):
        name = column.partition(" ")[0]
        assert refused(SET.format(column), table.pk) == f"agents_roundtable_{name}_immutable"
        ignore_all_triggers()


def test_a_judged_round_table_is_only_cancelled(pending: RoundTable) -> None:
    table = judged(pending)
    assert refused(SET.format("status = 'pending'"), table.pk) == "agents_roundtable_status_transitions"
    run(SET.format("status = 'cancelled'"), table.pk)
    for status in ("judged", "pending"):
        assert refused(SET.format(f"status = '{status}'"), table.pk) == "agents_roundtable_status_transitions"


@pytest.mark.parametrize(
    "sql",
    [
        SET_ENTRY.format("response = 'x'"),
        SET_ENTRY.format("rank = 2"),
        "DELETE FROM agents_roundtableentry WHERE id = %s",
    ],
)
def test_entries_of_a_judged_table_stay(sql: str, pending: RoundTable) -> None:
    table = judged(pending)
    for status in ("judged", "cancelled"):
        RoundTable.objects.filter(pk=table.pk).update(status=status)
        for _ in range(2):
            assert refused(sql, entry(table, 0).pk) == "agents_roundtableentry_judged_stays"
            ignore_all_triggers()


def test_no_entry_comes_to_a_judged_table(pending: RoundTable) -> None:
    table = judged(pending)
    sql = (
        "INSERT INTO agents_roundtableentry (organization_id, round_table_id, provider, model, response, scores, error)"
        " VALUES (%s, %s, 'acme', 'late', '', '{}', 'timeout')"
    )
    for _ in range(2):
        assert refused(sql, table.organization_id, table.pk) == "agents_roundtable_entries_counted"
        ignore_all_triggers()


def test_a_judged_round_table_is_kept(voted: RoundTable) -> None:
    for _ in range(2):
        assert refused("DELETE FROM agents_roundtable WHERE id = %s", voted.pk) == "agents_roundtable_judged_kept"
        ignore_all_triggers()


# --- Votes -------------------------------------------------------------------------------------------

VOTE = "UPDATE agents_roundtablevote SET {} WHERE id = %s"


def insert_vote(table: RoundTable, first: Any, second: Any, preferred: str = "tie", judge: str = "Late") -> str:
    """Return the rule that refuses a vote."""
    return refused(
        "INSERT INTO agents_roundtablevote (organization_id, round_table_id, judge, first_id, second_id, preferred)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        *(table.organization_id, table.pk, judge, first, second, preferred),
    )


def test_votes_come_with_the_judgement(pending: RoundTable) -> None:
    one, other = entry(pending, 0).pk, entry(pending, 1).pk
    assert insert_vote(pending, one, other) == "agents_roundtable_vote_count"
    table = judged(pending)
    for _ in range(2):
        assert insert_vote(table, one, other) == "agents_roundtable_vote_count"
        ignore_all_triggers()


def test_a_vote_is_refused(voted: RoundTable, other_organization: Organization) -> None:
    one, other = entry(voted, 0).pk, entry(voted, 1).pk
    theirs = RoundTableFactory(organization=other_organization).entries.first()
    assert theirs is not None
    assert insert_vote(voted, one, one) == "agents_roundtablevote_two_entries"
    assert insert_vote(voted, one, other, judge="") == "agents_roundtablevote_judge_given"
    assert insert_vote(voted, one, other, "neither") == "agents_roundtablevote_preferred"
    assert insert_vote(voted, one, other, judge="Ada") == "agents_roundtablevote_once"
    assert insert_vote(voted, one, theirs.pk) in {"agents_roundtablevote_second", "agents_roundtable_vote_count"}


def test_a_vote_stands(voted: RoundTable) -> None:
    vote = voted.votes.first()
    assert vote is not None
    for _ in range(2):
        rule = refused(VOTE.format("preferred = 'tie'"), vote.pk)
        assert rule == "agents_roundtablevote_preferred_immutable"
        assert (
            refused("DELETE FROM agents_roundtablevote WHERE id = %s", vote.pk) == "agents_roundtablevote_judged_stays"
        )
        ignore_all_triggers()


def test_ranks_follow_from_the_votes(voted: RoundTable) -> None:
    last = "UPDATE agents_roundtableentry SET rank = 4 - rank WHERE round_table_id = %s"
    winner = SET.format(f"winner_id = '{entry(voted, 2).pk}'")
    assert broken(voted, (last, voted.pk), (winner, voted.pk)) == "agents_roundtable_ranks_of_votes"


def test_votes_are_whole(voted: RoundTable, organization: Organization) -> None:
    a, b = entry(voted, 0).pk, entry(voted, 1).pk
    fewer = "WITH gone AS (DELETE FROM agents_roundtablevote WHERE {} RETURNING 1) SELECT %s::uuid"
    count = SET.format(
        "vote_count = (SELECT count(*) FROM agents_roundtablevote v WHERE v.round_table_id = agents_roundtable.id)"
    )
    savepoint = "ROLLBACK TO SAVEPOINT whole"
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT whole")
    one_order = f"first_id = '{a}' AND second_id = '{b}'"
    assert broken(voted, (fewer.format(one_order), a), (count, voted.pk)) == "agents_roundtable_votes_in_both_orders"
    with connection.cursor() as cursor:
        cursor.execute(savepoint)
    pair = f"'{a}' IN (first_id, second_id) AND '{b}' IN (first_id, second_id)"
    assert broken(voted, (fewer.format(pair), a), (count, voted.pk)) == "agents_roundtable_votes_on_all_pairs"
    with connection.cursor() as cursor:
        cursor.execute(savepoint)
    stranger = RoundTableFactory(organization=organization).entries.first()
    assert stranger is not None
    moved = f"UPDATE agents_roundtablevote SET first_id = '{stranger.pk}' WHERE {one_order} AND %s::uuid IS NOT NULL"
    assert broken(voted, (moved, a)) == "agents_roundtable_votes_on_entries"
