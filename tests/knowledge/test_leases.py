"""Who processes a document holds it as long as that takes; what was read of a file is kept for who goes on."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from core.models import Organization
from knowledge.embedders import EmbedderUnavailable
from knowledge.embedders.openai import OpenAIEmbedder, longest_request
from knowledge.models import Collection, Document
from knowledge.services import documents, extraction, processing
from knowledge.services.processing import DocumentBusyError, process_document
from tests.factories.knowledge import CollectionFactory
from tests.knowledge import files
from tests.knowledge.library import put
from tests.knowledge.stand_in import MODEL, Server, busy

pytestmark = pytest.mark.django_db

TEXT = "\n\n".join(f"Valve {number} is checked in spring. " * 40 for number in range(12))


@pytest.fixture
def collection(organization: Organization, server: Server) -> Collection:
    collection: Collection = CollectionFactory(organization=organization, embedding_model=MODEL, chunk_size=64)
    return collection


def seconds_left(document: Document) -> float:
    [left] = Document.objects.filter(pk=document.pk).annotate(now=Now()).values_list("lease_expires_at", "now")
    return float((left[0] - left[1]).total_seconds())


# --- Long enough -----------------------------------------------------------------------------------


def test_a_lease_outlasts_each_request_to_a_slow_embedder(
    collection: Collection, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the collection changes its model, each batch is embedded by both, in a request each."""
    settings.EMBEDDING_API_TIMEOUT, settings.EMBEDDING_API_BATCH, settings.EXTRACTION_SECONDS = 600, 8, 1
    settings.EMBEDDING_MODELS = [*settings.EMBEDDING_MODELS, "openai:large@2"]
    monkeypatch.setattr(processing, "RENEWED_EVERY", 0.0)
    first = put(collection, TEXT.encode(), "first.txt")
    process_document(document_id=first.pk)
    Collection.objects.filter(pk=collection.pk).update(embedding_model="openai:large@2")
    document = put(collection, b"Another. " + TEXT.encode(), "second.txt")
    asked: list[int] = []
    left: list[float] = []
    ask = OpenAIEmbedder._ask

    def slow(self: OpenAIEmbedder, texts: Any, retries: Any) -> Any:
        asked.append(len(texts))
        left.append(seconds_left(document))
        with pytest.raises(DocumentBusyError):
            process_document(document_id=document.pk)
        # As if this request took as long as one may.
        Document.objects.filter(pk=document.pk).update(
            lease_expires_at=Now() + timedelta(seconds=left[-1] - longest_request(600))
        )
        with pytest.raises(DocumentBusyError):
            process_document(document_id=document.pk)
        return ask(self, texts, retries)

    monkeypatch.setattr(OpenAIEmbedder, "_ask", slow)
    process_document(document_id=document.pk)
    document.refresh_from_db()
    assert (document.status, document.attempts) == ("ready", 1)
    assert max(asked) == 8
    assert len(asked) > 4
    assert min(left) > longest_request(600) > 1800


def test_a_request_is_given_up_within_what_the_lease_allows_for(server: Server) -> None:
    timeout, waits = 10.0, 0.05
    client = OpenAIEmbedder(
        MODEL, served_name="small", dimensions=2, url=server.url, key="", batch=2, timeout=timeout, backoff=waits
    )
    server.answers = [busy(503)] * 9
    with pytest.raises(EmbedderUnavailable):
        client.embed_passages(["a"])
    assert len(server.requests) * timeout < longest_request(timeout)
    assert client.passage_retries.retry_after_max == client.passage_retries.backoff_max == 30
    assert longest_request(timeout) == pytest.approx(len(server.requests) * timeout + 2 * 30)


# --- What is kept ----------------------------------------------------------------------------------


def test_a_file_s_own_title_outlasts_an_outage_of_the_embedder(
    collection: Collection, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = put(collection, files.pdf_file("Check each valve in spring.", title="Service manual"), "m.pdf")
    server.answers = [busy(503, Retry_After="0")] * 3
    with pytest.raises(EmbedderUnavailable):
        process_document(document_id=document.pk)
    version = document.versions.get()
    assert "Check each valve" in version.text
    read: list[Any] = []
    monkeypatch.setattr(processing, "extract", lambda **given: read.append(given) or extraction.extract(**given))
    process_document(document_id=document.pk)
    document.refresh_from_db()
    assert (document.status, document.title) == ("ready", "Service manual")
    assert {chunk.heading_path[0] for chunk in document.chunks.all()} == {"Service manual"}
    assert [given["text"] for given in read] == [version.text]


def test_what_was_read_of_a_file_that_was_replaced_meanwhile_is_not_kept(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = put(collection, files.pdf_file("Check each valve.", title="Service manual"), "m.pdf")

    def meanwhile(**given: Any) -> Any:
        monkeypatch.undo()
        put(collection, b"Another text.", "m.pdf")
        return extraction.extract(**given)

    monkeypatch.setattr(processing, "extract", meanwhile)
    process_document(document_id=document.pk)
    document.refresh_from_db()
    assert (document.status, document.version, document.title) == ("pending", 2, "")
    assert list(document.versions.values_list("version", "text")) == [(2, None)]


# --- Reprocessing ----------------------------------------------------------------------------------


def test_reprocessing_reads_a_file_again(collection: Collection) -> None:
    document = put(collection, files.pdf_file("Check each valve in spring."), "m.pdf")
    process_document(document_id=document.pk)
    right = document.versions.get().text
    document.versions.update(text="What a reader of former times made of it.")
    documents.reprocess_document(document=document)
    assert document.chunks.exists()
    process_document(document_id=document.pk)
    assert document.versions.get().text == right
    assert document.chunks.get().text == right.strip()


def test_reprocessing_leaves_a_text_of_its_own(collection: Collection) -> None:
    document = put(collection, b"# Valves\n\nCheck them.", "a.md")
    process_document(document_id=document.pk)
    documents.reprocess_document(document=document)
    assert document.versions.get().text == "# Valves\n\nCheck them."
    process_document(document_id=document.pk)
    document.refresh_from_db()
    assert document.status == "ready"


def test_a_deleted_document_is_not_reprocessed_or_changed(collection: Collection) -> None:
    document = put(collection, b"Check them.", "a.md")
    Document.objects.filter(pk=document.pk).soft_delete()
    for change in (documents.reprocess_document, documents.change_document):
        with pytest.raises(documents.DocumentGoneError, match=r"“a\.md” was deleted meanwhile"):
            change(document=document)
