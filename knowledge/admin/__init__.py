"""Admin pages of knowledge's records."""

from knowledge.admin.documents import ChunkAdmin, CollectionAdmin, DocumentAdmin, DocumentVersionAdmin

__all__ = ["ChunkAdmin", "CollectionAdmin", "DocumentAdmin", "DocumentVersionAdmin"]
