"""Round tables: made with their entries at once, judged once, cancelled."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Count, F, Sum, Value

from agents.models import RoundTable, RoundTableEntry, RoundTableVote
from agents.models.roundtables import MAX_ENTRIES, MIN_ENTRIES, TotalScore, validate_scores
from core import audit
from core.errors import ConflictError
from core.lifecycle import TransitionConflictError

MAX_VOTES = 1_000


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one entry: scores by criterion, a rank (1 is the best, equal ones tie), or both."""

    entry_id: UUID
    scores: Mapping[str, float] | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Vote:
    """What a judge says of two entries shown in this order: ``preferred`` is ``first``, ``second`` or ``tie``.

    Unless it names its own ``judge``, it is that of the round table.
    """

    first_id: UUID
    second_id: UUID
    preferred: str
    judge: str = ""


@transaction.atomic
def create_round_table(*, organization_id: UUID, entries: Sequence[Mapping[str, Any]], **fields: Any) -> RoundTable:
    """Make a round table with its entries, each given by its fields, and return it, which is pending.

    Raises ValidationError for fewer than two entries, more than twenty, or a model that stands there twice.
    """
    if not MIN_ENTRIES <= len(entries) <= MAX_ENTRIES:
        message = f"A round table has {MIN_ENTRIES} to {MAX_ENTRIES} entries."
        raise ValidationError({"entries": ValidationError(message, "length")})
    names = [(entry["provider"], entry["model"]) for entry in entries]
    for position, name in enumerate(names):
        if name in names[:position]:
            message = "This model has an entry already."
            raise ValidationError({f"entries.{position}.model": ValidationError(message, "unique")})
    costs: list[Any] = [entry.get("cost") for entry in entries]
    round_table = RoundTable.objects.create(
        organization_id=organization_id,
        entry_count=len(entries),
        total_cost=None if None in costs else sum(costs, Decimal(0)),
        **fields,
    )
    RoundTableEntry.objects.bulk_create(
        RoundTableEntry(organization_id=organization_id, round_table=round_table, **entry) for entry in entries
    )
    return round_table


@transaction.atomic
def sum_up(*, round_table: RoundTable) -> None:
    """Have the round table count its entries, and what they cost, after they were changed one by one."""
    figures = round_table.entries.aggregate(all=Count("pk"), known=Count("cost"), cost=Sum("cost"))
    RoundTable.objects.filter(pk=round_table.pk).update(
        entry_count=figures["all"], total_cost=figures["cost"] if figures["known"] == figures["all"] else None
    )
    round_table.refresh_from_db()


@transaction.atomic
def judge_round_table(
    *,
    round_table: RoundTable,
    judge: str = "",
    verdicts: Sequence[Verdict] = (),
    votes: Sequence[Vote] = (),
    winner_id: UUID | None = None,
) -> RoundTable:
    """Judge a pending round table by scores, ranks or votes, and return it.

    Ranks that are given stand, whatever the scores say; else they follow from the votes, by pairs won, or from the
    total scores. The winner is the entry of rank 1. Where several share it there is none, unless ``winner_id`` names
    one of them. Entries that failed take no part. Raises ValidationError, by position, for a judgement that isn't
    whole; ConflictError, code ``no_answers``, when all entries failed; TransitionConflictError unless it is pending.
    """
    round_table = RoundTable.objects.select_for_update(of=("self",)).get(pk=round_table.pk)
    if not round_table.is_pending:
        move = RoundTable.lifecycle.transitions["judge"]
        raise TransitionConflictError(round_table, move, round_table.status, "status")
    judge = judge or round_table.judge
    if not judge:
        raise ValidationError({"judge": ValidationError("Say who judges.", "required")})
    answers = {entry.pk: entry for entry in round_table.entries.filter(error="").order_by("pk")}
    if not answers:
        raise ConflictError("All entries failed: there is nothing to judge.", code="no_answers")
    scored, ranked = _check_verdicts(round_table, answers, verdicts, votes)
    if votes:
        _record_votes(round_table, judge, answers, votes)
    if scored:
        _score(round_table, answers, verdicts)
    if ranked:
        ranks = competition_ranks({each.entry_id: each.rank for each in verdicts})
    elif votes:
        ranks = dict(_call("SELECT entry, place FROM agents_vote_ranks(%s)", round_table.pk))
    else:
        ranks = competition_ranks({pk: -entry.total_score for pk, entry in answers.items()})  # type: ignore[operator]
    # A single answer is on no vote, and the first.
    ranks = ranks or dict.fromkeys(answers, 1)
    for pk, entry in answers.items():
        entry.rank = ranks[pk]
    RoundTableEntry.objects.bulk_update(answers.values(), ["rank"])
    return RoundTable.lifecycle.move(
        round_table,
        "judge",
        judge=judge,
        winner_id=_winner(ranks, winner_id),
        consensus=_consensus(round_table, answers.values() if scored else (), bool(votes)),
        vote_count=len(votes),
    )


@transaction.atomic
def cancel_round_table(*, round_table: RoundTable, reason: str = "") -> RoundTable:
    """Call a round table off, judged or not, and return it: it counts no more. The audit log keeps the reason.

    Raises TransitionConflictError when it is cancelled already.
    """
    if reason:
        audit.because(reason)
    return RoundTable.lifecycle.move(round_table, "cancel")


@transaction.atomic
def delete_round_table(*, round_table: RoundTable) -> None:
    """Delete a round table that was never judged. Raises ConflictError, code ``judged``, otherwise."""
    round_table = RoundTable.objects.select_for_update(of=("self",)).get(pk=round_table.pk)
    if round_table.judged_at:
        raise ConflictError("The round table was judged, and is kept; cancel it instead.", code="judged")
    round_table.delete()


def competition_ranks(places: Mapping[UUID, Any]) -> dict[UUID, int]:
    """Return ranks as competitions have them, 1, 2, 2, 4, by ``places``, of which the least is the best."""
    return {pk: 1 + sum(other < place for other in places.values()) for pk, place in places.items()}


def kendalls_w(columns: Sequence[Sequence[float]]) -> float | None:
    """Return how far rankings agree, 0 to 1: Kendall's coefficient of concordance, corrected for ties.

    Each column holds what one criterion says of the entries, in their order; the greatest ranks first. None where
    there is nothing to agree on: fewer than two criteria or entries, or nothing but ties. See M. G. Kendall,
    B. Babington Smith: The Problem of m Rankings, Annals of Mathematical Statistics 10 (1939).
    """
    m, n = len(columns), len(columns[0]) if columns else 0
    ranks = [
        [1 + sum(other > each for other in column) + (column.count(each) - 1) / 2 for each in column]
        for column in columns
    ]
    ties = sum(count**3 - count for column in columns for count in Counter(column).values())
    most = m * m * (n**3 - n) - m * ties
    if m < 2 or n < 2 or not most:
        return None
    sums = [sum(column) for column in zip(*ranks, strict=True)]
    mean = sum(sums) / n
    return min(1.0, 12 * sum((each - mean) ** 2 for each in sums) / most)


def _check_verdicts(
    round_table: RoundTable, answers: Mapping[UUID, Any], verdicts: Sequence[Verdict], votes: Sequence[Vote]
) -> tuple[bool, bool]:
    """Tell whether there are scores, and whether there are ranks; raise ValidationError where they aren't whole."""
    scored, ranked = any(each.scores is not None for each in verdicts), any(each.rank is not None for each in verdicts)
    if not (scored or ranked or votes):
        raise ValidationError("A judgement has scores, ranks or votes.", "required")
    if ranked and votes:
        raise ValidationError({"votes": ValidationError("Ranks follow from votes: give either.", "invalid")})
    seen: set[UUID] = set()
    for position, each in enumerate(verdicts):
        where = f"entries.{position}"
        if each.entry_id not in answers or each.entry_id in seen:
            message = "This is judged already." if each.entry_id in seen else "No answer of the round table is this."
            raise ValidationError({f"{where}.entry": ValidationError(message, "does_not_exist")})
        seen.add(each.entry_id)
        if ranked and each.rank is None:
            raise ValidationError({f"{where}.rank": ValidationError("Rank all answers, or none.", "required")})
        if scored:
            _check_scores(f"{where}.scores", round_table.criteria, each.scores)
    if verdicts and len(seen) < len(answers):
        missing = ", ".join(str(entry) for pk, entry in answers.items() if pk not in seen)
        raise ValidationError({"entries": ValidationError(f"Judge all answers; {missing} is missing.", "required")})
    return scored, ranked


def _check_scores(where: str, criteria: Mapping[str, float], scores: Any) -> None:
    try:
        validate_scores(scores)
    except ValidationError as error:
        raise ValidationError({where: error}) from error
    if not criteria:
        raise ValidationError({where: ValidationError("The round table has no criteria to score by.", "invalid")})
    if set(scores) != set(criteria):
        message = f"Score by all criteria, and by them only: {', '.join(sorted(criteria))}."
        raise ValidationError({where: ValidationError(message, "invalid")})


def _score(round_table: RoundTable, answers: Mapping[UUID, RoundTableEntry], verdicts: Iterable[Verdict]) -> None:
    """Write the scores; the database sums them up."""
    for each in verdicts:
        answers[each.entry_id].scores = dict(each.scores or {})
    RoundTableEntry.objects.bulk_update(answers.values(), ["scores"])
    rows = RoundTableEntry.objects.filter(pk__in=answers)
    criteria = Value(round_table.criteria, output_field=RoundTable._meta.get_field("criteria"))
    rows.update(total_score=TotalScore(criteria, F("scores")))
    for pk, total in rows.values_list("pk", "total_score"):
        answers[pk].total_score = total


def _record_votes(
    round_table: RoundTable, judge: str, answers: Mapping[UUID, RoundTableEntry], votes: Sequence[Vote]
) -> None:
    """Write the votes. Raises ValidationError unless each judge saw each pair in both orders, and all pairs were."""
    given: set[tuple[str, UUID, UUID]] = set()
    for position, vote in enumerate(votes):
        for side, pk in (("first", vote.first_id), ("second", vote.second_id)):
            if pk not in answers:
                message = "No answer of the round table is this."
                raise ValidationError({f"votes.{position}.{side}": ValidationError(message, "does_not_exist")})
        key = (vote.judge or judge, vote.first_id, vote.second_id)
        if vote.first_id == vote.second_id or key in given:
            message = "A vote is on two answers, and a judge's only one on them in this order."
            raise ValidationError({f"votes.{position}": ValidationError(message, "invalid")})
        given.add(key)
    for who, first, second in sorted(given):
        if (who, second, first) not in given:
            message = f"{who} saw {answers[first]} before {answers[second]}, and not the other way round."
            raise ValidationError({"votes": ValidationError(message, "one_order")})
    pairs = {frozenset((first, second)) for _, first, second in given}
    if len(pairs) < len(answers) * (len(answers) - 1) // 2:
        raise ValidationError({"votes": ValidationError("There is a pair that nobody voted on.", "required")})
    RoundTableVote.objects.bulk_create(
        RoundTableVote(
            organization_id=round_table.organization_id,
            round_table=round_table,
            judge=vote.judge or judge,
            first_id=vote.first_id,
            second_id=vote.second_id,
            preferred=vote.preferred,
        )
        for vote in votes
    )


def _winner(ranks: Mapping[UUID, int], stated: UUID | None) -> UUID | None:
    firsts = [pk for pk, rank in ranks.items() if rank == 1]
    if stated is not None and stated not in firsts:
        raise ValidationError({"winner": ValidationError("The winner must have rank 1.", "invalid")})
    return stated or (firsts[0] if len(firsts) == 1 else None)


def _consensus(round_table: RoundTable, scored: Iterable[RoundTableEntry], voted: bool) -> Decimal | None:
    if voted:
        [(consensus,)] = _call("SELECT agents_vote_consensus(%s)", round_table.pk)
        return consensus
    entries = list(scored)
    agreement = kendalls_w([[entry.scores[name] for entry in entries] for name in round_table.criteria])
    return None if agreement is None or not entries else Decimal(agreement).quantize(Decimal("0.0001"))


def _call(sql: str, round_table_id: UUID) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [round_table_id])
        return cursor.fetchall()
