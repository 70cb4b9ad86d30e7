"""Round tables over HTTP: made with their entries, judged by scores, ranks or votes, cancelled; and the services."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import RoundTable
from agents.services import round_tables
from core.models import AuditEvent, Organization
from tests.factories.agents.round_tables import RoundTableFactory, judged
from tests.kit.cast import Actor
from tests.kit.database import writes_nothing

pytestmark = pytest.mark.django_db

TABLES = "/api/v1/round-tables/"
NOBODY = "0190163d-8694-739b-aea5-966c26f8ad91"
BODY = {
    "result_id": "bench-1",
    "prompt": "Why is the sky blue?",
    "task_category": "physics",
    "judge": "Ada",
    "criteria": {"accuracy": 2, "style": 1},
    "duration": 4.5,
    "entries": [
        {"provider": "acme", "model": "a", "response": "Rayleigh", "tokens": 10, "cost": "0.25", "latency": 1.5},
        {"provider": "acme", "model": "b", "response": "Sea", "tokens": 12, "cost": "0.50", "latency": 2},
        {"provider": "globex", "model": "c", "response": "Mie", "cost": "0"},
    ],
}


@pytest.fixture
def made(teammate: Actor) -> dict[str, Any]:
    """A round table of three entries, as the API answers it."""
    answer = teammate.by_key.post(TABLES, BODY)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def ids(table: dict[str, Any]) -> dict[str, str]:
    """Return the entries' ids by their models."""
    return {entry["model"]: entry["id"] for entry in table["entries"]}


def judge(actor: Actor, table: dict[str, Any], **said: Any) -> Any:
    """Judge the round table; entries are named by their models throughout."""
    known = ids(table)
    body = dict(said)
    if "entries" in said:
        body["entries"] = [{"entry": known.get(name, name), **each} for name, each in said["entries"]]
    if "votes" in said:
        body["votes"] = [
            {"first": known.get(first, first), "second": known.get(second, second), "preferred": preferred, **rest}
            for first, second, preferred, *more in said["votes"]
            for rest in [{"judge": more[0]} if more else {}]
        ]
    if said.get("winner"):
        body["winner"] = known[said["winner"]]
    return actor.by_key.post(f"{TABLES}{table['id']}/judge/", body)


def ranks(table: dict[str, Any]) -> dict[str, int | None]:
    """Return the ranks by model."""
    return {entry["model"]: entry["rank"] for entry in table["entries"]}


# --- Making ------------------------------------------------------------------------------------------


def test_a_round_table_is_made_with_its_entries(teammate: Actor, made: dict[str, Any]) -> None:
    assert (made["status"], made["entry_count"], made["total_cost"]) == ("pending", 3, "0.75000000")
    assert (made["winner"], made["judged_at"], made["consensus"]) == (None, None, None)
    assert set(ids(made)) == {"a", "b", "c"}
    listed = teammate.by_key.get("/api/v1/round-table-entries/", {"round_table": made["id"], "model": "a"}).json()
    [entry] = listed["results"]
    assert (entry["response"], entry["tokens"], entry["cost"], entry["scores"]) == ("Rayleigh", 10, "0.25000000", {})


def test_the_total_cost_is_unknown_while_one_cost_is(teammate: Actor) -> None:
    entries = [{"provider": "acme", "model": "a", "cost": "1"}, {"provider": "acme", "model": "b"}]
    made = teammate.by_key.post(TABLES, {"prompt": "Why?", "entries": entries}).json()
    assert made["total_cost"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"entries": []}, "entries"),
        ({"entries": BODY["entries"][:1]}, "entries"),  # type: ignore[index]
        ({"entries": [{"provider": "acme", "model": str(n)} for n in range(21)]}, "entries"),
        ({"entries": [BODY["entries"][0]] * 2}, "entries.1.model"),  # type: ignore[index]
        ({"entries": [{"provider": "acme", "model": "a"}, {"provider": "", "model": "b"}]}, "entries.1.provider"),
        ({"entries": [{"provider": "a", "model": "a"}, {"provider": "a", "model": "b", "rank": 1}]}, "entries.1.rank"),
        ({"criteria": {"accuracy": 0}}, "criteria"),
        ({"criteria": {"accuracy": "2"}}, "criteria"),
        ({"criteria": ["accuracy"]}, "criteria"),
        ({"duration": -1}, "duration"),
        ({"duration": "NaN"}, "duration"),
        ({"winner": NOBODY, "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_round_table_is_refused_whole(change: dict[str, Any], field: str, teammate: Actor) -> None:
    with writes_nothing():
        answer = teammate.by_key.post(TABLES, BODY | change)
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_a_result_id_is_used_once_in_an_organization(teammate: Actor, made: dict[str, Any], stranger: Actor) -> None:
    again = teammate.by_key.post(TABLES, BODY)
    assert again.status_code == 400
    assert [error["field"] for error in again.json()["errors"]] == ["result_id"]
    assert stranger.client.post(TABLES, BODY).status_code == 201


# --- Judging -----------------------------------------------------------------------------------------


def test_scores_make_totals_ranks_and_a_winner(teammate: Actor, made: dict[str, Any]) -> None:
    said = [("a", (9, 4)), ("b", (7, 8)), ("c", (2.5, 1))]
    answer = judge(teammate, made, entries=[(name, {"scores": {"accuracy": x, "style": y}}) for name, (x, y) in said])
    assert answer.status_code == 200, answer.json()
    table = answer.json()
    assert {entry["model"]: entry["total_score"] for entry in table["entries"]} == {
        "a": "22.000000",
        "b": "22.000000",
        "c": "6.000000",
    }
    assert ranks(table) == {"a": 1, "b": 1, "c": 3}
    assert (table["status"], table["judge"], table["winner"]) == ("judged", "Ada", None)
    # Ranks 1, 2, 3 and 2, 1, 3: sums 3, 3, 6; S = 6, and W = 12 * 6 / (4 * 24).
    assert table["consensus"] == "0.7500"
    event = AuditEvent.objects.get(event_type="round_table.judge")
    assert str(event.resource_id) == table["id"]


def test_ranks_that_are_given_stand_whatever_the_scores_say(teammate: Actor, made: dict[str, Any]) -> None:
    scores = {"accuracy": 5, "style": 5}
    said = [
        ("a", {"rank": 7, "scores": scores}),
        ("b", {"rank": 2, "scores": scores}),
        ("c", {"rank": 7, "scores": scores}),
    ]
    table = judge(teammate, made, entries=said, judge="Grace").json()
    assert ranks(table) == {"b": 1, "a": 2, "c": 2}
    assert (table["winner"], table["judge"]) == (ids(made)["b"], "Grace")
    assert table["consensus"] is None


def test_a_tied_first_place_has_a_winner_only_where_one_is_named(teammate: Actor, made: dict[str, Any]) -> None:
    tied = [("a", {"rank": 1}), ("b", {"rank": 1}), ("c", {"rank": 3})]
    with writes_nothing():
        assert judge(teammate, made, entries=tied, winner="c").status_code == 400
    assert judge(teammate, made, entries=tied, winner="b").json()["winner"] == ids(made)["b"]


def test_votes_in_both_orders_make_ranks(teammate: Actor, made: dict[str, Any]) -> None:
    votes = [
        *[("a", "b", "first"), ("b", "a", "first")],  # the position decides: a tie
        *[("a", "c", "first"), ("c", "a", "second")],
        *[("b", "c", "tie"), ("c", "b", "tie")],
    ]
    answer = judge(teammate, made, votes=votes)
    assert answer.status_code == 200, answer.json()
    table = answer.json()
    assert ranks(table) == {"a": 1, "b": 2, "c": 3}  # 1.5, 1 and 0.5 pairs
    assert (table["winner"], table["vote_count"], table["consensus"]) == (ids(made)["a"], 6, "0.6667")
    kept = teammate.by_key.get("/api/v1/round-table-votes/", {"round_table": made["id"]}).json()["results"]
    names = {pk: name for name, pk in ids(made).items()}
    assert sorted((names[vote["first"]], names[vote["second"]], vote["preferred"]) for vote in kept) == sorted(votes)
    assert {vote["judge"] for vote in kept} == {"Ada"}


def test_each_judges_pair_counts_alike(teammate: Actor, made: dict[str, Any]) -> None:
    def all_pairs(judge: str, *order: str) -> list[tuple[str, ...]]:
        return [
            (first, second, "first" if order.index(first) < order.index(second) else "second", judge)
            for first in order
            for second in order
            if first != second
        ]

    votes = [*all_pairs("Ada", "a", "b", "c"), *all_pairs("Bob", "a", "b", "c"), *all_pairs("Cy", "c", "b", "a")]
    table = judge(teammate, made, votes=votes).json()
    assert ranks(table) == {"a": 1, "b": 2, "c": 3}
    assert table["consensus"] == "0.6667"


def test_an_entry_that_failed_takes_no_part(teammate: Actor) -> None:
    entries = [*BODY["entries"][:2], {"provider": "globex", "model": "c", "error": "timeout"}]  # type: ignore[index]
    made = teammate.by_key.post(TABLES, BODY | {"entries": entries}).json()
    with writes_nothing():
        answer = judge(teammate, made, entries=[(name, {"rank": 1}) for name in "abc"])
    assert [error["field"] for error in answer.json()["errors"]] == ["entries.2.entry"]
    table = judge(teammate, made, entries=[("a", {"rank": 2}), ("b", {"rank": 1})]).json()
    assert ranks(table) == {"b": 1, "a": 2, "c": None}


def test_where_all_failed_there_is_nothing_to_judge(teammate: Actor) -> None:
    entries = [{"provider": "acme", "model": name, "error": "timeout"} for name in "ab"]
    made = teammate.by_key.post(TABLES, BODY | {"entries": entries}).json()
    with writes_nothing():
        answer = judge(teammate, made, entries=[("a", {"rank": 1})])
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/no_answers/")


WHOLE = [("a", "b", "first"), ("b", "a", "second"), ("a", "c", "first"), ("c", "a", "second")]
REST = [("b", "c", "first"), ("c", "b", "second")]
SCORES = {"accuracy": 1, "style": 1}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, None),
        ({"entries": [("a", {}), ("b", {}), ("c", {})]}, None),
        ({"entries": [("a", {"rank": 1}), ("b", {"rank": 2})]}, "entries"),
        ({"entries": [("a", {"rank": 1}), ("b", {"rank": 2}), ("c", {})]}, "entries.2.rank"),
        ({"entries": [("a", {"rank": 1}), ("a", {"rank": 2})]}, "entries.1.entry"),
        ({"entries": [(NOBODY, {"rank": 1})]}, "entries.0.entry"),
        ({"entries": [("a", {"rank": 0})]}, "entries.0.rank"),
        ({"entries": [("a", {"scores": {"accuracy": 1}})]}, "entries.0.scores"),
        ({"entries": [("a", {"scores": SCORES | {"wit": 1}})]}, "entries.0.scores"),
        ({"entries": [("a", {"scores": SCORES | {"style": "1"}})]}, "entries.0.scores"),
        ({"entries": [("a", {"scores": SCORES}), ("b", {"rank": 1})]}, "entries.0.rank"),
        ({"votes": WHOLE}, "votes"),
        ({"votes": [*WHOLE, REST[0]]}, "votes"),
        ({"votes": [*WHOLE, *REST, REST[0]]}, "votes.6"),
        ({"votes": [("a", "a", "tie")]}, "votes.0"),
        ({"votes": [("a", NOBODY, "tie")]}, "votes.0.second"),
        ({"votes": [("a", "b", "neither")]}, "votes.0.preferred"),
        ({"votes": [*WHOLE, *REST], "entries": [(name, {"rank": 1}) for name in "abc"]}, "votes"),
    ],
)
def test_a_judgement_that_isnt_whole_is_refused(
    said: dict[str, Any], field: str | None, teammate: Actor, made: dict[str, Any]
) -> None:
    with writes_nothing():
        answer = judge(teammate, made, **said)
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_somebody_judges(teammate: Actor) -> None:
    made = teammate.by_key.post(TABLES, BODY | {"judge": ""}).json()
    with writes_nothing():
        answer = judge(teammate, made, entries=[(name, {"rank": 1}) for name in "abc"])
    assert [error["field"] for error in answer.json()["errors"]] == ["judge"]


def test_a_judgement_is_made_once_and_stands(teammate: Actor, made: dict[str, Any]) -> None:
    said = {"entries": [(name, {"rank": 1}) for name in "abc"]}
    assert judge(teammate, made, **said).status_code == 200
    path = f"{TABLES}{made['id']}/"
    with writes_nothing():
        assert judge(teammate, made, **said).status_code == 409
        assert teammate.by_key.patch(path, {"prompt": "How?"}).status_code == 400
        assert teammate.by_key.patch(path, {"criteria": {"wit": 1}}).status_code == 400
        assert teammate.by_key.delete(path).status_code == 409
    assert teammate.by_key.patch(path, {"metadata": {"seen": True}}).json()["metadata"] == {"seen": True}


def test_a_round_table_is_cancelled_judged_or_not(teammate: Actor, made: dict[str, Any]) -> None:
    path = f"{TABLES}{made['id']}/cancel/"
    table = teammate.by_key.post(path, {"reason": "wrong prompt"}).json()
    assert table["status"] == "cancelled"
    assert AuditEvent.objects.get(event_type="round_table.cancel").details["reason"] == "wrong prompt"
    with writes_nothing():
        assert teammate.by_key.post(path, {}).status_code == 409
        assert judge(teammate, made, entries=[(name, {"rank": 1}) for name in "abc"]).status_code == 409
    other = judged(organization=teammate.organization)
    assert teammate.by_key.post(f"{TABLES}{other.pk}/cancel/", {}).json()["winner"] == str(other.winner_id)


def test_a_pending_round_table_is_changed_and_deleted(teammate: Actor, made: dict[str, Any]) -> None:
    path = f"{TABLES}{made['id']}/"
    assert teammate.by_key.patch(path, {"criteria": {"wit": 1}}).json()["criteria"] == {"wit": 1}
    assert teammate.by_key.delete(path).status_code == 204
    assert not RoundTable.objects.exists()


def test_another_organizations_entries_are_none(
    teammate: Actor, made: dict[str, Any], other_organization: Organization
) -> None:
    theirs = RoundTableFactory(organization=other_organization)
    with writes_nothing():
        answer = judge(teammate, made, entries=[(str(theirs.entries.first().pk), {"rank": 1})])
    assert [error["field"] for error in answer.json()["errors"]] == ["entries.0.entry"]


def test_judging_takes_few_statements_whatever_the_size(teammate: Actor) -> None:
    table = RoundTableFactory(organization=teammate.organization, entry_count=20)
    entries = list(table.entries.all())
    votes = [
        round_tables.Vote(first.pk, second.pk, "first") for first in entries for second in entries if first != second
    ]
    with CaptureQueriesContext(connection) as queries:
        round_tables.judge_round_table(round_table=table, votes=votes)
    statements = [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(statements) <= 8, statements
    assert table.votes.count() == 380


# --- The figures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "w"),
    [
        ([[3, 2, 1], [30, 20, 10]], 1.0),
        ([[3, 2, 1], [1, 2, 3]], 0.0),
        ([[3, 2, 1], [2, 3, 1]], 0.75),
        # Ranks 1, 2.5, 2.5 and 1, 2, 3: sums 2, 4.5, 5.5; S = 6.5, T = 6; W = 12 * 6.5 / (4 * 24 - 2 * 6).
        ([[3, 1, 1], [3, 2, 1]], 78 / 84),
        ([[1, 1], [1, 1]], None),
        ([[3, 2, 1]], None),
        ([], None),
    ],
)
def test_agreement_is_kendalls(columns: list[list[float]], w: float | None) -> None:
    assert round_tables.kendalls_w(columns) == (None if w is None else pytest.approx(w))


def test_sums_follow_entries_that_change_one_by_one(organization: Organization) -> None:
    table = RoundTableFactory(organization=organization)
    table.entries.update(cost=Decimal("0.125"))
    round_tables.sum_up(round_table=table)
    assert (table.entry_count, table.total_cost) == (2, Decimal("0.25"))
