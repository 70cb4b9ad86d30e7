"""Chunks: the passages of a document that search finds."""

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Q

from core.constraints import SameOrganization, between, given, one_of
from core.models import OrganizationLog
from core.triggers import AfterStatement, Immutable
from knowledge.models.collections import Collection
from knowledge.models.documents import Document
from knowledge.models.languages import Language

MOST_CHARACTERS = 100_000
HEADINGS_JOIN = " › "  # noqa: RUF001 (meant)
# Bytes of UTF-8, some 60 tokens of English and half of what a small model reads of a language whose letters are a token
# each: most is for the text.
MOST_OF_HEADINGS = 240


class Lexemes(models.Func):
    """The stems of a passage's words, for full-text search."""

    function = "knowledge_lexemes"
    arity = 3
    output_field = SearchVectorField()


class CountChunks(AfterStatement):
    """Keeps each document's ``chunk_count`` what counting would say."""

    prefix = "count"
    old_rows = new_rows = "changed"
    function = "knowledge_count_chunks"


class KeepTerms(AfterStatement):
    """Keeps what search knows of chunks: makes their term vectors, and takes these and the embeddings away again."""

    prefix = "terms"
    old_rows = new_rows = "changed"
    function = "knowledge_keep_terms"


class InCollection(SameOrganization):
    """A composite foreign key: the document stands in the chunk's organization and collection."""

    shared = ("organization_id", "collection_id")


class Chunk(OrganizationLog):
    """A passage of a document's text, with the headings that it stands under. It never changes; it is replaced."""

    collection = models.ForeignKey(
        Collection, on_delete=models.CASCADE, related_name="chunks", db_constraint=False, db_index=False, editable=False
    )
    document = models.ForeignKey(
        Document, on_delete=models.CASCADE, related_name="chunks", db_constraint=False, db_index=False, editable=False
    )
    position = models.PositiveIntegerField(help_text="0, 1, … in the document.")
    heading_path = ArrayField(
        models.TextField(),
        default=list,
        blank=True,
        help_text="The document's title and the headings above the passage.",
    )
    char_start = models.PositiveIntegerField(help_text="Where the passage begins in the document's text, from 0.")
    char_end = models.PositiveIntegerField(help_text="Where it ends: the character after its last.")
    text = models.TextField()
    language = models.CharField(max_length=10, choices=Language, default=Language.ENGLISH)
    token_count = models.PositiveIntegerField(help_text="Tokens of the passage, as the embedding model counts them.")
    lexemes = models.GeneratedField(
        expression=Lexemes(F("language"), F("heading_path"), F("text")),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta(OrganizationLog.Meta):
        ordering = ["id"]  # made in the order of positions
        constraints = [
            *OrganizationLog.Meta.constraints,
            InCollection("document", name="knowledge_chunk_document"),
            SameOrganization("collection", name="knowledge_chunk_collection"),
            models.UniqueConstraint(
                fields=["document", "position"],
                name="knowledge_chunk_position",
                violation_error_message="“position” is another chunk's.",
            ),
            given("text", name="knowledge_chunk_text_given"),
            one_of("language", Language, name="knowledge_chunk_language"),
            between("token_count", 1, name="knowledge_chunk_token_count"),
            models.CheckConstraint(
                name="knowledge_chunk_span",
                condition=Q(char_end=F("char_start") + models.functions.Length("text"))
                & Q(char_end__lte=F("char_start") + MOST_CHARACTERS),
                violation_error_message=(
                    f"“char_end” must be “char_start” and the text's length, which is at most {MOST_CHARACTERS:,}."
                ),
            ),
        ]
        indexes = [models.Index(fields=["collection", "id"], name="knowledge_chunk_collection")]
        triggers = [
            CountChunks(pgtrigger.Insert),
            CountChunks(pgtrigger.Delete),
            KeepTerms(pgtrigger.Insert),
            KeepTerms(pgtrigger.Delete),
            Immutable(
                "collection_id",
                "document_id",
                "position",
                "heading_path",
                "char_start",
                "char_end",
                "text",
                "language",
                "token_count",
                name="content",
            ),
        ]

    @property
    def passage(self) -> str:
        """What is embedded: the headings, then the text."""
        return passage(self.heading_path, self.text)

    def __str__(self) -> str:
        return f"{self.document} #{self.position}"


def passage(heading_path: list[str], text: str) -> str:
    """Return what is embedded of a chunk: the headings that it stands under, then its text.

    Of long headings it is the first, which is the document's title, and as many of the nearest as there is room for.
    """
    if not heading_path:
        return text
    title, *nearer = heading_path
    room = MOST_OF_HEADINGS - _size(title)
    kept: list[str] = []
    for heading in reversed(nearer):
        room -= _size(HEADINGS_JOIN + heading)
        if room < 0:
            break
        kept.insert(0, heading)
    title = title.encode()[:MOST_OF_HEADINGS].decode(errors="ignore")
    return f"{HEADINGS_JOIN.join([title, *kept])}\n{text}"


def _size(text: str) -> int:
    return len(text.encode())
