"""Vectors of chunks: which a collection wants, and how they are stored.

Embedding takes long and happens outside of any transaction; storing happens in the one that makes the chunks. In
between the collection may change its model. So who stores takes a share of the collection's lock and looks again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from knowledge.embedders import Vectors, embedder
from knowledge.models import Collection

INSERT = """
    INSERT INTO knowledge_embedding (chunk_id, model, vector)
    SELECT chunk.id, %(model)s, given.vector::halfvec
      FROM unnest(%(chunks)s::uuid[], %(vectors)s::text[]) AS given (id, vector)
      JOIN (SELECT id FROM knowledge_chunk WHERE id = ANY (%(chunks)s) ORDER BY id FOR KEY SHARE) AS chunk USING (id)
    ON CONFLICT (chunk_id, model) DO NOTHING
"""


class ModelsChangedError(Exception):
    """The collection meanwhile wants vectors of another model: embed anew."""


def models_of(collection: Collection) -> list[str]:
    """Return the models that a new chunk of the collection needs a vector of.

    They are two while the collection changes its model: that by which it is searched still, and the next.
    """
    return list(dict.fromkeys([collection.search_model, collection.embedding_model]))


def embed(
    *, collection: Collection, passages: Sequence[str], go_on: Callable[[], None] = lambda: None
) -> dict[str, Vectors]:
    """Return the vectors that a collection wants of passages, by model. Not to be called in a transaction.

    ``go_on`` is called after each model.

    Raises:
        EmbeddingError: a model is unknown here, or has no vector for a passage.
        EmbedderUnavailable: an embedder can't be reached.
    """
    vectors = {}
    for model in models_of(collection):
        vectors[model] = embedder(model).embed_passages(passages)
        go_on()
    return vectors


def hold_models(collection_id: UUID) -> set[str]:
    """Return the models whose vectors a collection wants, and lets nobody change them until the transaction ends.

    Who locks documents of the collection, too, calls this before: who changes a collection locks in that order.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT search_model, embedding_model FROM knowledge_collection WHERE id = %s FOR SHARE", [collection_id]
        )
        return set(cursor.fetchone() or ())


def store(*, collection_id: UUID, chunks: Sequence[UUID], vectors: Mapping[str, Vectors]) -> None:
    """Store the vectors of chunks just made, in the transaction that made them.

    Args:
        collection_id: the collection of all the chunks.
        chunks: their ids, in the order of the vectors.
        vectors: as `embed` returned them.

    Raises:
        ModelsChangedError: the collection wants others by now.
    """
    wanted = hold_models(collection_id)
    if not wanted <= set(vectors):
        raise ModelsChangedError(f"Collection {collection_id} wants vectors of {', '.join(sorted(wanted))}.")
    for model in sorted(wanted):
        insert(chunks=chunks, model=model, vectors=vectors[model])


def as_text(vector: Vectors) -> str:
    """Return a vector as PostgreSQL reads it, as exactly as 16 bits a number are."""
    return f"[{','.join(f'{number:.5g}' for number in vector.tolist())}]"


def insert(*, chunks: Sequence[UUID], model: str, vectors: Vectors) -> int:
    """Insert vectors of one model, and return how many: not for chunks that are gone, or have one."""
    given: Any = {
        "model": model,
        "chunks": list(chunks),
        "vectors": list(map(as_text, vectors)),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INSERT, given)
        return cursor.rowcount
