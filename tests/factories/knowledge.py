"""Factories of collections, documents, chunks, and what search keeps beside them."""

import hashlib
from typing import Any

import factory
from factory.django import DjangoModelFactory

from knowledge.models import (
    Chunk,
    Collection,
    Document,
    DocumentFrequency,
    DocumentVersion,
    Embedding,
    TermVector,
)
from tests.factories.core import OrganizationFactory

DIMENSIONS = 384


class CollectionFactory(DjangoModelFactory):
    """An empty collection with the defaults."""

    class Meta:
        model = Collection

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"Collection {n}")


class DocumentFactory(DjangoModelFactory):
    """A document that waits for processing; ``content`` is its text, of which there is no row."""

    class Meta:
        model = Document

    class Params:
        content = factory.Sequence(lambda n: f"What document {n} says.")

    organization = factory.SubFactory(OrganizationFactory)
    collection = factory.SubFactory(CollectionFactory, organization=factory.SelfAttribute("..organization"))
    document_id = factory.Sequence(lambda n: f"documents/{n}.txt")
    title = factory.Sequence(lambda n: f"Document {n}")
    content_type = "text/plain"
    language = "en"
    content_hash = factory.LazyAttribute(lambda document: hashlib.sha256(document.content.encode()).hexdigest())
    size = factory.LazyAttribute(lambda document: len(document.content.encode()))


class DocumentVersionFactory(DjangoModelFactory):
    """The first version of a new document, of a plain text."""

    class Meta:
        model = DocumentVersion

    organization = factory.SubFactory(OrganizationFactory)
    text = factory.Sequence(lambda n: f"What version {n} says.")
    document = factory.SubFactory(
        DocumentFactory,
        organization=factory.SelfAttribute("..organization"),
        content=factory.SelfAttribute("..text"),
    )
    version = 1
    content_type = "text/plain"
    content_hash = factory.LazyAttribute(lambda version: hashlib.sha256(version.text.encode()).hexdigest())
    size = factory.LazyAttribute(lambda version: len(version.text.encode()))


class ChunkFactory(DjangoModelFactory):
    """A passage of a new document, without a vector."""

    class Meta:
        model = Chunk

    organization = factory.SubFactory(OrganizationFactory)
    document = factory.SubFactory(DocumentFactory, organization=factory.SelfAttribute("..organization"))
    collection = factory.SelfAttribute("document.collection")
    position = factory.Sequence(int)
    heading_path = factory.LazyAttribute(lambda chunk: [chunk.document.title])
    text = factory.Sequence(lambda n: f"Passage {n} tells of valves and pumps.")
    char_start = 0
    char_end = factory.LazyAttribute(lambda chunk: chunk.char_start + len(chunk.text))
    token_count = 8


class EmbeddingFactory(DjangoModelFactory):
    """A vector of a new chunk, by the collection's model."""

    class Meta:
        model = Embedding

    organization = factory.SubFactory(OrganizationFactory)
    chunk = factory.SubFactory(ChunkFactory, organization=factory.SelfAttribute("..organization"))
    collection_id = factory.SelfAttribute("chunk.collection_id")
    document_id = factory.SelfAttribute("chunk.document_id")
    model = factory.SelfAttribute("chunk.collection.embedding_model")
    vector = factory.LazyFunction(lambda: [1.0] + [0.0] * (DIMENSIONS - 1))


class TermVectorFactory(DjangoModelFactory):
    """The term vector of a new chunk, which a trigger makes."""

    class Meta:
        model = TermVector

    organization = factory.SubFactory(OrganizationFactory)

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **fields: Any) -> TermVector:
        return TermVector.objects.get(chunk=ChunkFactory(**fields))


class DocumentFrequencyFactory(DjangoModelFactory):
    """How many chunks have a word, of which a new one is the first."""

    class Meta:
        model = DocumentFrequency

    organization = factory.SubFactory(OrganizationFactory)
    lexeme = factory.Sequence(lambda n: f"word{n}")

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **fields: Any) -> DocumentFrequency:
        lexeme = fields.pop("lexeme")
        chunk = ChunkFactory(text=f"Of the {lexeme}.", **fields)
        return DocumentFrequency.objects.get(organization=chunk.organization, lexeme=lexeme)
