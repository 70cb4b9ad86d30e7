"""Documents: what comes in, stored once; new versions of what there is; and what is processed anew.

Each write leaves the document pending and, in its transaction, a job that processes it.
"""

import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from core.errors import ConflictError
from core.ids import uuid7
from knowledge.models import Collection, Document, DocumentStatus, DocumentVersion
from knowledge.services.extraction import charset_of, is_encoded, is_readable, needs_charset, type_of
from knowledge.services.queueing import enqueue

ATTEMPTS = 5  # at finding a document that others make, change or delete at the same moment
PENDING: dict[str, Any] = {
    "status": DocumentStatus.PENDING,
    "error": "",
    "attempts": 0,
    "expected_chunks": 0,
    "embedded_chunks": 0,
    "lease_token": None,
    "lease_expires_at": None,
}
ONCE = ("knowledge_document_id_unique", "knowledge_document_content_once")
TEXTS = ("text/plain", "text/markdown", "text/x-rst")  # what its own text is, if it is sound UTF-8


class ContentRefusedError(Exception):
    """The content can't be taken. ``code`` is for programs, the message for people."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class DocumentGoneError(ConflictError):
    """The document was deleted meanwhile."""

    def __init__(self, document: Document) -> None:
        super().__init__(f"The document “{document.document_id}” was deleted meanwhile.")


@dataclass(frozen=True)
class Content:
    """What a version holds: the original bytes, with the charset that was declared of them, or a text that is its own.

    The charset is kept as the version's, in its media type's parameter; the document's type has none.
    """

    content_type: str
    charset: str
    content_hash: str
    size: int
    original: bytes | None
    text: str | None


class Outcome(Enum):
    """What became of content that was handed in."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


def content_of(content: bytes, *, declared: str = "", name: str = "") -> Content:
    """Return the content that a file's bytes are. ``declared`` is the media type that was said, ``name`` the file's.

    Of a file too large, no more than one byte too many need be given: see `read_bounded`.

    Raises:
        ContentRefusedError: it is empty, too large, or of a type that nothing here reads.
    """
    if not content:
        raise ContentRefusedError("The content is empty.", "empty")
    if len(content) > settings.DOCUMENT_MAX_BYTES:
        raise ContentRefusedError(
            f"A document has at most {settings.DOCUMENT_MAX_BYTES:,} bytes; this has more.", "too_large"
        )
    content_type = type_of(declared=declared, name=name, content=content)
    if not is_readable(content_type):
        raise ContentRefusedError(
            f"Nothing here reads “{content_type}”. Text, Markdown, HTML, PDF and DOCX are read.", "unsupported"
        )
    charset = charset_of(declared)
    text = _own_text(content) if content_type in TEXTS and not needs_charset(charset) else None
    return Content(
        content_type=content_type,
        charset=charset if text is None and is_encoded(content_type) else "",
        content_hash=hashlib.sha256(content).hexdigest(),
        size=len(content),
        original=content if text is None else None,
        text=text,
    )


def read_bounded(file: Any) -> bytes:
    """Return a file's bytes as far as `content_of` needs them, so that a file too large doesn't fill the memory."""
    content: bytes = file.read(settings.DOCUMENT_MAX_BYTES + 1)
    return content


def put_document(
    *, collection: Collection, content: Content, document_id: str = "", **fields: Any
) -> tuple[Document, Outcome]:
    """Store content in a collection, and say what became of it.

    A ``document_id`` that the collection has gets a new version, unless the content is the same. Content that the
    collection has under another id is there already, and stays under that. ``fields`` are further ones of Document.

    Raises:
        ConflictError: it would be a new version with content that another document of the collection has.
    """
    for _ in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return _put(collection, content, document_id, fields)
        except DocumentGoneError:
            continue
        except IntegrityError as error:
            if _constraint(error) not in ONCE:
                raise
    raise ConflictError("Others store the same document at this moment. Send it again.")


@transaction.atomic
def replace_content(*, document: Document, content: Content, **fields: Any) -> Outcome:
    """Make content the newest version of a document, which serves with the old one until the new one is processed.

    Raises:
        ConflictError: another document of the collection has the content.
        DocumentGoneError: the document was deleted meanwhile.
    """
    document = _locked(document)
    if document.content_hash == content.content_hash:
        _amend(document, fields)
        return Outcome.UNCHANGED
    twin = _living(document.collection_id, content_hash=content.content_hash).first()
    if twin is not None:
        raise ConflictError(
            f"The document “{twin.document_id}” of the collection has this content already.",
            code="content_stored",
            field="content",
        )
    number = document.version + 1
    Document.objects.filter(pk=document.pk).update(
        version=number,
        content_type=content.content_type,
        content_hash=content.content_hash,
        size=content.size,
        **_given(fields),
        **PENDING,
    )
    document.versions.exclude(version=document.indexed_version).delete()
    _add_version(document, number, content)
    enqueue(document.pk)
    return Outcome.REPLACED


@transaction.atomic
def change_document(*, document: Document, **fields: Any) -> Document:
    """Change what is said of a document. One that search has to find otherwise than before is processed anew.

    Raises DocumentGoneError when it was deleted meanwhile.
    """
    document = _locked(document)
    _amend(document, fields)
    document.refresh_from_db()
    return document


@transaction.atomic
def retry_document(*, document: Document) -> Document:
    """Process a failed document again. Raises TransitionConflictError when it hasn't failed."""
    document = Document.lifecycle.move(document, "retry", error="", attempts=0)
    enqueue(document.pk)
    return document


@transaction.atomic
def reprocess_document(*, document: Document) -> Document:
    """Read, split and embed a document anew; what search finds of it stays until that is done.

    Of a file, the text goes until then. Raises DocumentGoneError when the document was deleted meanwhile.
    """
    document = _locked(document)
    document.versions.filter(version=document.version, original__isnull=False).update(text=None)
    document.versions.filter(version=document.version, draft__isnull=False).update(draft=None)
    if document.status != DocumentStatus.PENDING:
        Document.objects.filter(pk=document.pk).update(**PENDING)
    enqueue(document.pk)
    document.refresh_from_db()
    return document


def _put(
    collection: Collection, content: Content, document_id: str, fields: dict[str, Any]
) -> tuple[Document, Outcome]:
    document = _living(collection.pk, document_id=document_id).first() if document_id else None
    if document is not None:
        outcome = replace_content(document=document, content=content, **fields)
        document.refresh_from_db()
        return document, outcome
    twin = _living(collection.pk, content_hash=content.content_hash).first()
    if twin is not None:
        return twin, Outcome.UNCHANGED
    key = uuid7()
    document = Document.objects.create(
        id=key,
        organization_id=collection.organization_id,
        collection=collection,
        document_id=document_id or str(key),
        content_type=content.content_type,
        content_hash=content.content_hash,
        size=content.size,
        **fields,
    )
    _add_version(document, 1, content)
    enqueue(document.pk)
    return document, Outcome.CREATED


def _living(collection_id: Any, **known: Any) -> Any:
    return Document.objects.alive().filter(collection_id=collection_id, **known)


def _locked(document: Document) -> Document:
    found = Document.objects.alive().select_for_update(no_key=True).filter(pk=document.pk).first()
    if found is None:
        raise DocumentGoneError(document)
    return found


def _add_version(document: Document, number: int, content: Content) -> None:
    DocumentVersion.objects.create(
        organization_id=document.organization_id,
        document=document,
        version=number,
        content_type=f"{content.content_type}; charset={content.charset}" if content.charset else content.content_type,
        content_hash=content.content_hash,
        size=content.size,
        original=content.original,
        text=content.text,
    )


def _amend(document: Document, fields: dict[str, Any]) -> None:
    """Write what differs; title and language are part of what search finds, and want the document processed anew."""
    changed = {name: value for name, value in _given(fields).items() if getattr(document, name) != value}
    if not changed:
        return
    anew = bool({"title", "language"} & set(changed))
    Document.objects.filter(pk=document.pk).update(**changed, **(PENDING if anew else {}))
    if anew:
        enqueue(document.pk)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with what tells a given title from one that processing found, even if it is the same."""
    return {**fields, "found_title": ""} if "title" in fields else fields


def _constraint(error: IntegrityError) -> str | None:
    name: str | None = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    return name


def _own_text(content: bytes) -> str | None:
    """Return the text that the bytes are as they stand, if that can be kept and found again by its characters."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text or text.startswith("\ufeff") else text


def base_name(path: str) -> str:
    """Return the last part of a path or address, for documents that nobody gave a title."""
    return PurePosixPath(path.rstrip("/")).name or path
