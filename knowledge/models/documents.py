"""Documents, and the versions of what they hold."""

from typing import ClassVar, Self

import pgtrigger
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import Exact

from core.constraints import (
    Octets,
    OrganizationKey,
    SameOrganization,
    Sha256,
    Utf8,
    between,
    digest,
    given,
    json_object,
    one_of,
)
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationLog, OrganizationRecord, SoftDeletion
from core.models.base import SoftDeletionQuerySet
from core.triggers import Immutable, SharedTrigger, Touch
from knowledge.models.collections import Collection
from knowledge.models.languages import Language

# A media type by RFC 9110 (section 8.3.1), in lower case and without parameters.
CONTENT_TYPE = r"^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+$"


class DocumentStatus(models.TextChoices):
    """How far a document is."""

    PENDING = "pending", "Pending"
    PROCESSING = "processing", "Processing"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"


class KeepDocument(SharedTrigger):
    """Keeps a document's count of chunks true and its versions in order (see database_functions)."""

    name = "keep"
    operation = pgtrigger.Insert | pgtrigger.Update
    function = "knowledge_keep_document"


class DropChunks(SharedTrigger):
    """Removes the chunks of a document that was just deleted softly."""

    name = "drop_chunks"
    when = pgtrigger.After
    operation = pgtrigger.UpdateOf("deleted_at")
    condition = pgtrigger.Condition("OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL")
    function = "knowledge_drop_chunks"


class CollectionKey(OrganizationKey):
    """What chunks refer to, so that they stand in their document's collection."""

    key = ("organization", "collection", "id")


class DocumentQuerySet(SoftDeletionQuerySet):
    """Reads of documents."""

    def claimable(self) -> Self:
        """Return the documents that wait for processing, and those whose processing died."""
        lapsed = Q(status=DocumentStatus.PROCESSING, lease_expires_at__lte=Now())
        return self.alive().filter(Q(status=DocumentStatus.PENDING) | lapsed)


class Document(SoftDeletion, OrganizationRecord):
    """Something to be found by search: what it is called and where it comes from; its versions hold the content.

    Once processed it is ready, and its chunks are those of ``indexed_version``. A new version makes it pending
    again, and the old chunks serve until the new ones take their place. Deleted softly it has no chunks; once
    restored it is processed anew.
    """

    lifecycle = Lifecycle(
        Transition("process", {"pending"}, "processing"),
        Transition("finish", {"processing"}, "ready", stamp="processed_at"),
        Transition("fail", {"processing"}, "failed"),
        Transition("requeue", {"processing", "ready", "failed"}, "pending"),
        Transition("retry", {"failed"}, "pending"),  # after “requeue”, whose name the event else would have
    )
    audit_ignore = (
        "chunk_count",
        "expected_chunks",
        "embedded_chunks",
        "embedding_model",  # follows from the collection's
        "lease_token",
        "lease_expires_at",
        "attempts",
    )
    audit_redact = ("lease_token",)

    collection = models.ForeignKey(
        Collection, on_delete=models.CASCADE, related_name="documents", db_constraint=False, db_index=False
    )
    document_id = models.CharField(
        max_length=500, help_text="The caller's name of it, unique in the collection: a path, a URL, a number."
    )
    title = models.CharField(
        max_length=500, blank=True, help_text="Where none is given, processing takes the file's own, or its name."
    )
    found_title = models.CharField(
        max_length=500,
        blank=True,
        db_default="",
        editable=False,
        help_text="The title that processing took. It is found anew for each version, unless another title is given.",
    )
    source_uri = models.CharField(max_length=2000, blank=True, help_text="Where it comes from.")
    content_type = models.CharField(max_length=200, help_text="A media type.")
    content_hash = models.CharField(
        max_length=64, editable=False, help_text="SHA-256 of the newest version, as it came."
    )
    size = models.PositiveBigIntegerField(editable=False, help_text="Bytes of the newest version, as it came.")
    language = models.CharField(
        max_length=10,
        choices=Language,
        blank=True,
        default="",
        help_text="By whose rules words are reduced to stems. Where none is given, that of its text.",
    )
    version = models.PositiveIntegerField(default=1, editable=False, help_text="The newest: 1, 2, …")
    indexed_version = models.PositiveIntegerField(
        default=0, editable=False, help_text="The version that search finds; 0: none yet."
    )
    status = models.CharField(max_length=20, choices=DocumentStatus, default=DocumentStatus.PENDING, editable=False)
    error = models.TextField(blank=True, editable=False, help_text="Why it failed, or what it waits for.")
    chunk_count = models.PositiveIntegerField(default=0, editable=False)
    expected_chunks = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="How many chunks the version has that is processed, or was last; 0: it isn't split yet.",
    )
    embedded_chunks = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="How many of them are embedded, counted every few seconds.",
    )
    embedding_model = models.CharField(
        max_length=200,
        blank=True,
        editable=False,
        help_text="The model whose vectors its chunks have; the newer one, where the collection changes its model.",
    )
    processed_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(
        default=0,
        editable=False,
        help_text="How often processing of the newest version has begun since it last got on.",
    )
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    metadata = models.JSONField(default=dict, blank=True)

    objects: ClassVar = DocumentQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            CollectionKey(name="knowledge_document_in_collection"),
            SameOrganization("collection", name="knowledge_document_collection"),
            models.UniqueConstraint(
                fields=["collection", "document_id"],
                condition=Q(deleted_at=None),
                name="knowledge_document_id_unique",
                violation_error_message="“document_id” belongs to another document of the collection already.",
            ),
            models.UniqueConstraint(
                fields=["collection", "content_hash"],
                condition=Q(deleted_at=None),
                name="knowledge_document_content_once",
                violation_error_message="Another document of the collection has this content already.",
            ),
            given("document_id", name="knowledge_document_id_given"),
            models.CheckConstraint(
                name="knowledge_document_title_given",
                condition=~Q(title="") | ~Q(status=DocumentStatus.READY),
                violation_error_message="“title” can't be empty once the document is processed.",
            ),
            one_of("status", DocumentStatus, name="knowledge_document_status"),
            one_of("language", Language, name="knowledge_document_language", blank=True),
            json_object("metadata", name="knowledge_document_metadata_object"),
            between("version", 1, name="knowledge_document_version_from_1"),
            digest("content_hash", name="knowledge_document_digest_shape"),
            models.CheckConstraint(
                name="knowledge_document_content_type",
                condition=Q(content_type__regex=CONTENT_TYPE),
                violation_error_message="“content_type” must be a media type, such as “text/markdown”.",
            ),
            models.CheckConstraint(
                name="knowledge_document_indexed",
                condition=Q(indexed_version__lte=F("version")),
                violation_error_message="“indexed_version” is a version that there is.",
            ),
            models.CheckConstraint(
                name="knowledge_document_ready",
                condition=~Q(status=DocumentStatus.READY)
                | Q(indexed_version=F("version"), processed_at__isnull=False, deleted_at=None),
                violation_error_message="A ready document is one whose newest version was processed, and not deleted.",
            ),
            models.CheckConstraint(
                name="knowledge_document_failed",
                condition=(Q(status=DocumentStatus.FAILED) & ~Q(error=""))
                | Q(status=DocumentStatus.PENDING)
                | (~Q(status=DocumentStatus.FAILED) & Q(error="")),
                violation_error_message="A failed document has an error, one that waits may have; others have none.",
            ),
            models.CheckConstraint(
                name="knowledge_document_embedded",
                condition=Q(embedded_chunks__lte=F("expected_chunks")),
                violation_error_message="“embedded_chunks” is at most “expected_chunks”.",
            ),
            models.CheckConstraint(
                name="knowledge_document_lease",
                condition=Q(
                    status=DocumentStatus.PROCESSING,
                    deleted_at=None,
                    lease_token__isnull=False,
                    lease_expires_at__isnull=False,
                )
                | (~Q(status=DocumentStatus.PROCESSING) & Q(lease_token=None, lease_expires_at=None)),
                violation_error_message="A document is leased while it is processed, and only then.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="knowledge_document_status"),
            models.Index(fields=["collection", "status", "created_at", "id"], name="knowledge_document_progress"),
            models.Index(fields=["collection", "created_at", "id"], name="knowledge_document_in"),
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(status__in=[DocumentStatus.PENDING, DocumentStatus.PROCESSING], deleted_at=None),
                name="knowledge_document_open",
            ),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="knowledge_document_metadata"),
            GinIndex(
                fields=["title", "document_id", "source_uri"],
                opclasses=["gin_trgm_ops"] * 3,
                name="knowledge_document_search",
            ),
        ]
        triggers = [KeepDocument(), DropChunks(), Immutable("collection_id", name="collection")]

    @property
    def given_title(self) -> str:
        """The title that somebody gave it; empty where processing is to find one."""
        return "" if self.title == self.found_title else self.title

    def __str__(self) -> str:
        return self.title or self.document_id


class KeptContent(Immutable):
    """Refuses to change what came. Asked only where something did change: a row may be many megabytes."""

    name = "organization"
    columns = ("organization_id", "document_id", "version", "content_type", "content_hash", "size", "original")

    def __init__(self) -> None:
        super().__init__(*self.columns, name=self.name)
        self.condition = pgtrigger.Condition(
            " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in self.columns)
        )


# What came: its text may be extracted later, and then is another.
CONTENT = Coalesce(F("original"), Utf8("text"))


class DocumentVersion(OrganizationLog):
    """What a document holds: the newest version, and the one that search finds until the newest is processed.

    A plain text is its own text. Of other formats ``original`` keeps what came, and ``text`` is what was extracted:
    the characters that chunks' positions count.
    """

    document = models.ForeignKey(
        Document, on_delete=models.CASCADE, related_name="versions", db_constraint=False, db_index=False
    )
    version = models.PositiveIntegerField(editable=False, help_text="1, 2, … of the document.")
    content_type = models.CharField(max_length=200, help_text="A media type.")
    content_hash = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the content as it came.")
    size = models.PositiveBigIntegerField(editable=False, help_text="Bytes of the content as it came.")
    original = models.BinaryField(null=True, blank=True, help_text="The content as it came, where it isn't the text.")
    text = models.TextField(null=True, blank=True, editable=False)  # noqa: DJ001 (none is not the same as empty)
    title = models.CharField(
        max_length=500,
        blank=True,
        db_default="",
        editable=False,
        help_text="Of a file, the title of its own; a text's is in the text.",
    )
    draft = models.BinaryField(
        null=True, blank=True, help_text="Vectors of it made so far, while it is processed (see services.drafts)."
    )

    class Meta(OrganizationLog.Meta):
        constraints = [
            *OrganizationLog.Meta.constraints,
            SameOrganization("document", name="knowledge_documentversion_document"),
            models.UniqueConstraint(fields=["document", "version"], name="knowledge_documentversion_unique"),
            between("version", 1, name="knowledge_documentversion_from_1"),
            models.CheckConstraint(
                name="knowledge_documentversion_content",
                condition=Q(original__isnull=False) | Q(text__isnull=False),
                violation_error_message="A version has an original, a text, or both.",
            ),
            models.CheckConstraint(
                name="knowledge_documentversion_digest",
                condition=Exact(F("content_hash"), Sha256(CONTENT)),
                violation_error_message="“content_hash” must be that of the content.",
            ),
            models.CheckConstraint(
                name="knowledge_documentversion_size",
                condition=Exact(F("size"), Octets(CONTENT)),
                violation_error_message="“size” must be that of the content.",
            ),
        ]
        indexes = [models.Index(fields=["organization", "created_at", "id"], name="knowledge_version_newest")]

    @classmethod
    def inherited_triggers(cls) -> list[SharedTrigger]:
        """Return the triggers of every record, in their form for rows of many megabytes."""
        return [Touch(), KeptContent()]

    def __str__(self) -> str:
        return f"{self.document} v{self.version}"
