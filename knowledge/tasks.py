"""Background jobs of knowledge: documents are processed, and collections change their model.

What is enqueued where the need arises is found again by a schedule, each minute: what waits for an embedder that was
out of reach longer than a job is tried, what lost its worker, what was restored in the admin or written by SQL.
"""

import time
from uuid import UUID

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Concat
from procrastinate.contrib.django.models import ProcrastinateJob

from core import jobs
from knowledge.models import Document
from knowledge.services import processing, reembedding

QUEUE = "knowledge"
DOCUMENT, COLLECTION = "knowledge document ", "knowledge collection "  # begins of what tells a job from others
ENQUEUED_AT_ONCE = 500
SLICE_SECONDS = 300.0


@jobs.task(queue=QUEUE)
def process_document(document_id: str) -> None:
    """Process a document, if it waits for that still."""
    processing.process_document(document_id=UUID(document_id))


@jobs.task(queue=QUEUE)
def reembed_collection(collection_id: str) -> None:
    """Give a collection's chunks vectors of its model: for some minutes, and by another job after that."""
    end = time.monotonic() + SLICE_SECONDS
    if not reembedding.reembed(collection_id=UUID(collection_id), go_on=lambda: time.monotonic() < end):
        enqueue_collection(UUID(collection_id))


@jobs.task(queue=QUEUE, priority=10)
def enqueue_documents() -> None:
    """Enqueue a job for each document that waits without one."""
    while enqueue_some_documents():
        pass


@jobs.periodic("* * * * *", queue=QUEUE)
def find_work() -> None:
    """Enqueue what waits without a job."""
    enqueue_documents()
    for collection in reembedding.unfinished():
        enqueue_collection(collection.pk)


def enqueue_document(document_id: UUID) -> None:
    """Enqueue the processing of a document, whose row the transaction has changed and so holds.

    A job that waits already will do: it can't start on the document before the transaction ends.
    """
    process_document.options(once=f"{DOCUMENT}{document_id}").enqueue(document_id=str(document_id))


def enqueue_collection(collection_id: UUID) -> None:
    """Enqueue the embedding of a collection by its next model."""
    word = f"{COLLECTION}{collection_id}"
    reembed_collection.options(once=word, lock=word).enqueue(collection_id=str(collection_id))


@transaction.atomic
def enqueue_some_documents() -> int:
    """Enqueue jobs for some of the documents that wait without one, and return for how many."""
    word = Concat(Value(DOCUMENT), Cast(OuterRef("pk"), CharField()))
    has = ProcrastinateJob.objects.filter(queueing_lock=word, status="todo")
    waiting = Document.objects.claimable().filter(~Exists(has)).order_by("pk")
    found = list(waiting.values_list("pk", flat=True)[:ENQUEUED_AT_ONCE])
    for document_id in found:
        enqueue_document(document_id)
    return len(found)
