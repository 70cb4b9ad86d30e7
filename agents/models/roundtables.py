"""Round tables: several models answer one prompt, and a judge ranks the answers."""

from decimal import Decimal
from typing import Any, ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Func, Q

from agents.models.metrics import validate_finite
from core.constraints import SameOrganization, amount, between, given, json_object, one_of, seconds
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord, RecordQuerySet
from core.triggers import Immutable, SharedTrigger, pgtrigger

MIN_ENTRIES, MAX_ENTRIES = 2, 20
MOST_WEIGHT = 1000
MOST_SCORE = 1_000_000
JUDGED = Q(judged_at__isnull=False)


class RoundTableStatus(models.TextChoices):
    """How far a round table has come."""

    PENDING = "pending", "Pending"
    JUDGED = "judged", "Judged"
    CANCELLED = "cancelled", "Cancelled"


class HasWeights(Func):
    """Whether a JSON value is an object of names and weights above 0."""

    function = "agents_has_weights"
    arity = 1
    output_field = models.BooleanField()


class HasScores(Func):
    """Whether a JSON value is an object of names and scores."""

    function = "agents_has_scores"
    arity = 1
    output_field = models.BooleanField()


class TotalScore(Func):
    """The sum of the scores, each times the weight of its criterion; null where there are no scores."""

    function = "agents_total_score"
    arity = 2
    output_field = models.DecimalField(max_digits=20, decimal_places=6)


def _numbers(value: Any, least: float, most: float, what: str) -> None:
    if not isinstance(value, dict) or not all(value):
        raise ValidationError(f"This must be a JSON object of criteria and {what}.", "invalid")
    for name, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
            raise ValidationError(f"“{name}” must be a number from {least:g} to {most:g}.", "invalid")


def validate_criteria(value: Any) -> None:
    """Raise ValidationError unless the value is an object of criteria and weights above 0."""
    _numbers(value, 0, MOST_WEIGHT, "weights")
    if not all(value.values()):
        raise ValidationError("A weight must be more than 0.", "invalid")


def validate_scores(value: Any) -> None:
    """Raise ValidationError unless the value is an object of criteria and scores."""
    _numbers(value, -MOST_SCORE, MOST_SCORE, "scores")


class KeepRoundTable(SharedTrigger):
    """Holds a round table, its entries and votes to each other and to the judgement, at the transaction's end."""

    name = "judgement"
    when = pgtrigger.After
    operation = pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete
    timing = pgtrigger.Deferred
    function = "agents_keep_round_table"

    def __init__(self, column: str) -> None:
        self.arguments = (column,)
        super().__init__()


class JudgedStays(SharedTrigger):
    """Refuses to change or delete what belongs to a judged round table."""

    name = "judged_stays"
    function = "agents_judged_stays"


class SettledOnceJudged(Immutable):
    """Refuses to change what a judgement rests on, once it is made."""

    condition = pgtrigger.Condition("OLD.judged_at IS NOT NULL")


class KeptOnceJudged(SharedTrigger):
    """Refuses to delete a round table that was judged."""

    name = "judged_kept"
    operation = pgtrigger.Delete
    function = "agents_judged_kept"
    condition = pgtrigger.Condition("OLD.judged_at IS NOT NULL")


class RoundTableQuerySet(RecordQuerySet):
    """Reads of round tables."""

    def judged(self) -> Self:
        """Return those whose judgement counts."""
        return self.filter(status=RoundTableStatus.JUDGED)


class RoundTable(OrganizationRecord):
    """One prompt that several models answered, and what a judge made of the answers.

    A judgement is made once, and stands. One that shouldn't count is cancelled: it stays for the record, and the
    leaderboard passes over it. ``entry_count``, ``vote_count`` and ``total_cost`` are what entries and votes say.
    """

    lifecycle = Lifecycle(
        Transition("judge", {"pending"}, "judged", stamp="judged_at"),
        Transition("cancel", {"pending", "judged"}, "cancelled"),
    )

    result_id = models.CharField(
        max_length=200, blank=True, help_text="What the caller knows the result by; unique in the organization."
    )
    prompt = models.TextField()
    task_category = models.CharField(max_length=100, default="general", help_text="What the leaderboard is asked by.")
    status = models.CharField(max_length=20, choices=RoundTableStatus, default=RoundTableStatus.PENDING, editable=False)
    judge = models.CharField(max_length=200, blank=True, help_text="Who judges: a person, or a model by its name.")
    criteria = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_criteria],
        help_text='Weights by criterion: {"accuracy": 2, "style": 1}.',
    )
    winner = models.ForeignKey(
        "agents.RoundTableEntry",
        on_delete=models.RESTRICT,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        editable=False,
        help_text="The entry of rank 1; null where several share it and the judge named none.",
    )
    consensus = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        null=True,
        blank=True,
        editable=False,
        help_text="0 to 1: the share of votes that say what their pair came to, or else Kendall's W of the criteria.",
    )
    entry_count = models.PositiveSmallIntegerField(default=0, editable=False)
    vote_count = models.PositiveIntegerField(default=0, editable=False)
    total_cost = models.DecimalField(
        max_digits=18,
        decimal_places=8,
        null=True,
        blank=True,
        editable=False,
        help_text="What the entries cost, in US dollars; null where the cost of one is unknown.",
    )
    duration = models.FloatField(
        null=True, blank=True, help_text="Seconds that it all took.", validators=[MinValueValidator(0), validate_finite]
    )
    metadata = models.JSONField(default=dict, blank=True)
    judged_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar = RoundTableQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("winner", name="agents_roundtable_winner"),
            given("prompt", name="agents_roundtable_prompt_given"),
            given("task_category", name="agents_roundtable_category_given"),
            one_of("status", RoundTableStatus, name="agents_roundtable_status"),
            models.UniqueConstraint(
                fields=["organization", "result_id"],
                condition=~Q(result_id=""),
                name="agents_roundtable_result_id_unique",
                violation_error_message="“result_id” is another round table's.",
            ),
            models.CheckConstraint(
                name="agents_roundtable_criteria",
                condition=HasWeights(F("criteria")),
                violation_error_message=f"“criteria” must be a JSON object of weights above 0, up to {MOST_WEIGHT}.",
            ),
            json_object("metadata", name="agents_roundtable_metadata"),
            between("consensus", 0, 1, name="agents_roundtable_consensus"),
            between("entry_count", 0, MAX_ENTRIES, name="agents_roundtable_entry_count"),
            amount("total_cost", name="agents_roundtable_total_cost"),
            seconds("duration", name="agents_roundtable_duration"),
            models.CheckConstraint(
                name="agents_roundtable_judged_at",
                condition=(~Q(status=RoundTableStatus.PENDING) | Q(judged_at=None))
                & (~Q(status=RoundTableStatus.JUDGED) | JUDGED),
                violation_error_message="“judged_at” says when a round table was judged, and only then.",
            ),
            models.CheckConstraint(
                name="agents_roundtable_judge_named",
                condition=Q(judged_at=None) | ~Q(judge=""),
                violation_error_message="A judged round table names its judge.",
            ),
            models.CheckConstraint(
                name="agents_roundtable_judgement",
                condition=JUDGED | Q(winner=None, consensus=None, vote_count=0),
                violation_error_message="Winner, consensus and votes come with the judgement.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="agents_roundtable_status"),
            models.Index(fields=["organization", "task_category", "created_at", "id"], name="agents_roundtable_topic"),
            models.Index(fields=["organization", "judge", "created_at", "id"], name="agents_roundtable_judge"),
            models.Index(fields=["organization", "updated_at", "id"], name="agents_roundtable_changed"),
            models.Index(fields=["winner"], condition=Q(winner__isnull=False), name="agents_roundtable_winner"),
            # What the leaderboard reads, the newest judgements first: of all categories, and of one.
            models.Index(
                fields=["organization", "judged_at", "id"],
                condition=Q(status=RoundTableStatus.JUDGED),
                name="agents_roundtable_board",
            ),
            models.Index(
                fields=["organization", "task_category", "judged_at", "id"],
                condition=Q(status=RoundTableStatus.JUDGED),
                name="agents_roundtable_topic_board",
            ),
            GinIndex(fields=["prompt"], opclasses=["gin_trgm_ops"], name="agents_roundtable_search"),
        ]
        triggers = [
            KeepRoundTable("id"),
            SettledOnceJudged(
                *("prompt", "task_category", "judge", "criteria", "winner_id", "consensus", "entry_count"),
                *("vote_count", "total_cost", "duration", "judged_at"),
                name="settled",
            ),
            KeptOnceJudged(),
        ]

    def __str__(self) -> str:
        return self.prompt[:80]

    @property
    def is_pending(self) -> bool:
        """Tell whether it can still be changed and judged."""
        return self.status == RoundTableStatus.PENDING


class RoundTableEntry(OrganizationRecord):
    """One model's answer. ``scores``, ``total_score`` and ``rank`` are the judgement's; one that failed has none.

    Ranks are those of competitions: 1, 2, 2, 4; equal ranks are ties.
    """

    round_table = models.ForeignKey(
        RoundTable,
        on_delete=models.CASCADE,
        related_name="entries",
        db_constraint=False,
        db_index=False,  # agents_roundtableentry_model_once serves it
    )
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    response = models.TextField(blank=True)
    scores = models.JSONField(default=dict, blank=True, editable=False, validators=[validate_scores])
    total_score = models.DecimalField(
        max_digits=20,
        decimal_places=6,
        null=True,
        blank=True,
        editable=False,
        help_text="The sum of the scores, each times the weight of its criterion.",
    )
    rank = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    tokens = models.PositiveIntegerField(null=True, blank=True)
    cost = models.DecimalField(
        max_digits=16,
        decimal_places=8,
        null=True,
        blank=True,
        help_text="US dollars; null where unknown.",
        validators=[MinValueValidator(Decimal(0))],
    )
    latency = models.FloatField(
        null=True, blank=True, help_text="Seconds.", validators=[MinValueValidator(0), validate_finite]
    )
    error = models.TextField(blank=True, help_text="Why the model gave no answer; empty where it gave one.")

    class Meta(OrganizationRecord.Meta):
        verbose_name_plural = "round table entries"
        ordering = ["rank", "created_at", "id"]
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("round_table", name="agents_roundtableentry_round_table"),
            # What the leaderboard reads of entries stands in the index, so that long responses aren't touched.
            models.UniqueConstraint(
                fields=["round_table", "provider", "model"],
                include=["rank", "cost", "latency"],
                name="agents_roundtableentry_model_once",
                violation_error_message="A model answers once in a round table.",
            ),
            given("provider", name="agents_roundtableentry_provider_given"),
            given("model", name="agents_roundtableentry_model_given"),
            models.CheckConstraint(
                name="agents_roundtableentry_scores",
                condition=HasScores(F("scores")),
                violation_error_message=f"“scores” must be a JSON object of numbers of at most {MOST_SCORE}.",
            ),
            between("rank", 1, MAX_ENTRIES, name="agents_roundtableentry_rank"),
            amount("cost", name="agents_roundtableentry_cost"),
            seconds("latency", name="agents_roundtableentry_latency"),
            models.CheckConstraint(
                name="agents_roundtableentry_failed",
                condition=Q(error="") | Q(rank=None, total_score=None, scores={}),
                violation_error_message="An entry that failed has neither scores nor a rank.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(
                fields=["organization", "round_table", "created_at", "id"], name="agents_rtentry_table_newest"
            ),
            models.Index(fields=["organization", "model", "created_at", "id"], name="agents_rtentry_model_newest"),
            models.Index(
                fields=["organization", "provider", "created_at", "id"], name="agents_rtentry_provider_newest"
            ),
            models.Index(fields=["organization", "rank", "created_at", "id"], name="agents_rtentry_rank_newest"),
            models.Index(fields=["organization", "updated_at", "id"], name="agents_rtentry_changed"),
        ]
        triggers = [
            KeepRoundTable("round_table_id"),
            JudgedStays(operation=pgtrigger.Update | pgtrigger.Delete),
            Immutable("round_table_id", name="place"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"
