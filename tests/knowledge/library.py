"""Documents for tests of search, as processing leaves them."""

from typing import Any

from django.db import transaction

from knowledge.models import Chunk, Collection, Document
from knowledge.services.reembedding import reembed
from tests.factories.knowledge import DocumentFactory


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
