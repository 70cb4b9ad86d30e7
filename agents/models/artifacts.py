"""Artifacts, and the content that they share in storage."""

from uuid import UUID

from django.db import models
from django.db.models import F, Q
from django.db.models.lookups import Exact

from agents.models.evidence import OfWork
from core.constraints import (
    Octets,
    OrganizationKey,
    SameOrganization,
    Sha256,
    Utf8,
    digest,
    given,
    json_object,
    one_of,
)
from core.models import OrganizationLog, OrganizationRecord
from core.triggers import Immutable

# A media type by RFC 9110 (section 8.3.1), in lower case and without parameters but for those of one token.
CONTENT_TYPE = r"^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+(; ?[a-z0-9-]+=[A-Za-z0-9_.+-]+)*$"


def content_name(organization_id: UUID, content_id: UUID) -> str:
    """Return the name of a content in storage: of ids, never of what a client chose, and of no other content's.

    Since no two uploads ever share a name, what becomes of one can't touch the other's file.
    """
    return f"artifacts/{organization_id}/{content_id.hex[-2:]}/{content_id}"


class ContentKey(OrganizationKey):
    """What artifacts refer to, so that their size and digest are those of the content."""

    key = ("organization", "id", "sha256", "size")


class StoredContent(OrganizationLog):
    """A content in storage, kept once in an organization, however many artifacts have it."""

    sha256 = models.CharField("SHA-256", max_length=64)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    location = models.CharField(max_length=300, unique=True, help_text="The file's name in storage.")

    class Meta(OrganizationLog.Meta):
        constraints = [
            *OrganizationLog.Meta.constraints,
            ContentKey(name="agents_storedcontent_content"),
            models.UniqueConstraint(
                fields=["organization", "sha256"],
                name="agents_storedcontent_once",
                violation_error_message="“sha256” is stored already.",
            ),
            digest("sha256", name="agents_storedcontent_digest_shape"),
            given("location", name="agents_storedcontent_location_given"),
        ]
        indexes = [
            *OrganizationLog.Meta.indexes,
            models.Index(fields=["organization", "size", "id"], name="agents_content_largest"),
        ]
        triggers = [Immutable("sha256", "size", "location", name="content")]

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


class StoredAs(SameOrganization):
    """A composite foreign key: the content belongs to the organization, and has the artifact's size and digest."""

    shared = ("organization_id", "sha256", "size")


class Artifact(OfWork, OrganizationRecord):
    """Something that work left behind: a text of its own, or content in storage. What it holds never changes."""

    audit_redact = ("text",)

    name = models.CharField(max_length=300, help_text="A file name, by which it is downloaded.")
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
    content_type = models.CharField(max_length=200, default="application/octet-stream", help_text="A media type.")
    size = models.PositiveBigIntegerField(editable=False, help_text="Bytes.")
    sha256 = models.CharField("SHA-256", max_length=64, editable=False)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta(OrganizationRecord.Meta):
        default_related_name = "artifacts"
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("task", name="agents_artifact_task"),
            SameOrganization("task_run", name="agents_artifact_task_run"),
            StoredAs("stored", name="agents_artifact_stored"),
            given("name", name="agents_artifact_name_given"),
            one_of("artifact_type", ArtifactType, name="agents_artifact_type"),
            json_object("metadata", name="agents_artifact_metadata"),
            models.CheckConstraint(
                name="agents_artifact_name_one_line",
                condition=~Q(name__regex=r"[\x01-\x1f\x7f]"),
                violation_error_message="“name” can't have control characters.",
            ),
            models.CheckConstraint(
                name="agents_artifact_one_content",
                condition=Q(text__isnull=False, stored=None) | Q(text=None, stored__isnull=False),
                violation_error_message="An artifact has either an inline text or content in storage.",
            ),
            models.CheckConstraint(
                name="agents_artifact_text_size",
                condition=Q(text=None) | Q(Exact(F("size"), Octets("text"))),
                violation_error_message="“size” must be that of the text.",
            ),
            models.CheckConstraint(
                name="agents_artifact_text_digest",
                condition=Q(text=None) | Q(Exact(F("sha256"), Sha256(Utf8("text")))),
                violation_error_message="“sha256” must be that of the text.",
            ),
            digest("sha256", name="agents_artifact_digest_shape"),
            models.CheckConstraint(
                name="agents_artifact_content_type",
                condition=Q(content_type__regex=CONTENT_TYPE),
                violation_error_message="“content_type” must be a media type, such as “text/csv”.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(
                fields=["organization", "artifact_type", "created_at", "id"], name="agents_artifact_type_newest"
            ),
            models.Index(fields=["organization", "sha256"], name="agents_artifact_digest"),
            models.Index(fields=["organization", "updated_at", "id"], name="agents_artifact_changed"),
            models.Index(fields=["task", "created_at", "id"], name="agents_artifact_task_newest"),
            models.Index(fields=["task_run", "created_at", "id"], name="agents_artifact_run_newest"),
        ]
        triggers = [Immutable("text", "stored_id", "size", "sha256", name="content")]

    def __str__(self) -> str:
        return self.name
