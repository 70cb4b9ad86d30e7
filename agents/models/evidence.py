"""Evidence: metrics, artifacts, feedback, and what was learned from them."""

from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from agents.models.messages import AgentMessage
from agents.models.roster import Squad
from agents.models.work import Task, TaskRun
from core.constraints import SameOrganization, between, given, one_of
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationLog, OrganizationRecord, User


class MetricType(models.TextChoices):
    """How a metric's values are to be read (as OpenTelemetry and Prometheus name them)."""

    COUNTER = "counter", "Counter"
    GAUGE = "gauge", "Gauge"
    HISTOGRAM = "histogram", "Histogram"
    SUMMARY = "summary", "Summary"


class MetricSnapshot(OrganizationLog):
    """One measured value."""

    task = models.ForeignKey(
        Task, on_delete=models.CASCADE, null=True, blank=True, related_name="metrics", db_constraint=False
    )
    task_run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, null=True, blank=True, related_name="metrics", db_constraint=False
    )
    name = models.CharField(max_length=200)
    metric_type = models.CharField(max_length=20, choices=MetricType, default=MetricType.GAUGE)
    value = models.FloatField()
    unit = models.CharField(max_length=50, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    timestamp = models.DateTimeField()

    class Meta(OrganizationLog.Meta):
        ordering = ["-timestamp", "-id"]
        constraints = [
            *OrganizationLog.Meta.constraints,
            SameOrganization("task", name="agents_metricsnapshot_task"),
            SameOrganization("task_run", name="agents_metricsnapshot_task_run"),
            given("name", name="agents_metricsnapshot_name_given"),
            one_of("metric_type", MetricType, name="agents_metricsnapshot_type"),
            models.CheckConstraint(
                name="agents_metricsnapshot_finite",
                condition=Q(value__gt=float("-inf"), value__lt=float("inf")),
                violation_error_message="“value” must be a finite number.",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "timestamp", "id"], name="agents_metric_newest"),
            models.Index(fields=["organization", "name", "timestamp", "id"], name="agents_metric_name_newest"),
            models.Index(
                fields=["organization", "task", "timestamp", "id"],
                condition=Q(task__isnull=False),
                name="agents_metric_task_newest",
            ),
            models.Index(
                fields=["organization", "task_run", "timestamp", "id"],
                condition=Q(task_run__isnull=False),
                name="agents_metric_run_newest",
            ),
            GinIndex(fields=["labels"], opclasses=["jsonb_path_ops"], name="agents_metric_labels"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.value:g} {self.unit}".strip()


def content_path(instance: "StoredContent", filename: str) -> str:
    """Return where content lies in storage: by organization and digest, never by a name that a client chose."""
    return f"artifacts/{instance.organization_id}/{instance.sha256[:2]}/{instance.sha256}"


class StoredContent(OrganizationLog):
    """A file in storage, once for each content in an organization, however many artifacts have it."""

    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    file = models.FileField(upload_to=content_path, max_length=300)

    class Meta(OrganizationLog.Meta):
        constraints = [
            *OrganizationLog.Meta.constraints,
            models.UniqueConstraint(fields=["organization", "sha256"], name="agents_storedcontent_once"),
            models.CheckConstraint(
                name="agents_storedcontent_digest_shape",
                condition=Q(sha256__regex=r"^[0-9a-f]{64}$"),
                violation_error_message="“sha256” is 64 hexadecimal digits.",
            ),
        ]

    def __str__(self) -> str:
        return self.sha256


class ArtifactType(models.TextChoices):
    """What an artifact is."""

    REPORT = "report", "Report"
    DATA = "data", "Data"
    LOG = "log", "Log"
    CONFIG = "config", "Configuration"
    CODE = "code", "Code"
    IMAGE = "image", "Image"
    DOCUMENT = "document", "Document"
    OTHER = "other", "Other"


class Artifact(OrganizationRecord):
    """Something that work left behind: a text of its own, or content in storage."""

    audit_redact = ("text",)

    task = models.ForeignKey(
        Task, on_delete=models.CASCADE, null=True, blank=True, related_name="artifacts", db_constraint=False
    )
    task_run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, null=True, blank=True, related_name="artifacts", db_constraint=False
    )
    name = models.CharField(max_length=300)
    artifact_type = models.CharField(max_length=20, choices=ArtifactType, default=ArtifactType.OTHER)
    text = models.TextField(null=True, blank=True, help_text="The content, where it is kept inline.")  # noqa: DJ001
    stored = models.ForeignKey(
        StoredContent,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="artifacts",
        db_constraint=False,
        editable=False,
    )
    content_type = models.CharField(max_length=200, default="application/octet-stream")
    size = models.PositiveBigIntegerField(editable=False, help_text="Bytes.")
    sha256 = models.CharField(max_length=64, editable=False)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("task", name="agents_artifact_task"),
            SameOrganization("task_run", name="agents_artifact_task_run"),
            SameOrganization("stored", name="agents_artifact_stored"),
            given("name", name="agents_artifact_name_given"),
            one_of("artifact_type", ArtifactType, name="agents_artifact_type"),
            models.CheckConstraint(
                name="agents_artifact_one_content",
                condition=Q(text__isnull=False, stored=None) | Q(text=None, stored__isnull=False),
                violation_error_message="An artifact has either an inline text or content in storage.",
            ),
            models.CheckConstraint(
                name="agents_artifact_digest_shape",
                condition=Q(sha256__regex=r"^[0-9a-f]{64}$"),
                violation_error_message="“sha256” is 64 hexadecimal digits.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(
                fields=["organization", "artifact_type", "created_at", "id"], name="agents_artifact_type_newest"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Feedback(OrganizationRecord):
    """What somebody thinks of a run or a message: exactly one of them."""

    task_run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, null=True, blank=True, related_name="feedback", db_constraint=False
    )
    message = models.ForeignKey(
        AgentMessage, on_delete=models.CASCADE, null=True, blank=True, related_name="feedback", db_constraint=False
    )
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", editable=False)
    rating = models.PositiveSmallIntegerField(null=True, blank=True, help_text="1 (worst) to 5 (best).")
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
            models.CheckConstraint(
                name="agents_feedback_one_target",
                condition=Q(task_run__isnull=False, message=None) | Q(task_run=None, message__isnull=False),
                violation_error_message="Feedback has exactly one target: a run or a message.",
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
            GinIndex(fields=["tags"], name="agents_feedback_tags"),
        ]

    def __str__(self) -> str:
        thumb = {True: "👍", False: "👎", None: ""}[self.thumbs_up]
        return f"{self.rating or ''} {thumb} {self.comment[:60]}".strip()


class InsightStatus(models.TextChoices):
    """Whether an insight holds."""

    DRAFT = "draft", "Draft"
    ACCEPTED = "accepted", "Accepted"
    RETIRED = "retired", "Retired"


class LearningInsight(OrganizationRecord):
    """Something learned from feedback or a run, for squads to apply."""

    lifecycle = Lifecycle(
        Transition("accept", {"draft"}, "accepted"),
        Transition("retire", {"draft", "accepted"}, "retired"),
    )
    audit_ignore = ("times_applied",)

    squad = models.ForeignKey(
        Squad, on_delete=models.PROTECT, null=True, blank=True, related_name="insights", db_constraint=False
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
        help_text="0–1.",
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
        ]

    def __str__(self) -> str:
        return self.insight[:80]
