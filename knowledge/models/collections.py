"""Collections: documents that are split, embedded and searched alike."""

from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from core.constraints import between, given, json_object
from core.models import OrganizationRecord
from core.triggers import SharedTrigger

# A chunk of this many tokens holds 150 to 180 English words, and fits the model that comes with Muster whole.
DEFAULT_CHUNK_SIZE = 256
DEFAULT_OVERLAP = 32
LEAST_CHUNK_SIZE, MOST_CHUNK_SIZE = 64, 8192


def default_model() -> str:
    """Return the name of the model that new collections have: the first that is set up."""
    model: str = settings.EMBEDDING_MODELS[0]
    return model


class KeepSearchModel(SharedTrigger):
    """Keeps a collection searched by vectors that all its chunks have (see knowledge.sql.terms)."""

    name = "search_model"
    operation = pgtrigger.Insert | pgtrigger.Update
    function = "knowledge_keep_search_model"


class Collection(OrganizationRecord):
    """Documents that belong together. Deleting it deletes them."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    embedding_model = models.CharField(
        max_length=200, default=default_model, help_text="The model that makes the vectors of its chunks."
    )
    search_model = models.CharField(
        max_length=200,
        editable=False,
        help_text="The model whose vectors search uses: “embedding_model”, or the one before while chunks wait for it.",
    )
    chunk_size = models.PositiveIntegerField(
        default=DEFAULT_CHUNK_SIZE,
        validators=[MinValueValidator(LEAST_CHUNK_SIZE), MaxValueValidator(MOST_CHUNK_SIZE)],
        help_text="The most tokens of a chunk, its headings included, as the embedding model counts them.",
    )
    chunk_overlap = models.PositiveIntegerField(
        default=DEFAULT_OVERLAP,
        help_text="How many tokens at a chunk's start repeat the end of the one before; at most half of its size.",
    )
    hybrid_weight = models.FloatField(
        default=0.5,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="What vectors count for in hybrid search: 0 (words alone) to 1 (vectors alone).",
    )
    metadata = models.JSONField(default=dict, blank=True)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            models.UniqueConstraint(
                fields=["organization", "name"],
                name="knowledge_collection_name_unique",
                violation_error_message="“name” belongs to another collection already.",
            ),
            given("name", name="knowledge_collection_name_given"),
            given("embedding_model", name="knowledge_collection_model_given"),
            between("chunk_size", LEAST_CHUNK_SIZE, MOST_CHUNK_SIZE, name="knowledge_collection_chunk_size"),
            models.CheckConstraint(
                name="knowledge_collection_chunk_overlap",
                condition=Q(chunk_overlap__gte=0, chunk_overlap__lte=F("chunk_size") / 2),
                violation_error_message="“chunk_overlap” must be 0 or more, and at most half of “chunk_size”.",
            ),
            between("hybrid_weight", 0, 1, name="knowledge_collection_hybrid_weight"),
            json_object("metadata", name="knowledge_collection_metadata_object"),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            GinIndex(
                fields=["name", "description"],
                opclasses=["gin_trgm_ops", "gin_trgm_ops"],
                name="knowledge_collection_search",
            ),
        ]
        triggers = [KeepSearchModel()]

    def save(self, **options: Any) -> None:
        """Write the row; a new one is searched by its embedding model, as the database has it."""
        self.search_model = self.search_model or self.embedding_model
        super().save(**options)

    def __str__(self) -> str:
        return self.name
