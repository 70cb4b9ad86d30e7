"""Background jobs of knowledge: documents are processed, and collections change their model.

What is enqueued where the need arises is found again by a schedule, each minute: what waits for an embedder that was
out of reach longer than a job is tried, what lost its worker, what was restored in the admin or written by SQL.
"""

import time
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Concat
from procrastinate.contrib.django.models import ProcrastinateJob

from core import jobs
from knowledge.models import Document, DocumentStatus
from knowledge.services import processing, reembedding

QUEUE = jobs.long_queue("knowledge")
DOCUMENT, COLLECTION = "knowledge document ", "knowledge collection "  # begins of what tells a job from others
LATER = " later"  # the end of it, of one that waits for its time
ENQUEUED_AT_ONCE = 500
# How long others wait where each thread has a long job; longer for large documents, since reading and splitting aren't
# cut, and embedding goes on for a multiple of what they took (see processing.PREPARED).
SLICE_SECONDS = 20.0
SMALL_BYTES = 32 * 2**10  # a few seconds of the default embedder
MOST_COUNTED = 255
COLLECTION_PRIORITY = -4  # as a document of half a megabyte: search goes on meanwhile


@jobs.task(queue=QUEUE)
def process_document(document_id: str) -> None:
    """Process a document, if it waits for that still: for some seconds, and by another job after that."""
    share = processing.Slice(SLICE_SECONDS, jobs.stopping.is_set)
    try:
        processing.process_document(document_id=UUID(document_id), share=share)
    except processing.DocumentBusyError as busy:
        enqueue_document(UUID(document_id), at=busy.until)


@jobs.task(queue=QUEUE)
def reembed_collection(collection_id: str) -> None:
    """Give a collection's chunks vectors of its model: for some seconds, and by another job after that."""
    end = time.monotonic() + SLICE_SECONDS

    def go_on() -> bool:
        return time.monotonic() < end and not jobs.stopping.is_set()

    if not reembedding.reembed(collection_id=UUID(collection_id), go_on=go_on):
        enqueue_collection(UUID(collection_id))


@jobs.task(priority=10)
def enqueue_documents() -> None:
    """Enqueue a job for each document that waits without one."""
    while enqueue_some_documents():
        pass


@jobs.periodic("* * * * *")
def find_work() -> None:
    """Enqueue what waits without a job."""
    enqueue_documents()
    for collection in reembedding.unfinished():
        enqueue_collection(collection.pk)


def enqueue_document(document_id: UUID, *, at: datetime | None = None) -> None:
    """Enqueue the processing of a document, whose row the transaction has changed and so holds, for a time or for now.

    A job that waits already will do: it can't start on the document before the transaction ends. But none that waits
    for a time will do for now.
    """
    word = f"{DOCUMENT}{document_id}{LATER if at else ''}"
    job = process_document.options(once=word, priority=priority_of(document_id), at=at)
    job.enqueue(document_id=str(document_id))


def priority_of(document_id: UUID) -> int:
    """Return the priority of a document's job: from 0 downwards.

    It falls by one each time the document is twice as large, and each time its organization has twice as many others
    that wait or are processed. So small ones go first, and an organization with thousands keeps nobody else waiting.
    """
    found = Document.objects.filter(pk=document_id).values_list("organization_id", "size").first()
    if found is None:
        return 0
    organization, size = found
    open_ones = Document.objects.alive().filter(
        organization_id=organization, status__in=[DocumentStatus.PENDING, DocumentStatus.PROCESSING]
    )
    others = open_ones.exclude(pk=document_id).order_by()[:MOST_COUNTED].count()
    return -((size // SMALL_BYTES).bit_length() + others.bit_length())


def enqueue_collection(collection_id: UUID) -> None:
    """Enqueue the embedding of a collection by its next model."""
    word = f"{COLLECTION}{collection_id}"
    reembed_collection.options(once=word, lock=word, priority=COLLECTION_PRIORITY).enqueue(
        collection_id=str(collection_id)
    )


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
