"""Factories of round tables, entries and votes."""

from typing import Any

import factory
from django.db import connection
from factory.django import DjangoModelFactory

from agents.models import RoundTable, RoundTableEntry, RoundTableVote
from agents.services import round_tables
from tests.factories.core import OrganizationFactory


class RoundTableFactory(DjangoModelFactory):
    """A pending round table of two entries, or of as many as ``entry_count`` says."""

    class Meta:
        model = RoundTable
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory)
    prompt = factory.Sequence(lambda n: f"Prompt {n}")
    judge = "Ada"
    criteria = factory.LazyFunction(lambda: {"accuracy": 2, "style": 1})
    entry_count = 2

    @factory.post_generation
    def entries(self: Any, create: bool, extracted: int | None, **kwargs: Any) -> None:
        """Make the entries that stand there from the beginning; ``entries`` says how many, all unless given."""
        for number in range(self.entry_count if extracted is None else extracted):
            RoundTableEntry.objects.create(
                organization=self.organization,
                round_table=self,
                provider="acme",
                model=f"model-{number}",
                response=f"Answer {number}",
            )


class RoundTableEntryFactory(DjangoModelFactory):
    """One of the two entries of a pending round table."""

    class Meta:
        model = RoundTableEntry

    organization = factory.SubFactory(OrganizationFactory)
    round_table = factory.SubFactory(RoundTableFactory, organization=factory.SelfAttribute("..organization"), entries=1)
    provider = "globex"
    model = factory.Sequence(lambda n: f"globex-{n}")
    response = "An answer."


class RoundTableVoteFactory(DjangoModelFactory):
    """One of the two votes that a round table of two entries was judged by.

    The database has looked at the judgement by then, so that tests may plant words in one vote past its triggers.
    """

    class Meta:
        model = RoundTableVote

    organization = factory.SubFactory(OrganizationFactory)

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> RoundTableVote:
        table = RoundTableFactory(organization=kwargs["organization"])
        one, other = table.entries.order_by("model")
        judged_by_votes(table, (one, other, "first"), (other, one, "second"))
        connection.check_constraints()
        return table.votes.earliest("created_at", "id")


def judged(table: RoundTable | None = None, ranks: dict[str, int] | None = None, **fields: Any) -> RoundTable:
    """Judge a round table, a new one unless given, by ranks of its models; the first is the best unless given."""
    table = table or RoundTableFactory(**fields)
    answers = table.entries.filter(error="").order_by("model")
    verdicts = [
        round_tables.Verdict(entry.pk, rank=ranks[entry.model] if ranks else place)
        for place, entry in enumerate(answers, start=1)
    ]
    return round_tables.judge_round_table(round_table=table, judge=table.judge or "Ada", verdicts=verdicts)


def judged_by_votes(table: RoundTable, *votes: tuple[Any, ...]) -> RoundTable:
    """Judge a round table by votes: (first, second, preferred) or (first, second, preferred, judge)."""
    return round_tables.judge_round_table(
        round_table=table,
        votes=[round_tables.Vote(first.pk, second.pk, *rest) for first, second, *rest in votes],
    )
