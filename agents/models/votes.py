"""Votes: what judges say of two answers, without scores."""

from django.db import models
from django.db.models import F, Q

from agents.models.roundtables import JudgedStays, KeepRoundTable, RoundTable, RoundTableEntry
from core.constraints import SameOrganization, given, one_of
from core.models import OrganizationLog
from core.triggers import Immutable, pgtrigger


class Preference(models.TextChoices):
    """Which of two answers a vote prefers."""

    FIRST = "first", "First"
    SECOND = "second", "Second"
    TIE = "tie", "Tie"


class RoundTableVote(OrganizationLog):
    """What a judge said of two answers, shown in this order. It stands as it was given.

    Each pair is shown in both orders. Where they disagree, the judge followed the position, and the pair is a tie.
    """

    round_table = models.ForeignKey(
        RoundTable,
        on_delete=models.CASCADE,
        related_name="votes",
        db_constraint=False,
        db_index=False,  # agents_roundtablevote_once serves it
    )
    judge = models.CharField(max_length=200)
    first = models.ForeignKey(RoundTableEntry, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    second = models.ForeignKey(RoundTableEntry, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    preferred = models.CharField(max_length=10, choices=Preference)

    class Meta(OrganizationLog.Meta):
        ordering = ["created_at", "id"]
        constraints = [
            *OrganizationLog.Meta.constraints,
            SameOrganization("round_table", name="agents_roundtablevote_round_table"),
            SameOrganization("first", name="agents_roundtablevote_first"),
            SameOrganization("second", name="agents_roundtablevote_second"),
            given("judge", name="agents_roundtablevote_judge_given"),
            one_of("preferred", Preference, name="agents_roundtablevote_preferred"),
            models.CheckConstraint(
                name="agents_roundtablevote_two_entries",
                condition=~Q(first=F("second")),
                violation_error_message="A vote compares two entries.",
            ),
            models.UniqueConstraint(
                fields=["round_table", "judge", "first", "second"],
                name="agents_roundtablevote_once",
                violation_error_message="A judge sees two entries once in each order.",
            ),
        ]
        indexes = [
            *OrganizationLog.Meta.indexes,
            models.Index(fields=["organization", "round_table", "created_at", "id"], name="agents_rtvote_table_newest"),
            models.Index(fields=["organization", "judge", "created_at", "id"], name="agents_rtvote_judge_newest"),
        ]
        triggers = [
            KeepRoundTable("round_table_id"),
            JudgedStays(operation=pgtrigger.Delete),
            Immutable("round_table_id", "judge", "first_id", "second_id", "preferred", name="said"),
        ]

    def __str__(self) -> str:
        return f"{self.first} or {self.second}: {self.get_preferred_display().lower()}"
