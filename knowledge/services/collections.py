"""Collections as wholes: how far their documents are, splitting all of them anew, and deleting them."""

from typing import Any

from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject

from knowledge.models import Collection, Document, DocumentStatus
from knowledge.services.documents import PENDING
from knowledge.services.queueing import enqueue_reembedding, enqueue_waiting

SPLITTING = ("chunk_size", "chunk_overlap")  # what, once changed, wants the documents split anew


def with_progress(collections: QuerySet[Collection]) -> QuerySet[Collection]:
    """Add ``progress`` to collections: how many of their documents are in each status."""
    return collections.annotate(progress=Subquery(_counted(OuterRef("pk"))))


def progress_of(collection: Collection) -> dict[str, int]:
    """Return how many documents of a collection are in each status."""
    if hasattr(collection, "progress"):
        known: dict[str, int] | None = collection.progress
    else:
        known = next(iter(_counted(collection.pk)), None)
    return {**dict.fromkeys(DocumentStatus.values, 0), **(known or {})}


@transaction.atomic
def change_collection(*, collection: Collection, before: Collection) -> Collection:
    """Save a collection, and have its chunks made or embedded anew where it says otherwise than ``before``."""
    collection.save()
    if collection.embedding_model != before.embedding_model:
        enqueue_reembedding(collection.pk)
    if any(getattr(collection, name) != getattr(before, name) for name in SPLITTING):
        reprocess_collection(collection=collection)
    return collection


@transaction.atomic
def reprocess_collection(*, collection: Collection) -> int:
    """Have all documents split and embedded anew that were, and return how many. Their chunks serve until then.

    What was read of a file isn't read again: that is done document by document (see documents.reprocess_document).
    """
    count = (
        Document.objects.alive().filter(collection=collection).exclude(status=DocumentStatus.PENDING).update(**PENDING)
    )
    enqueue_waiting()
    return count


@transaction.atomic
def delete_collections(*, collections: QuerySet[Collection]) -> None:
    """Delete collections with all that is in them. Each is locked before its documents are, as whoever writes does."""
    keys = list(collections.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))
    Collection.objects.filter(pk__in=keys).delete()


def _counted(collection: Any) -> QuerySet:
    counts = {status: Count("pk", filter=Q(status=status)) for status in DocumentStatus.values}
    documents = Document.objects.alive().filter(collection=collection).order_by().values("collection")
    return documents.annotate(progress=JSONObject(**counts)).values_list("progress", flat=True)
