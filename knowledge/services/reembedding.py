"""Changing a collection's embedding model while it is searched.

The collection names its next model, and is searched by the old vectors until every chunk has a new one. Then it
switches in one transaction, which also drops the old ones. Stopped at any point, it goes on from there.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from knowledge.embedders import embedder
from knowledge.models import Chunk, Collection, Document, Embedding
from knowledge.services.indexing import insert

CHUNKS_AT_ONCE = 32  # some two seconds of the default embedder


def waiting(*, collection_id: UUID, model: str) -> QuerySet[Chunk]:
    """Return the chunks of a collection that have no vector of a model."""
    has = Embedding.objects.filter(chunk_id=OuterRef("pk"), model=model)
    return Chunk.objects.filter(~Exists(has), collection_id=collection_id).order_by("pk")


def unfinished() -> QuerySet[Collection]:
    """Return the collections that change their model, or got chunks without a vector within the last day.

    Processing makes none such; somebody who writes by SQL does. Only a day's are looked for, since this is asked again
    and again, and would else read all chunks there are.
    """
    has = Embedding.objects.filter(chunk_id=OuterRef("pk"), model=OuterRef("collection__search_model"))
    newest = Chunk.objects.filter(pk__gte=earliest_id(timezone.now() - timedelta(days=1)))
    without = newest.filter(~Exists(has)).values("collection_id")
    return Collection.objects.filter(~Q(search_model=F("embedding_model")) | Q(pk__in=without))


def earliest_id(moment: datetime) -> UUID:
    """Return a lower bound of the ids made at a time or later: their first 48 bits are milliseconds (RFC 9562)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def reembed(*, collection_id: UUID, go_on: Callable[[], bool] = lambda: True) -> bool:
    """Give every chunk of a collection a vector of its embedding model, and search by these from then on.

    Not to be called in a transaction: each batch is kept as it comes.

    Args:
        collection_id: the collection; one that is gone has nothing to do.
        go_on: asked before each batch; when it says no, the rest is left for the next call.

    Returns:
        Whether all is done.

    Raises:
        EmbeddingError: the model is unknown here, or has no vector for a chunk.
        EmbedderUnavailable: the embedder can't be reached; try again later.
    """
    done: tuple[str, UUID] | None = None  # a model, and the last chunk that got a vector of it
    while go_on():
        # Anew for each batch: it may be told to take yet another model.
        model = Collection.objects.filter(pk=collection_id).values_list("embedding_model", flat=True).first()
        if model is None:
            return True
        chunks = waiting(collection_id=collection_id, model=model)
        if done and done[0] == model:
            chunks = chunks.filter(pk__gt=done[1])  # those before it would be looked through for each batch else
        batch = list(chunks[:CHUNKS_AT_ONCE])
        if batch:
            vectors = embedder(model).embed_passages([chunk.passage for chunk in batch])
            insert(chunks=[chunk.pk for chunk in batch], model=model, vectors=vectors)
            done = model, batch[-1].pk
        elif switch(collection_id=collection_id):
            return True
        else:
            done = None  # some came meanwhile among those before
    return False


@transaction.atomic
def switch(*, collection_id: UUID) -> bool:
    """Search a collection by its embedding model from now on, and drop all other vectors.

    Returns:
        Whether it does; not, when chunks came meanwhile that have no vector yet.
    """
    collection = Collection.objects.select_for_update(no_key=True).filter(pk=collection_id).first()
    if collection is None:
        return True
    model = collection.embedding_model
    if waiting(collection_id=collection_id, model=model).exists():
        return False
    if collection.search_model != model:
        collection.search_model = model
        collection.save(update_fields=["search_model"])
    Embedding.objects.filter(collection_id=collection_id).exclude(model=model).delete()
    indexed = Document.objects.filter(collection_id=collection_id, indexed_version__gt=0)
    indexed.exclude(embedding_model=model).update(embedding_model=model)
    return True
