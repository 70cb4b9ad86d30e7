"""What full-text search by BM25 wants to know: the weight of each word in a chunk, and in how many chunks it stands.

Triggers keep both with the chunks (see knowledge.sql.terms), whoever writes these; nobody else writes here.
"""

from typing import ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Func
from pgvector.django import SparseVectorField

from core.constraints import SameOrganization, between, one_of
from core.ids import DatabaseUUID7, uuid7
from core.models import Organization, RecordQuerySet
from core.triggers import AfterStatement, Immutable, SharedTrigger
from knowledge.models.chunks import Chunk
from knowledge.models.languages import Language
from knowledge.models.storage import Storage


class Lexemes(Func):
    """The words of a text search vector, as an array."""

    function = "tsvector_to_array"
    output_field = ArrayField(models.TextField())


class TermKeys(Func):
    """What an organization's words are indexed by."""

    function = "knowledge_term_keys"
    output_field = ArrayField(models.BigIntegerField())


class CountTerms(AfterStatement):
    """Keeps document frequencies equal to what counting the term vectors would say."""

    prefix = "count"
    old_rows = new_rows = "changed"
    function = "knowledge_count_terms"


class OnlyByTrigger(SharedTrigger):
    """Refuses what anybody but a trigger writes."""

    name = "only_by_trigger"
    level = pgtrigger.Statement
    operation = pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete
    function = "knowledge_only_by_trigger"


class TermVector(models.Model):
    """The words of a chunk, without their places, and what each counts for by BM25.

    ``weights`` has a dimension for each lexeme, by its hash. Its inner product with a query's vector, which holds
    inverse document frequencies, is the BM25 score.
    """

    organization_path: ClassVar[str] = "organization"

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=DatabaseUUID7(), editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False, editable=False
    )
    collection_id = models.UUIDField(editable=False, help_text="The chunk's.")
    document_id = models.UUIDField(editable=False, help_text="The chunk's.")
    chunk = models.OneToOneField(
        # The trigger of chunks takes it away with the chunk, whoever deletes it.
        Chunk,
        on_delete=models.DO_NOTHING,
        related_name="term_vector",
        db_constraint=False,
        editable=False,
    )
    language = models.CharField(max_length=10, choices=Language, editable=False)
    lexemes = SearchVectorField(editable=False)
    weights = SparseVectorField(editable=False)

    objects: ClassVar = RecordQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            SameOrganization("chunk", name="knowledge_termvector_chunk"),
            one_of("language", Language, name="knowledge_termvector_language"),
            Storage("weights", "MAIN", usual="EXTERNAL", name="knowledge_termvector_weights_main"),
        ]
        indexes = [
            # Without a list of what is still to be indexed, which each search would read through.
            GinIndex(TermKeys("organization", Lexemes("lexemes")), fastupdate=False, name="knowledge_termvector_keys"),
            models.Index(fields=["organization", "id"], name="knowledge_termvector_newest"),
        ]
        triggers = [
            OnlyByTrigger(),
            CountTerms(pgtrigger.Insert),
            CountTerms(pgtrigger.Delete),
            CountTerms(pgtrigger.Truncate),
            Immutable(
                "organization_id",
                "collection_id",
                "document_id",
                "chunk_id",
                "language",
                "lexemes",
                "weights",
                name="content",
            ),
        ]

    def __str__(self) -> str:
        return f"Terms of {self.chunk_id}"


class DocumentFrequency(models.Model):
    """In how many chunks of an organization a lexeme of a language stands. The empty lexeme stands in all."""

    organization_path: ClassVar[str] = "organization"

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=DatabaseUUID7(), editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="+", db_index=False, editable=False
    )
    language = models.CharField(max_length=10, choices=Language, editable=False)
    lexeme = models.TextField(editable=False)
    chunks = models.BigIntegerField(editable=False)

    objects: ClassVar = RecordQuerySet.as_manager()

    class Meta:
        ordering = ["-chunks", "-id"]
        verbose_name_plural = "document frequencies"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "lexeme", "language"], name="knowledge_documentfrequency_unique"
            ),
            one_of("language", Language, name="knowledge_documentfrequency_language"),
            between("chunks", 0, name="knowledge_documentfrequency_chunks"),
        ]
        indexes = [models.Index(fields=["organization", "chunks", "id"], name="knowledge_documentfrequency_mo")]
        triggers = [OnlyByTrigger()]

    def __str__(self) -> str:
        return f"{self.lexeme}: {self.chunks}"
