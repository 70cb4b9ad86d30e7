"""Projects: what is worked on, how it stands, and what is to change."""

from decimal import Decimal
from typing import ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from agents.models.roster import Squad
from core.constraints import SameOrganization, between, given, json_object, one_of
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord, SoftDeletion, User
from core.models.base import SoftDeletionQuerySet
from core.triggers import Immutable, SharedTrigger


class ProjectStatus(models.TextChoices):
    """How far a project is."""

    PLANNING = "planning", "Planning"
    ACTIVE = "active", "Active"
    ON_HOLD = "on_hold", "On hold"
    COMPLETED = "completed", "Completed"
    ARCHIVED = "archived", "Archived"


class Project(SoftDeletion, OrganizationRecord):
    """Something that a squad works on. Its name is free again once it is deleted."""

    lifecycle = Lifecycle(
        Transition("begin", {"planning"}, "active"),
        Transition("hold", {"active"}, "on_hold"),
        Transition("resume", {"on_hold", "completed"}, "active"),
        Transition("complete", {"active"}, "completed"),
        Transition("archive", {"planning", "active", "on_hold", "completed"}, "archived"),
    )

    squad = models.ForeignKey(
        Squad, on_delete=models.PROTECT, null=True, blank=True, related_name="projects", db_constraint=False
    )
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=20, choices=ProjectStatus, default=ProjectStatus.PLANNING, editable=False)
    external_workspace_id = models.CharField(max_length=200, blank=True)
    external_folder_id = models.CharField(max_length=200, blank=True)
    repository_url = models.URLField(max_length=500, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )

    objects: ClassVar = SoftDeletionQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("squad", name="agents_project_squad"),
            models.UniqueConstraint(
                fields=["organization", "name"],
                condition=Q(deleted_at=None),
                name="agents_project_name_unique",
                violation_error_message="“name” belongs to another project already.",
            ),
            given("name", name="agents_project_name_given"),
            one_of("status", ProjectStatus, name="agents_project_status"),
            json_object("metadata", name="agents_project_metadata_object"),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="agents_project_status_newest"),
            GinIndex(
                fields=["name", "description"],
                opclasses=["gin_trgm_ops", "gin_trgm_ops"],
                name="agents_project_search",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class NoUpdate(SharedTrigger):
    """Refuses to change a row that stands; loading the same row again changes nothing, and passes."""

    name = "no_update"
    operation = pgtrigger.Update
    condition = pgtrigger.Condition("OLD.* IS DISTINCT FROM NEW.*")
    function = "muster_append_only"


class NumberContext(SharedTrigger):
    """Gives a context the next version of its project, and refuses any other."""

    name = "number"
    operation = pgtrigger.Insert
    function = "agents_number_context"


def score(help_text: str) -> models.DecimalField:
    """Return a field for a score or percentage, 0 to 100."""
    return models.DecimalField(
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        help_text=help_text,
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(100))],
    )


class ProjectContext(OrganizationRecord):
    """How a project stood at one time. Versions count 1, 2, … in the project; a version never changes.

    The database gives the version; one that is named must be the next.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="contexts", db_constraint=False)
    version = models.PositiveIntegerField(db_default=0, help_text="1, 2, … in the project.")
    codebase = models.JSONField(default=dict, blank=True)
    configuration = models.JSONField(default=dict, blank=True)
    dependencies = models.JSONField(default=dict, blank=True)
    test_coverage = score("Per cent, 0 to 100.")
    security_score = score("0 to 100.")
    performance_score = score("0 to 100.")
    # Nothing of a context changes, so that a user who made one is kept; others can be deleted.
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )

    class Meta(OrganizationRecord.Meta):
        ordering = ["-version"]
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("project", name="agents_projectcontext_project"),
            models.UniqueConstraint(
                fields=["project", "version"],
                name="agents_projectcontext_version",
                violation_error_message="“version” was appended already.",
            ),
            between("version", 1, name="agents_projectcontext_version_from_1"),
            between("test_coverage", 0, 100, name="agents_projectcontext_test_coverage"),
            between("security_score", 0, 100, name="agents_projectcontext_security_score"),
            between("performance_score", 0, 100, name="agents_projectcontext_performance_score"),
        ]
        triggers = [NoUpdate(), NumberContext()]

    def __str__(self) -> str:
        return f"{self.project} v{self.version}"


class ModificationStatus(models.TextChoices):
    """How far a modification is."""

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    APPLIED = "applied", "Applied"
    FAILED = "failed", "Failed"


class RiskLevel(models.TextChoices):
    """How much a modification may break."""

    LOW = "low", "Low"
    MEDIUM = "medium", "Medium"
    HIGH = "high", "High"
    CRITICAL = "critical", "Critical"


class Reviewer(SharedTrigger):
    """Refuses a review by whoever asked, unless the organization's settings allow it."""

    name = "reviewer"
    operation = pgtrigger.Insert | pgtrigger.Update
    function = "agents_modification_reviewer"


class Settled(Immutable):
    """Refuses to change what was asked for from the review on: what was approved is what is applied."""

    condition = ~pgtrigger.Q(old__status="pending") | ~pgtrigger.Q(new__status="pending")


class Modification(OrganizationRecord):
    """A change that somebody asks for, somebody else reviews, and somebody or something then applies."""

    lifecycle = Lifecycle(
        Transition("approve", {"pending"}, "approved", stamp="reviewed_at"),
        Transition("reject", {"pending"}, "rejected", stamp="reviewed_at"),
        Transition("apply", {"approved"}, "applied", stamp="applied_at"),
        Transition("fail", {"approved"}, "failed", stamp="failed_at"),
    )

    context = models.ForeignKey(
        ProjectContext, on_delete=models.CASCADE, related_name="modifications", db_constraint=False
    )
    title = models.CharField(max_length=300)
    request = models.TextField()
    status = models.CharField(
        max_length=20, choices=ModificationStatus, default=ModificationStatus.PENDING, editable=False
    )
    impact_analysis = models.JSONField(default=dict, blank=True)
    risk_level = models.CharField(max_length=20, choices=RiskLevel, default=RiskLevel.MEDIUM)
    affected_files = ArrayField(models.CharField(max_length=500), default=list, blank=True)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", editable=False)
    reviewed_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, blank=True, editable=False
    )
    review_comment = models.TextField(blank=True, editable=False)
    result = models.JSONField(null=True, blank=True, editable=False)
    error_message = models.TextField(blank=True, editable=False)
    reviewed_at = models.DateTimeField(null=True, blank=True, editable=False)
    applied_at = models.DateTimeField(null=True, blank=True, editable=False)
    failed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("context", name="agents_modification_context"),
            given("title", name="agents_modification_title_given"),
            given("request", name="agents_modification_request_given"),
            one_of("status", ModificationStatus, name="agents_modification_status"),
            one_of("risk_level", RiskLevel, name="agents_modification_risk_level"),
            json_object("impact_analysis", name="agents_modification_impact_object"),
            models.CheckConstraint(
                name="agents_modification_status_reviewed",
                condition=Q(status=ModificationStatus.PENDING, reviewed_at=None, reviewed_by=None, review_comment="")
                | (
                    ~Q(status=ModificationStatus.PENDING)
                    & Q(reviewed_at__isnull=False, reviewed_by__isnull=False)
                    & ~Q(review_comment="")
                ),
                violation_error_message="A review has a reviewer, a time and a comment; before, there is none.",
            ),
            models.CheckConstraint(
                name="agents_modification_status_applied",
                condition=Q(status=ModificationStatus.APPLIED, applied_at__isnull=False)
                | (~Q(status=ModificationStatus.APPLIED) & Q(applied_at=None)),
                violation_error_message="“applied_at” says when an applied modification was applied.",
            ),
            models.CheckConstraint(
                name="agents_modification_status_failed",
                condition=(Q(status=ModificationStatus.FAILED, failed_at__isnull=False) & ~Q(error_message=""))
                | (~Q(status=ModificationStatus.FAILED) & Q(failed_at=None, error_message="")),
                violation_error_message="A failed modification has a time and an error; others have none.",
            ),
            models.CheckConstraint(
                name="agents_modification_result",
                condition=Q(result=None) | Q(status__in=[ModificationStatus.APPLIED, ModificationStatus.FAILED]),
                violation_error_message="“result” comes with applying.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="agents_modification_status"),
            GinIndex(fields=["affected_files"], name="agents_modification_files"),
        ]
        triggers = [
            Reviewer(),
            Immutable("requested_by_id", "context_id", name="request"),
            Settled("title", "request", "impact_analysis", "risk_level", "affected_files", name="settled"),
        ]

    def __str__(self) -> str:
        return self.title
