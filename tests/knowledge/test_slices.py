"""A large document is processed in slices: nothing of it shows before all is there, and nothing is embedded twice."""

from typing import Any

import pytest
from django.db.models.functions import Now

from core.models import AuditEvent, Organization
from knowledge import tasks
from knowledge.embedders import EmbedderUnavailable
from knowledge.embedders.openai import OpenAIEmbedder
from knowledge.models import Chunk, Collection, Document, Embedding
from knowledge.services import documents, processing
from knowledge.services.processing import Slice, process_document
from tests.factories.knowledge import CollectionFactory
from tests.kit.sql import refused, run
from tests.knowledge import library
from tests.knowledge.stand_in import MODEL, Server, busy, right

pytestmark = pytest.mark.django_db

TEXT = "\n\n".join(f"Valve {number} is checked in spring. " * 6 for number in range(24))
BATCH = 4
ONE_BATCH = Slice(stopping=lambda: True)


@pytest.fixture
def collection(organization: Organization, server: Server, settings: Any) -> Collection:
    settings.EMBEDDING_API_BATCH = BATCH
    collection: Collection = CollectionFactory(organization=organization, embedding_model=MODEL, chunk_size=64)
    return collection


def put(collection: Collection, text: str = TEXT, name: str = "large.txt") -> Document:
    return library.put(collection, text, name)


def process(document: Document, share: Slice = ONE_BATCH) -> Document:
    process_document(document_id=document.pk, share=share)
    document.refresh_from_db()
    return document


def asked(server: Server) -> list[str]:
    return [text for request in server.requests for text in request["input"]]


def passages(document: Document) -> list[str]:
    return [chunk.passage for chunk in document.chunks.order_by("position")]


def waiting() -> list[str]:
    """Return the documents whose jobs wait, in the order in which they will start."""
    rows = run(
        "SELECT document.document_id FROM procrastinate_jobs job"
        " JOIN knowledge_document document ON document.id = (args ->> 'document_id')::uuid"
        " WHERE job.status = 'todo' ORDER BY job.priority DESC, job.id"
    )
    return [name for (name,) in rows]


class KilledError(BaseException):
    """The end of a process, in which nothing is done any more."""


def kill_after(requests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die at its next request but so many."""
    ask, left = OpenAIEmbedder._ask, iter(range(requests))

    def dying(self: OpenAIEmbedder, texts: Any, retries: Any) -> Any:
        if next(left, None) is None:
            raise KilledError
        return ask(self, texts, retries)

    monkeypatch.setattr(OpenAIEmbedder, "_ask", dying)


def die(document: Document, requests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        kill_after(requests, patch)
        with pytest.raises(KilledError):
            process_document(document_id=document.pk)
    Document.objects.filter(pk=document.pk).update(lease_expires_at=Now())


# --- Slices ----------------------------------------------------------------------------------------


def test_slices_embed_each_passage_once_and_show_nothing_before_the_end(collection: Collection, server: Server) -> None:
    document = process(put(collection))
    expected, slices = document.expected_chunks, 1
    assert expected > 4 * BATCH
    while document.embedded_chunks < expected:
        assert (document.status, document.embedded_chunks) == ("processing", slices * BATCH)
        assert (document.attempts, Chunk.objects.count(), Embedding.objects.count()) == (0, 0, 0)
        document, slices = process(document), slices + 1
    assert (document.status, document.chunk_count, document.embedded_chunks) == ("ready", expected, expected)
    assert slices == -(-expected // BATCH)
    assert asked(server) == passages(document)
    assert document.versions.get().draft is None


def test_slices_make_the_vectors_that_one_piece_of_work_makes(collection: Collection) -> None:
    other = CollectionFactory(organization=collection.organization, embedding_model=MODEL, chunk_size=64)
    whole, sliced = process(put(other), Slice()), put(collection)
    while process(sliced).status != "ready":
        pass
    vectors = "SELECT vector::text FROM knowledge_embedding WHERE document_id = %s ORDER BY chunk_id"
    assert run(vectors, sliced.pk) == run(vectors, whole.pk) != []


def test_the_rest_waits_behind_others(collection: Collection) -> None:
    document = put(collection)
    run("UPDATE procrastinate_jobs SET status = 'doing'")
    small = put(collection, "A note.", "small.txt")
    process(document)
    assert waiting() == ["small.txt", "large.txt"]
    assert process(small).status == "ready"


def test_a_slice_ends_when_its_time_is_up(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "PREPARED", 0.0)
    document = process(put(collection), Slice(seconds=0.0))
    assert (document.status, document.embedded_chunks) == ("processing", BATCH)


def test_a_slice_is_longer_than_what_each_does_anew(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "PREPARED", 1e6)
    assert process(put(collection), Slice(seconds=0.0)).status == "ready"


def test_jobs_go_on_until_the_document_is_ready(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "PREPARED", 0.0)
    monkeypatch.setattr(tasks, "SLICE_SECONDS", 0.0)
    document = put(collection)
    runs = 0
    while waiting():
        run("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE status = 'todo'")
        tasks.process_document(document_id=str(document.pk))
        runs += 1
    document.refresh_from_db()
    assert (document.status, runs) == ("ready", -(-document.chunk_count // BATCH))


def test_a_job_that_is_lost_between_slices_is_found(collection: Collection) -> None:
    process(put(collection))
    run("DELETE FROM procrastinate_jobs")
    tasks.find_work()
    assert "large.txt" in waiting()


def test_slices_leave_no_trace_in_the_audit_log(collection: Collection) -> None:
    document = process(put(collection))
    events = AuditEvent.objects.filter(resource_type="document")
    before = events.count()
    process(document)
    assert document.status == "processing"
    assert events.count() == before


# --- What breaks off -------------------------------------------------------------------------------


def test_a_worker_that_dies_leaves_what_it_embedded(
    collection: Collection, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing, "KEPT_EVERY", 0.0)
    document = put(collection)
    die(document, 3, monkeypatch)
    document.refresh_from_db()
    assert (document.status, document.embedded_chunks, document.chunk_count) == ("processing", 3 * BATCH, 0)
    assert process(document, Slice()).status == "ready"
    assert asked(server) == passages(document)


def test_deaths_count_only_where_it_got_no_further(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "KEPT_EVERY", 0.0)
    document = put(collection)
    for _ in range(5):
        die(document, 1, monkeypatch)
    for _ in range(4):
        die(document, 0, monkeypatch)
    assert process(document).status == "failed"
    assert "broke off 5 times" in document.error


def test_an_outage_leaves_what_was_embedded(collection: Collection, server: Server) -> None:
    document = put(collection)
    server.answers = [right, right, *[busy(503, Retry_After="0")] * 3]
    with pytest.raises(EmbedderUnavailable):
        process_document(document_id=document.pk)
    document.refresh_from_db()
    assert (document.status, document.embedded_chunks) == ("pending", 2 * BATCH)
    answered = asked(server)[: 2 * BATCH]
    server.requests.clear()
    assert process(document, Slice()).status == "ready"
    assert answered + asked(server) == passages(document)


@pytest.mark.parametrize("deleted", [True, False])
def test_a_document_that_is_deleted_or_replaced_is_embedded_no_further(
    collection: Collection, server: Server, monkeypatch: pytest.MonkeyPatch, *, deleted: bool
) -> None:
    monkeypatch.setattr(processing, "RENEWED_EVERY", 0.0)
    document = put(collection)

    ask = OpenAIEmbedder._ask

    def interrupted(self: OpenAIEmbedder, texts: Any, retries: Any) -> Any:
        if len(server.requests) == 1:
            if deleted:
                Document.objects.filter(pk=document.pk).soft_delete()
            else:
                put(collection, "Quite another text.")
        return ask(self, texts, retries)

    monkeypatch.setattr(OpenAIEmbedder, "_ask", interrupted)
    process(document, Slice())
    assert len(server.requests) == 2
    assert (document.status, Chunk.objects.count()) == ("pending", 0)


# --- What a draft is worth -------------------------------------------------------------------------


def test_a_draft_of_other_passages_is_worth_nothing(collection: Collection) -> None:
    document = process(put(collection))
    documents.change_document(document=document, title="Handbook")
    document.refresh_from_db()
    assert (document.status, document.embedded_chunks, document.expected_chunks) == ("pending", 0, 0)
    document = process(document)
    assert document.embedded_chunks == BATCH
    document = process(document, Slice())
    assert {chunk.heading_path[0] for chunk in document.chunks.all()} == {"Handbook"}
    check_vectors(document)


def test_a_draft_of_other_models_is_worth_nothing(collection: Collection, server: Server, settings: Any) -> None:
    settings.EMBEDDING_MODELS = [*settings.EMBEDDING_MODELS, "openai:large@2"]
    first = process(put(collection, "A note.", "small.txt"), Slice())
    document = process(put(collection))
    Collection.objects.filter(pk=collection.pk).update(embedding_model="openai:large@2")
    assert process(document).embedded_chunks == BATCH
    assert process(document, Slice()).status == "ready"
    assert Embedding.objects.filter(document_id=document.pk).count() == 2 * document.chunk_count
    assert Embedding.objects.filter(document_id=first.pk).count() == 1
    check_vectors(document)


def check_vectors(document: Document) -> None:
    """Compare the vectors with those that the server makes of the chunks: [length, 1] at unit length."""
    for vector in Embedding.objects.filter(document_id=document.pk).select_related("chunk"):
        first, second = vector.vector
        assert first / second == pytest.approx(len(vector.chunk.passage), rel=0.01)


def test_a_new_version_has_no_draft(collection: Collection) -> None:
    document = process(put(collection))
    assert document.versions.get().draft is not None
    document = put(collection, TEXT + "\n\nMore.")
    assert (document.expected_chunks, document.embedded_chunks) == (0, 0)
    assert [version.draft for version in document.versions.all()] == [None]


def test_reprocessing_embeds_anew(collection: Collection, server: Server) -> None:
    document = process(put(collection))
    documents.reprocess_document(document=document)
    server.requests.clear()
    assert process(document, Slice()).status == "ready"
    assert asked(server) == passages(document)


def test_progress_is_at_most_the_whole(collection: Collection) -> None:
    document = process(put(collection))
    beyond = "UPDATE knowledge_document SET embedded_chunks = expected_chunks + 1 WHERE id = %s"
    assert refused(beyond, document.pk) == "knowledge_document_embedded"
