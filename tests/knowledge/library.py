"""Documents for tests of search, as processing leaves them."""

from typing import Any

from django.db import transaction

from knowledge.models import Chunk, Collection, Document
from knowledge.services.documents import Outcome, content_of, put_document
from knowledge.services.processing import process_document
from knowledge.services.reembedding import reembed
from tests.factories.knowledge import DocumentFactory


def offer(
    collection: Collection, content: str | bytes, name: str = "manual.md", **fields: Any
) -> tuple[Document, Outcome]:
    """Give the collection a file, and return its document and what became of it."""
    content = content.encode() if isinstance(content, str) else content
    return put_document(collection=collection, content=content_of(content, name=name), document_id=name, **fields)


def put(collection: Collection, content: str | bytes, name: str = "manual.md", **fields: Any) -> Document:
    """Give the collection a file, and return its document."""
    return offer(collection, content, name, **fields)[0]


def processed(document: Document) -> Document:
    """Process a document, and return it as it is then."""
    process_document(document_id=document.pk)
    document.refresh_from_db()
    return document


def shelve(collection: Collection, *texts: str, **fields: Any) -> Document:
    """Make a document of chunks, one a text, without vectors."""
    document: Document = DocumentFactory(organization=collection.organization, collection=collection, **fields)
    with transaction.atomic():
        Chunk.objects.bulk_create(
            Chunk(
                organization_id=collection.organization_id,
                collection=collection,
                document=document,
                position=position,
                heading_path=[document.title],
                char_start=0,
                char_end=len(text),
                text=text,
                language=document.language,
                token_count=len(text.split()),
            )
            for position, text in enumerate(texts)
        )
    return document


def embed(collection: Collection) -> None:
    """Give every chunk of the collection its vector."""
    assert reembed(collection_id=collection.pk)
