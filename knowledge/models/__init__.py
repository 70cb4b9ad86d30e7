"""The records of knowledge."""

from knowledge.models.chunks import Chunk
from knowledge.models.collections import Collection
from knowledge.models.documents import Document, DocumentStatus, DocumentVersion
from knowledge.models.embeddings import Embedding
from knowledge.models.terms import DocumentFrequency, TermVector

__all__ = [
    "Chunk",
    "Collection",
    "Document",
    "DocumentFrequency",
    "DocumentStatus",
    "DocumentVersion",
    "Embedding",
    "TermVector",
]
