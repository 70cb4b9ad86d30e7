"""Processing: chunks that are spans of the text, new versions that replace old ones at once, and what breaks off."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from core.errors import ConflictError
from core.models import Organization
from knowledge import tasks
from knowledge.embedders import EmbedderUnavailable, embedder
from knowledge.models import Chunk, Collection, Document, DocumentStatus, Embedding
from knowledge.services import collections, documents, processing
from knowledge.services.documents import Outcome, content_of, put_document
from knowledge.services.processing import DocumentBusyError, Lease, LeaseLostError, claim, process_document
from tests.factories.knowledge import CollectionFactory
from tests.kit.sql import run
from tests.knowledge import files
from tests.knowledge.library import offer, processed, put
from tests.knowledge.stand_in import MODEL, Server, answering, busy

pytestmark = pytest.mark.django_db

MANUAL = """# Service manual

Read this first. It is short.

## Valves

Check each valve in spring. Turn it by hand.

## Pumps

### Oil

Use the oil that the label names. {more}
"""


@pytest.fixture
def collection(organization: Organization) -> Collection:
    collection: Collection = CollectionFactory(organization=organization)
    return collection


def texts(document: Document) -> list[str]:
    return list(document.chunks.order_by("position").values_list("text", flat=True))


# --- From file to chunks ---------------------------------------------------------------------------


def test_a_document_becomes_ready_with_chunks_and_vectors(collection: Collection) -> None:
    document, outcome = offer(collection, MANUAL)
    assert (outcome, document.status, document.chunk_count) == (Outcome.CREATED, DocumentStatus.PENDING, 0)
    document = processed(document)
    assert (document.status, document.title, document.indexed_version) == ("ready", "Service manual", 1)
    assert document.embedding_model == collection.embedding_model
    chunks = list(document.chunks.order_by("position"))
    assert document.chunk_count == len(chunks) > 0
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    assert all(MANUAL[chunk.char_start : chunk.char_end] == chunk.text for chunk in chunks)
    assert Embedding.objects.filter(document_id=document.pk).count() == len(chunks)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manual.docx", files.docx_file()),
        ("manual.pdf", files.pdf_file("Check each valve in spring.", "Oil the pump.", title="Service manual")),
        ("manual.html", b"<title>Service manual</title><h1>Valves</h1><p>Check each valve in spring.</p>Oil the pump."),
    ],
    ids=["docx", "pdf", "html"],  # by themselves the bytes, which hold the time
)
def test_files_keep_what_came_beside_the_text(collection: Collection, name: str, content: bytes) -> None:
    document = put(collection, content, name)
    document = processed(document)
    assert (document.status, document.title) == ("ready", "Service manual")
    version = document.versions.get()
    assert bytes(version.original) == content
    assert all(version.text[chunk.char_start : chunk.char_end] == chunk.text for chunk in document.chunks.all())
    assert "Check each valve" in texts(document)[0]


def test_a_document_that_cannot_be_read_fails_with_the_reason(collection: Collection) -> None:
    document = put(collection, files.pdf_file("x", encrypted=True), "a.pdf")
    document = processed(document)
    assert (document.status, document.chunk_count) == ("failed", 0)
    assert "protected by a password" in document.error
    assert processed(documents.retry_document(document=document)).status == "failed"


# --- The same again, and something else --------------------------------------------------------------


def test_the_same_content_is_stored_once(collection: Collection) -> None:
    document = put(collection, MANUAL)
    for name in ("manual.md", "copy.md"):
        again, outcome = offer(collection, MANUAL, name)
        assert (again, outcome) == (document, Outcome.UNCHANGED)
    elsewhere = CollectionFactory(organization=collection.organization)
    assert offer(elsewhere, MANUAL)[1] is Outcome.CREATED


def test_a_new_version_replaces_the_old_one_only_when_it_is_ready(collection: Collection) -> None:
    document = processed(put(collection, MANUAL))
    before = texts(document)
    again, outcome = offer(collection, MANUAL.format(more="Never mix oils."))
    assert (again, outcome) == (document, Outcome.REPLACED)
    document.refresh_from_db()
    assert (document.status, document.version, document.indexed_version) == ("pending", 2, 1)
    assert texts(document) == before
    old = document.versions.get(version=1).text
    assert all(old[chunk.char_start : chunk.char_end] == chunk.text for chunk in document.chunks.all())
    document = processed(document)
    assert (document.status, document.indexed_version) == ("ready", 2)
    assert "Never mix oils." in texts(document)[-1]
    assert [version.version for version in document.versions.all()] == [2]


def test_a_version_that_fails_leaves_the_old_one_to_be_found(collection: Collection) -> None:
    document = processed(put(collection, MANUAL))
    before = texts(document)
    put_document(collection=collection, content=content_of(b"MZ\0\0", name="a.txt"), document_id="manual.md")
    document = processed(document)
    assert (document.status, document.indexed_version, texts(document)) == ("failed", 1, before)


def test_a_version_with_the_content_of_another_document_is_a_conflict(collection: Collection) -> None:
    put(collection, MANUAL)
    put(collection, "Other.", "other.md")
    with pytest.raises(ConflictError, match=r"manual\.md"):
        put(collection, MANUAL, "other.md")


def test_a_new_title_is_part_of_what_search_finds(collection: Collection) -> None:
    document = processed(put(collection, MANUAL))
    documents.change_document(document=document, source_uri="https://example.org")
    document.refresh_from_db()
    assert document.status == "ready"
    documents.change_document(document=document, title="Guide")
    document = processed(document)
    assert {chunk.heading_path[0] for chunk in document.chunks.all()} == {"Guide"}


def test_other_chunk_sizes_split_all_documents_anew(collection: Collection) -> None:
    document = processed(put(collection, MANUAL + "Check it. " * 200))
    before = document.chunk_count
    changed = Collection.objects.get(pk=collection.pk)
    changed.chunk_size = 64
    collections.change_collection(collection=changed, before=collection)
    assert ProcrastinateJob.objects.filter(task_name=tasks.enqueue_documents.name).exists()
    assert processed(document).chunk_count > before


# --- Breaking off ------------------------------------------------------------------------------------


def job_count(document: Document) -> int:
    return ProcrastinateJob.objects.filter(args__document_id=str(document.pk), status="todo").count()


def test_a_job_comes_with_the_document_and_once(collection: Collection) -> None:
    document = put(collection, MANUAL)
    put(collection, MANUAL.format(more="More."))
    assert job_count(document) == 1
    tasks.process_document(document_id=str(document.pk))
    document.refresh_from_db()
    assert (document.status, document.indexed_version) == ("ready", 2)


def test_what_waits_without_a_job_is_found(collection: Collection) -> None:
    document = put(collection, MANUAL)
    ProcrastinateJob.objects.all().delete()
    tasks.find_work()
    tasks.find_work()
    assert job_count(document) == 1
    Document.objects.filter(pk=document.pk).soft_delete()
    ProcrastinateJob.objects.all().delete()
    tasks.find_work()
    assert job_count(document) == 0


def lapse(lease: Lease) -> None:
    Document.objects.filter(pk=lease.document.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def held(document: Document) -> Lease:
    lease = claim(document.pk)
    assert lease is not None
    return lease


def test_a_document_is_processed_by_one_at_a_time_and_taken_over_when_that_one_died(collection: Collection) -> None:
    document = put(collection, MANUAL)
    lease = held(document)
    with pytest.raises(DocumentBusyError):
        process_document(document_id=document.pk)
    lapse(lease)
    document = processed(document)
    assert (document.status, document.attempts) == ("ready", 2)
    with pytest.raises(LeaseLostError):
        lease.let_go(DocumentStatus.PENDING)
    assert process_document(document_id=document.pk) is None


def test_a_job_for_a_document_that_is_held_comes_again_when_the_lease_lapses(collection: Collection) -> None:
    document = put(collection, MANUAL)
    held(document)
    run("UPDATE procrastinate_jobs SET status = 'succeeded'")
    tasks.process_document(document_id=str(document.pk))
    [(job_at,)] = run("SELECT scheduled_at FROM procrastinate_jobs WHERE status = 'todo'")
    document.refresh_from_db()
    assert job_at == document.lease_expires_at


def test_a_new_version_does_not_wait_for_the_lease_of_the_old_one(collection: Collection) -> None:
    document = put(collection, MANUAL)
    held(document)
    run("UPDATE procrastinate_jobs SET status = 'succeeded'")
    tasks.process_document(document_id=str(document.pk))
    tasks.process_document(document_id=str(document.pk))
    put(collection, "Quite another text.")
    assert run("SELECT scheduled_at > now() FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id") == [
        (True,),
        (None,),
    ]


def test_a_version_that_is_replaced_at_once_is_left(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    document = put(collection, MANUAL)

    def claimed(document_id: UUID) -> Lease | None:
        monkeypatch.undo()
        lease = claim(document_id)
        put(collection, "Quite another text.")
        return lease

    monkeypatch.setattr(processing, "claim", claimed)
    assert processed(document).status == "pending"
    assert texts(processed(document)) == ["Quite another text."]


def test_who_lost_the_lease_writes_nothing(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version comes while the old one is embedded: what was made of the old one counts no more."""
    document = put(collection, MANUAL)
    model = embedder(collection.embedding_model)
    original = model.embed_passages

    def meanwhile(passages: Any) -> Any:
        monkeypatch.undo()
        put(collection, "Quite another text.")
        return original(passages)

    monkeypatch.setattr(model, "embed_passages", meanwhile)
    document = processed(document)
    assert (document.status, document.version, document.chunk_count) == ("pending", 2, 0)
    assert texts(processed(document)) == ["Quite another text."]


def test_a_document_at_which_processing_always_dies_fails(collection: Collection) -> None:
    document = put(collection, MANUAL)
    for _ in range(5):
        lapse(held(document))
    assert process_document(document_id=document.pk) is None
    document.refresh_from_db()
    assert document.status == "failed"
    assert "broke off 5 times" in document.error


def test_an_outage_of_the_embedder_costs_nothing_but_time(organization: Organization, server: Server) -> None:
    collection = CollectionFactory(organization=organization, embedding_model=MODEL)
    document = put(collection, MANUAL)
    server.answers = [busy(503)] * 50
    for _ in range(2):
        with pytest.raises(EmbedderUnavailable):
            process_document(document_id=document.pk)
        document.refresh_from_db()
        assert (document.status, document.attempts) == ("pending", 0)
        assert document.error == f"The server of {MODEL} is busy: HTTP 503."
    server.answers = []
    document = processed(document)
    assert (document.status, document.error) == ("ready", "")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_setting_of_the_embedder_costs_nothing_but_time(
    organization: Organization, server: Server, status: int
) -> None:
    collection = CollectionFactory(organization=organization, embedding_model=MODEL)
    document = put(collection, MANUAL)
    server.answers = [answering(status, "no")]
    with pytest.raises(EmbedderUnavailable):
        process_document(document_id=document.pk)
    document.refresh_from_db()
    assert (document.status, document.attempts) == ("pending", 0)
    assert f"HTTP {status}. Look at EMBEDDING_API_" in document.error
    ProcrastinateJob.objects.all().delete()
    tasks.find_work()
    assert job_count(document) == 1
    lease = held(document)
    document.refresh_from_db()
    assert (document.status, document.error) == ("processing", "")
    lapse(lease)
    assert processed(document).status == "ready"


def fail(document: Document) -> None:
    """Let processing die at it as often as that is tried."""
    document = processed(document)
    documents.reprocess_document(document=document)
    for _ in range(5):
        lapse(held(document))
    assert processed(document).status == "failed"
    assert document.chunk_count > 0


@pytest.mark.parametrize("leave", [processed, fail])
def test_a_deleted_document_is_not_processed_and_a_restored_one_is_anew(
    collection: Collection, leave: Callable[[Document], object]
) -> None:
    document = put(collection, MANUAL)
    leave(document)
    Document.objects.filter(pk=document.pk).soft_delete()
    assert process_document(document_id=document.pk) is None
    assert not Chunk.objects.exists()
    Document.objects.filter(pk=document.pk).restore()
    document.refresh_from_db()
    assert (document.status, document.error, document.attempts) == ("pending", "", 0)
    document = processed(document)
    assert (document.status, document.chunk_count > 0) == ("ready", True)
