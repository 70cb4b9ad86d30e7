"""Embeddings: the vectors of chunks, in a narrow table of their own.

Exact search reads every vector of an organization. Beside the text they would lie three to a page, here nine.
"""

from typing import ClassVar

import pgtrigger
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Cast
from django.db.models.lookups import LessThanOrEqual, Range
from pgvector.django import HalfVectorField, HnswIndex

from config.env.embedding import MOST_DIMENSIONS
from core.constraints import SameOrganization, given
from core.ids import DatabaseUUID7, uuid7
from core.models import Organization, RecordQuerySet
from core.triggers import Immutable, SharedTrigger
from knowledge.embedders.onnx import DEFAULT_DIMENSIONS, DEFAULT_MODEL
from knowledge.models.chunks import Chunk
from knowledge.models.storage import Storage

UNIT = (0.99, 1.01)  # the length of a vector of unit length, after rounding to 16 bits a number


class Dimensions(Func):
    """How many numbers a vector has."""

    function = "vector_dims"
    output_field = models.IntegerField()


class Length(Func):
    """The Euclidean length of a vector."""

    function = "l2_norm"
    output_field = models.FloatField()


class FillEmbedding(SharedTrigger):
    """Copies from the chunk where it belongs, and refuses a vector of another length than the model's others."""

    name = "fill"
    operation = pgtrigger.Insert
    function = "knowledge_fill_embedding"


class Embedding(models.Model):
    """What a chunk means, by one model: a vector of unit length, so that inner products are cosines.

    A chunk has one of the model that its collection is searched by and, while the collection changes its model, one
    of the next. ``collection_id`` and ``document_id`` are the chunk's own, for filters.
    """

    organization_path: ClassVar[str] = "organization"

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=DatabaseUUID7(), editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False, editable=False
    )
    collection_id = models.UUIDField(editable=False, help_text="The chunk's.")
    document_id = models.UUIDField(editable=False, help_text="The chunk's.")
    chunk = models.ForeignKey(
        # The trigger of chunks takes them away with the chunk, whoever deletes it.
        Chunk,
        on_delete=models.DO_NOTHING,
        related_name="embeddings",
        db_constraint=False,
        db_index=False,
    )
    model = models.CharField(max_length=200)
    vector = HalfVectorField()

    objects: ClassVar = RecordQuerySet.as_manager()

    class Meta:
        ordering = ["model", "collection_id", "id"]
        constraints = [
            SameOrganization("chunk", name="knowledge_embedding_chunk"),
            models.UniqueConstraint(
                fields=["chunk", "model"],
                name="knowledge_embedding_once",
                violation_error_message="The chunk has a vector of this model already.",
            ),
            given("model", name="knowledge_embedding_model_given"),
            models.CheckConstraint(
                name="knowledge_embedding_dimensions",
                condition=LessThanOrEqual(Dimensions(F("vector")), MOST_DIMENSIONS),
                violation_error_message=f"“vector” has at most {MOST_DIMENSIONS} dimensions.",
            ),
            models.CheckConstraint(
                name="knowledge_embedding_unit",
                condition=Range(Length(F("vector")), UNIT),
                violation_error_message="“vector” must be of unit length.",
            ),
            Storage("vector", "PLAIN", usual="EXTERNAL", name="knowledge_embedding_vector_plain"),
        ]
        indexes = [
            models.Index(fields=["organization", "model", "collection_id", "id"], name="knowledge_embedding_scope"),
            models.Index(fields=["collection_id", "model"], name="knowledge_embedding_collection"),
            HnswIndex(
                OpClass(Cast("vector", HalfVectorField(dimensions=DEFAULT_DIMENSIONS)), name="halfvec_ip_ops"),
                condition=Q(model=DEFAULT_MODEL),
                name="knowledge_embedding_hnsw",
            ),
        ]
        triggers = [
            FillEmbedding(),
            Immutable("organization_id", "collection_id", "document_id", "chunk_id", "model", "vector", name="content"),
        ]

    def __str__(self) -> str:
        return f"{self.chunk_id} by {self.model}"
