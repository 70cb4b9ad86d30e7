"""Processing: from what came to chunks with vectors, which take the old ones' place in one transaction.

Whoever processes a document holds it by a lease, which it renews as it goes on. If it dies, the lease lapses, and the
next one goes on from what is stored: the text, once it is extracted, and the vectors made so far, a draft that search
doesn't see (see drafts). All that others see is written at the end, by whoever holds the lease then. Reading,
splitting and embedding happen outside of any transaction.

A large document is processed in slices: after some time the rest is handed on to another job, behind what waits
meanwhile. It stays “processing”, with a lease that has lapsed.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from knowledge.embedders import EmbedderUnavailable, EmbeddingError, embedder
from knowledge.embedders.openai import longest_request
from knowledge.models import Chunk, Collection, Document, DocumentStatus, DocumentVersion
from knowledge.models.chunks import passage
from knowledge.services.chunking import Piece, split
from knowledge.services.documents import base_name
from knowledge.services.drafts import Draft
from knowledge.services.extraction import Extracted, UnreadableError, extract
from knowledge.services.indexing import ModelsChangedError, embed, hold_models, models_of, store
from knowledge.services.languages import language_of
from knowledge.services.queueing import enqueue

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 5
PASSAGES_AT_ONCE = 32  # some two seconds of the default embedder
ROWS_AT_ONCE = 500
RENEWED_EVERY = 10.0  # seconds
KEPT_EVERY = 10.0  # seconds, of embedding
PREPARED = 4.0  # how many times as long as reading and splitting, which each slice does anew, a slice embeds at least
SPARE_SECONDS = 60  # of a lease, beyond its longest step


class DocumentBusyError(Exception):
    """Somebody else is processing the document, or died at it and its lease hasn't lapsed yet: at ``until`` it does."""

    def __init__(self, document_id: UUID, until: datetime) -> None:
        super().__init__(f"Document {document_id} is being processed.")
        self.until = until


class LeaseLostError(Exception):
    """The document was taken over, replaced or deleted meanwhile: what was done for it counts no more."""


@dataclass
class Lease:
    """The right to process a document, for as long as it is renewed in time."""

    document: Document
    token: UUID
    renewed: float = 0.0

    def renew(self) -> None:
        """Extend the lease, if that is due. Raises LeaseLostError when it is another's by now."""
        if time.monotonic() - self.renewed < RENEWED_EVERY:
            return
        self.renewed = time.monotonic()
        if not self.held().update(lease_expires_at=_lapse()):
            raise LeaseLostError

    def held(self) -> QuerySet[Document]:
        """Return the document as long as the lease is this one's."""
        return Document.objects.filter(pk=self.document.pk, lease_token=self.token)

    def let_go(self, status: DocumentStatus, **changes: object) -> None:
        """End the lease with the document in the given status. Raises LeaseLostError when it is another's by now."""
        if not self.held().update(status=status, lease_token=None, lease_expires_at=None, **changes):
            raise LeaseLostError


def lease_seconds() -> float:
    """Return how long a lease lasts: longer than the longest step between renewals.

    That is to read a file, or one request to an embedder that is busy.
    """
    longest = max(2 * settings.EXTRACTION_SECONDS, longest_request(settings.EMBEDDING_API_TIMEOUT))
    return longest + SPARE_SECONDS


@dataclass(frozen=True)
class Slice:
    """How long to process a document before the rest is handed on.

    Attributes:
        seconds: how long to embed; or PREPARED times as long as reading and splitting took, where that is longer.
        stopping: asked after each batch; when it says yes, the rest is handed on at once.
    """

    seconds: float = math.inf
    stopping: Callable[[], bool] = lambda: False


def process_document(*, document_id: UUID, share: Slice = Slice()) -> Document | None:
    """Process a document that waits for it, and return it; None when there is nothing to do.

    It ends as ready, or as failed with a reason for people; or it is “processing” still, and a job is left that goes
    on with it when ``share`` is used up. Not to be called in a transaction.

    Raises:
        DocumentBusyError: somebody else is at it; try again later.
        EmbedderUnavailable: the embedder can't be reached; the document waits again, and says why.
        ModelsChangedError: the collection changed its model meanwhile; likewise.
    """
    lease = claim(document_id)
    if lease is None:
        return None
    try:
        with _unless_lost(lease):
            _process(lease, share)
    except EmbedderUnavailable as error:
        _give_back(lease, attempts=F("attempts") - 1, error=str(error))  # no fault of the document's
        raise
    except ModelsChangedError:
        _give_back(lease, attempts=F("attempts") - 1)
        raise
    except (UnreadableError, EmbeddingError) as error:
        _fail(lease, str(error))
    except Exception:
        _give_back(lease)
        raise
    return Document.objects.filter(pk=document_id).first()


def claim(document_id: UUID) -> Lease | None:
    """Take a document that waits, or whose processing died; None when there is nothing to do for it.

    One whose processing breaks off again and again is failed. Raises DocumentBusyError when another holds it.
    """
    token = uuid4()
    with transaction.atomic():
        waiting = Document.objects.claimable().select_for_update(no_key=True, of=("self",)).filter(pk=document_id)
        document = waiting.select_related("collection").first()
        if document is None:
            held = Document.objects.alive().filter(pk=document_id, status=DocumentStatus.PROCESSING)
            if until := held.values_list("lease_expires_at", flat=True).first():
                raise DocumentBusyError(document_id, until)
            return None
        Document.objects.filter(pk=document_id).update(
            status=DocumentStatus.PROCESSING,
            error="",
            attempts=F("attempts") + 1,
            lease_token=token,
            lease_expires_at=_lapse(),
        )
    lease = Lease(document, token, time.monotonic())
    if document.attempts >= MOST_ATTEMPTS:
        _fail(lease, f"Processing it broke off {document.attempts} times, for a reason that the log may tell.")
        return None
    return lease


def _process(lease: Lease, share: Slice) -> None:
    began = time.monotonic()
    document = lease.document
    version = document.versions.defer("draft").filter(version=document.version).first()
    if version is None:
        raise LeaseLostError
    found = extract(
        content_type=version.content_type,
        original=_bytes(version.original),
        text=version.text,
        language=document.language,
    )
    lease.renew()
    if version.text is None:
        _keep(lease, version, found)
    title = (document.given_title or version.title or found.title or base_name(document.document_id))[:500]
    pieces = list(_split(document, version, found, title, lease))
    if not pieces:
        raise UnreadableError("It has no text.")
    passages = (passage(piece.heading_path, piece.text) for piece in pieces)
    draft = Draft(version.pk, models_of(document.collection), passages)
    embedding = time.monotonic()
    seconds = max(share.seconds, PREPARED * (embedding - began))
    if _embed(lease, draft, pieces, lambda: share.stopping() or time.monotonic() - embedding >= seconds):
        _finish(lease, title, document.language or language_of(found.text), pieces, draft)
    else:
        _hand_on(lease, draft, len(pieces))


def _embed(lease: Lease, draft: Draft, pieces: Sequence[Piece], enough: Callable[[], bool]) -> bool:
    """Embed what the draft has no vectors of, and return whether that is all; not, when it was enough before."""
    at_once = min(PASSAGES_AT_ONCE, settings.EMBEDDING_API_BATCH)  # one request, for which the lease suffices
    kept, begun = time.monotonic(), draft.count
    while batch := pieces[draft.count : draft.count + at_once]:
        passages = [passage(piece.heading_path, piece.text) for piece in batch]
        try:
            draft.add(embed(collection=lease.document.collection, passages=passages, go_on=lease.renew))
        except EmbeddingError:
            if draft.count > begun:
                _keep_draft(lease, draft, len(pieces))
            raise
        if draft.count == len(pieces):
            break
        if enough():
            return False
        if time.monotonic() - kept >= KEPT_EVERY:
            _keep_draft(lease, draft, len(pieces))
            kept, begun = time.monotonic(), draft.count
    return True


@transaction.atomic
def _keep_draft(lease: Lease, draft: Draft, expected: int, **changes: object) -> None:
    """Keep the vectors made so far for whoever goes on, and show how far they are."""
    # What got on didn't die at what it died at before.
    state: dict[str, object] = {"attempts": 1, "lease_expires_at": _lapse(), **changes}
    if not lease.held().update(expected_chunks=expected, embedded_chunks=draft.count, **state):
        raise LeaseLostError
    draft.store()


@transaction.atomic
def _hand_on(lease: Lease, draft: Draft, expected: int) -> None:
    """Leave the rest to a job behind those that wait."""
    _keep_draft(lease, draft, expected, attempts=0, lease_expires_at=Now())
    enqueue(lease.document.pk)


@transaction.atomic
def _keep(lease: Lease, version: DocumentVersion, found: Extracted) -> None:
    """Keep a file's text and its own title, so that who takes over needn't read it again."""
    if not lease.held().select_for_update(no_key=True).exists():
        raise LeaseLostError
    DocumentVersion.objects.filter(pk=version.pk).update(text=found.text, title=found.title[:500])


def _split(document: Document, version: DocumentVersion, found: Extracted, title: str, lease: Lease) -> Iterator[Piece]:
    collection = document.collection
    model = embedder(collection.embedding_model)
    pieces = split(
        found.text,
        title=title,
        headings=found.headings,
        content_type=version.content_type,
        size=min(collection.chunk_size, model.max_tokens),
        overlap=collection.chunk_overlap,
        count_tokens=model.count_tokens,
    )
    for piece in pieces:
        lease.renew()
        yield piece


@transaction.atomic
def _finish(lease: Lease, title: str, language: str, pieces: list[Piece], draft: Draft) -> None:
    """Put the new chunks in the old ones' place, with their vectors."""
    document = lease.document
    hold_models(document.collection_id)
    if not lease.held().select_for_update(no_key=True).exists():
        raise LeaseLostError
    Chunk.objects.filter(document=document).delete()
    chunks = [_chunk(document, language, position, piece) for position, piece in enumerate(pieces)]
    Chunk.objects.bulk_create(chunks, ROWS_AT_ONCE)
    store(collection_id=document.collection_id, chunks=[chunk.pk for chunk in chunks], vectors=draft.vectors())
    draft.drop()
    document.versions.filter(version__lt=document.version).delete()
    lease.let_go(
        DocumentStatus.READY,
        title=title,
        found_title="" if document.given_title else title,
        indexed_version=document.version,
        expected_chunks=len(pieces),
        embedded_chunks=len(pieces),
        # As it is now: it may have changed to and fro meanwhile.
        embedding_model=Collection.objects.filter(pk=document.collection_id).values("embedding_model"),
        processed_at=Now(),
    )


def _chunk(document: Document, language: str, position: int, piece: Piece) -> Chunk:
    return Chunk(
        organization_id=document.organization_id,
        collection_id=document.collection_id,
        document=document,
        position=position,
        heading_path=piece.heading_path,
        char_start=piece.start,
        char_end=piece.end,
        text=piece.text,
        language=language,
        token_count=piece.token_count,
    )


def _fail(lease: Lease, error: str) -> None:
    """End processing with a reason for people; what search found before, it finds still."""
    with _unless_lost(lease):
        lease.let_go(DocumentStatus.FAILED, error=error)


def _give_back(lease: Lease, **changes: object) -> None:
    """Let the document wait again."""
    with _unless_lost(lease):
        lease.let_go(DocumentStatus.PENDING, **changes)


@contextmanager
def _unless_lost(lease: Lease) -> Iterator[None]:
    """Do what the holder of a lease does, or leave it to whoever holds it by now."""
    try:
        yield
    except LeaseLostError:
        logger.info("Document %s was changed or taken over while it was processed.", lease.document.pk)


def _lapse() -> CombinedExpression:
    return Now() + timedelta(seconds=lease_seconds())


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
