"""The records of knowledge."""

from knowledge.models.chunks import Chunk
from knowledge.models.collections import Collection
from knowledge.models.documents import Document, DocumentStatus, DocumentVersion

__all__ = ["Chunk", "Collection", "Document", "DocumentStatus", "DocumentVersion"]
