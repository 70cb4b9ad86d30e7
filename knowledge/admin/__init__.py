"""Admin pages of knowledge's records."""

from knowledge.admin.documents import ChunkAdmin, CollectionAdmin, DocumentAdmin, DocumentVersionAdmin
from knowledge.admin.search import DocumentFrequencyAdmin, EmbeddingAdmin, TermVectorAdmin

__all__ = [
    "ChunkAdmin",
    "CollectionAdmin",
    "DocumentAdmin",
    "DocumentFrequencyAdmin",
    "DocumentVersionAdmin",
    "EmbeddingAdmin",
    "TermVectorAdmin",
]
