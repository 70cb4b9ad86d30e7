"""What people think of the work, and what was learned from it."""

from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.lookups import Exact

from agents.models.executions import AgentExecution
from agents.models.messages import AgentMessage
from agents.models.roster import Squad
from agents.models.roundtables import RoundTableEntry
from agents.models.runs import TaskRun
from core.constraints import SameOrganization, between, given, json_object, one_of
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord, User
from core.triggers import Immutable, SharedTrigger, pgtrigger

TARGETS = ("task_run", "message", "execution", "round_table_entry")
ONE_TARGET = "Feedback has exactly one target: a run, a message, an execution or a round table's entry."


class Feedback(OrganizationRecord):
    """What somebody thinks of a run, a message, an execution or a round table's entry: exactly one, for good."""

    task_run = models.ForeignKey(
        TaskRun,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="feedback",
        db_constraint=False,
        db_index=False,
    )
    message = models.ForeignKey(
        AgentMessage,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="feedback",
        db_constraint=False,
        db_index=False,
    )
    execution = models.ForeignKey(
        AgentExecution,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="feedback",
        db_constraint=False,
        db_index=False,
    )
    round_table_entry = models.ForeignKey(
        RoundTableEntry,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="feedback",
        db_constraint=False,
        db_index=False,
    )
    user = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", editable=False, db_index=False
    )
    rating = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="1 (worst) to 5 (best).",
        validators=[MinValueValidator(1), MaxValueValidator(5)],
    )
    thumbs_up = models.BooleanField(null=True, blank=True)
    category = models.CharField(max_length=100, blank=True)
    comment = models.TextField(blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)

    class Meta(OrganizationRecord.Meta):
        verbose_name_plural = "feedback"
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("task_run", name="agents_feedback_task_run"),
            SameOrganization("message", name="agents_feedback_message"),
            SameOrganization("execution", name="agents_feedback_execution"),
            SameOrganization("round_table_entry", name="agents_feedback_entry"),
            models.CheckConstraint(
                name="agents_feedback_one_target",
                condition=Exact(Func(*map(F, TARGETS), function="num_nonnulls", output_field=models.IntegerField()), 1),
                violation_error_message=ONE_TARGET,
            ),
            between("rating", 1, 5, name="agents_feedback_rating"),
            models.CheckConstraint(
                name="agents_feedback_says_something",
                condition=Q(rating__isnull=False) | Q(thumbs_up__isnull=False) | ~Q(comment=""),
                violation_error_message="Feedback needs a rating, a thumb or a comment.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["task_run", "created_at", "id"], name="agents_feedback_run_newest"),
            models.Index(fields=["message", "created_at", "id"], name="agents_feedback_msg_newest"),
            models.Index(
                fields=["execution", "created_at", "id"],
                condition=Q(execution__isnull=False),
                name="agents_feedback_exec_newest",
            ),
            models.Index(
                fields=["round_table_entry", "created_at", "id"],
                condition=Q(round_table_entry__isnull=False),
                name="agents_feedback_entry_newest",
            ),
            models.Index(fields=["user", "created_at", "id"], name="agents_feedback_user_newest"),
            models.Index(fields=["organization", "rating", "id"], name="agents_feedback_rating"),
            models.Index(fields=["organization", "category", "created_at", "id"], name="agents_feedback_topic_newest"),
            models.Index(fields=["organization", "updated_at", "id"], name="agents_feedback_changed"),
            GinIndex(fields=["tags"], name="agents_feedback_tags"),
        ]
        triggers = [Immutable(*(f"{target}_id" for target in TARGETS), name="target")]

    def __str__(self) -> str:
        thumb = {True: "👍", False: "👎", None: ""}[self.thumbs_up]
        return f"{self.rating or ''} {thumb} {self.comment[:60]}".strip()


class InsightStatus(models.TextChoices):
    """Whether an insight holds."""

    DRAFT = "draft", "Draft"
    ACCEPTED = "accepted", "Accepted"
    RETIRED = "retired", "Retired"


class KeepInsight(SharedTrigger):
    """Keeps what was accepted as it was, and counts applications of accepted insights only, upwards."""

    name = "accepted"
    operation = pgtrigger.Update
    function = "agents_keep_insight"


class LearningInsight(OrganizationRecord):
    """Something learned from feedback or a run, for squads to apply once somebody has accepted it."""

    lifecycle = Lifecycle(
        Transition("accept", {"draft"}, "accepted"),
        Transition("retire", {"draft", "accepted"}, "retired"),
    )
    audit_ignore = ("times_applied",)

    squad = models.ForeignKey(
        Squad,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="insights",
        db_constraint=False,
        db_index=False,
        help_text="Whom it is for; none: everybody.",
    )
    source_feedback = models.ForeignKey(
        Feedback, on_delete=models.PROTECT, null=True, blank=True, related_name="insights", db_constraint=False
    )
    source_run = models.ForeignKey(
        TaskRun, on_delete=models.PROTECT, null=True, blank=True, related_name="insights", db_constraint=False
    )
    category = models.CharField(max_length=100, blank=True)
    insight = models.TextField()
    evidence = models.JSONField(default=dict, blank=True)
    confidence = models.DecimalField(
        max_digits=4,
        decimal_places=3,
        default=Decimal("0.5"),
        help_text="0 to 1.",
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(1))],
    )
    times_applied = models.PositiveIntegerField(default=0, editable=False)
    status = models.CharField(max_length=20, choices=InsightStatus, default=InsightStatus.DRAFT, editable=False)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("squad", name="agents_learninginsight_squad"),
            SameOrganization("source_feedback", name="agents_learninginsight_feedback"),
            SameOrganization("source_run", name="agents_learninginsight_run"),
            given("insight", name="agents_learninginsight_given"),
            json_object("evidence", name="agents_learninginsight_evidence"),
            between("confidence", 0, 1, name="agents_learninginsight_confidence"),
            one_of("status", InsightStatus, name="agents_learninginsight_status"),
            models.CheckConstraint(
                name="agents_learninginsight_applied",
                condition=Q(times_applied=0) | ~Q(status=InsightStatus.DRAFT),
                violation_error_message="A draft is applied only once it is accepted.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="agents_insight_status_newest"),
            models.Index(fields=["organization", "category", "created_at", "id"], name="agents_insight_topic_newest"),
            models.Index(fields=["organization", "updated_at", "id"], name="agents_insight_changed"),
            models.Index(fields=["organization", "confidence", "id"], name="agents_insight_surest"),
            models.Index(fields=["organization", "times_applied", "id"], name="agents_insight_most_applied"),
            models.Index(fields=["squad", "created_at", "id"], name="agents_insight_squad_newest"),
        ]
        triggers = [KeepInsight()]

    def __str__(self) -> str:
        return self.insight[:80]
