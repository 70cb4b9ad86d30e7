"""A collection changes its model while it is searched: at once, whole, and from wherever it was stopped."""

from datetime import timedelta
from itertools import repeat

import pytest
from django.db import transaction
from django.utils import timezone

from core.models import AuditEvent, Organization
from knowledge.embedders import EmbedderUnavailable, EmbeddingError
from knowledge.models import Chunk, Collection, Document, Embedding
from knowledge.services import indexing, reembedding
from knowledge.services.documents import content_of, put_document
from knowledge.services.processing import process_document
from knowledge.services.search import Mode, Question, search
from tests.factories.knowledge import CollectionFactory
from tests.kit.sql import refused, run
from tests.knowledge.library import embed, shelve
from tests.knowledge.stand_in import MODEL, Server, busy

pytestmark = pytest.mark.django_db

MINILM = "all-MiniLM-L6-v2"


@pytest.fixture
def collection(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Five chunks, embedded by the default model; embedding goes by two at a time."""
    monkeypatch.setattr(reembedding, "CHUNKS_AT_ONCE", 2)
    collection = CollectionFactory(organization=organization)
    shelve(collection, *(f"Valve {number} is tight." for number in range(5)))
    embed(collection)
    return collection


def change_model(collection: Collection, model: str = MODEL) -> None:
    Collection.objects.filter(pk=collection.pk).update(embedding_model=model)
    collection.refresh_from_db()


def models(collection: Collection) -> dict[str, int]:
    """Return how many vectors the collection has of each model."""
    names = Embedding.objects.filter(collection_id=collection.pk).values_list("model", flat=True)
    return {name: list(names).count(name) for name in names}


def similarities(collection: Collection) -> list[float | None]:
    asked = Question("valve", collections=[collection.pk], mode=Mode.VECTOR)
    return [hit.vector_score for hit in search(organization_id=collection.organization_id, question=asked)]


def go_on_for(batches: int):  # type: ignore[no-untyped-def]
    """Return what says yes so many times."""
    answers = iter([*repeat(True, batches), False])
    return lambda: next(answers)


# --- The change ------------------------------------------------------------------------------------


def test_old_vectors_serve_until_all_chunks_have_new_ones(collection: Collection, server: Server) -> None:
    before = similarities(collection)
    change_model(collection)
    assert (collection.embedding_model, collection.search_model) == (MODEL, MINILM)
    assert not reembedding.reembed(collection_id=collection.pk, go_on=go_on_for(2))
    assert models(collection) == {MINILM: 5, MODEL: 4}
    assert similarities(collection) == before
    assert reembedding.reembed(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.search_model == MODEL
    assert models(collection) == {MODEL: 5}
    after = similarities(collection)
    assert len(after) == 5
    assert after != before


def test_documents_name_the_model_whose_vectors_they_have(organization: Organization, server: Server) -> None:
    collection = CollectionFactory(organization=organization)

    def named() -> list[str]:
        return list(Document.objects.order_by("document_id").values_list("embedding_model", flat=True))

    def process(name: str) -> None:
        content = content_of(f"Valve {name} is tight.".encode(), name=f"{name}.txt")
        document, _ = put_document(collection=collection, content=content, document_id=name)
        process_document(document_id=document.pk)

    process("1")
    assert named() == [MINILM]
    events = AuditEvent.objects.filter(resource_type="document").count()
    for model in (MODEL, MINILM):
        change_model(collection, model)
        reembedding.reembed(collection_id=collection.pk)
        assert named() == [model]
    assert AuditEvent.objects.filter(resource_type="document").count() == events
    change_model(collection)
    process("2")
    assert named() == [MINILM, MODEL]
    change_model(collection, MINILM)
    reembedding.reembed(collection_id=collection.pk)
    assert named() == [MINILM, MINILM]


def test_what_was_embedded_is_not_embedded_again(collection: Collection, server: Server) -> None:
    change_model(collection)
    while not reembedding.reembed(collection_id=collection.pk, go_on=go_on_for(1)):
        pass
    asked = [text for request in server.requests for text in request["input"]]
    assert sorted(asked) == sorted(chunk.passage for chunk in Chunk.objects.all())


def test_an_embedder_that_goes_away_loses_nothing(collection: Collection, server: Server) -> None:
    change_model(collection)
    assert not reembedding.reembed(collection_id=collection.pk, go_on=go_on_for(1))
    server.answers = [busy(503, Retry_After="0")] * 3
    with pytest.raises(EmbedderUnavailable):
        reembedding.reembed(collection_id=collection.pk)
    assert models(collection) == {MINILM: 5, MODEL: 2}
    assert len(similarities(collection)) == 5
    assert reembedding.reembed(collection_id=collection.pk)
    assert models(collection) == {MODEL: 5}


def test_changing_back_drops_what_was_begun(collection: Collection, server: Server) -> None:
    change_model(collection)
    reembedding.reembed(collection_id=collection.pk, go_on=go_on_for(1))
    change_model(collection, MINILM)
    assert reembedding.reembed(collection_id=collection.pk)
    assert models(collection) == {MINILM: 5}


def test_what_comes_behind_the_batches_is_embedded_at_last(collection: Collection, server: Server) -> None:
    """Batches go on behind the one before; from the first chunk on is looked once more before the switch."""
    change_model(collection)
    first, *others = Chunk.objects.order_by("pk")
    undone = iter([False, True])

    def go_on() -> bool:
        if next(undone, False):
            Embedding.objects.filter(chunk=first, model=MODEL).delete()
        return True

    assert reembedding.reembed(collection_id=collection.pk, go_on=go_on)
    asked = [text for request in server.requests for text in request["input"]]
    assert asked == [chunk.passage for chunk in [first, *others, first]]
    assert models(collection) == {MODEL: 5}


def test_a_model_that_is_not_set_up_leaves_the_old_one(collection: Collection) -> None:
    change_model(collection, "lost")
    with pytest.raises(EmbeddingError, match="There is no embedding model 'lost'"):
        reembedding.reembed(collection_id=collection.pk)
    assert len(similarities(collection)) == 5


def test_an_empty_collection_changes_at_once(organization: Organization) -> None:
    collection = CollectionFactory(organization=organization)
    change_model(collection)
    assert collection.search_model == MODEL


def test_a_collection_that_is_gone_has_nothing_to_do(collection: Collection) -> None:
    key = collection.pk
    collection.delete()
    assert reembedding.reembed(collection_id=key)
    assert not Embedding.objects.exists()


def test_unfinished_collections_are_found(collection: Collection, server: Server) -> None:
    CollectionFactory(organization=collection.organization)
    assert not reembedding.unfinished().exists()
    shelve(collection, "A new valve.")
    assert list(reembedding.unfinished()) == [collection]
    embed(collection)
    assert not reembedding.unfinished().exists()
    change_model(collection)
    assert list(reembedding.unfinished()) == [collection]


def test_ids_tell_when_chunks_were_made(collection: Collection) -> None:
    before = timezone.now()
    chunk = shelve(collection, "A new valve.").chunks.get()
    assert reembedding.earliest_id(before) <= chunk.pk < reembedding.earliest_id(before + timedelta(minutes=1))


@pytest.mark.parametrize("to", [MODEL, "another"])
def test_the_database_switches_to_no_vectors_that_are_missing(collection: Collection, server: Server, to: str) -> None:
    change_model(collection)
    reembedding.reembed(collection_id=collection.pk, go_on=go_on_for(2))
    switch = "UPDATE knowledge_collection SET search_model = %s WHERE id = %s"
    assert refused(switch, to, collection.pk) == "knowledge_collection_search_model_whole"
    reembedding.reembed(collection_id=collection.pk, go_on=go_on_for(1))
    run(switch, MODEL, collection.pk)


# --- Chunks that come meanwhile --------------------------------------------------------------------


def store(collection: Collection, text: str, vectors: dict) -> Chunk:  # type: ignore[type-arg]
    with transaction.atomic():
        document = shelve(collection, text)
        chunk = document.chunks.get()
        indexing.store(collection_id=collection.pk, chunks=[chunk.pk], vectors=vectors)
    return chunk


def test_new_chunks_get_both_vectors_while_the_model_changes(collection: Collection, server: Server) -> None:
    assert list(indexing.embed(collection=collection, passages=["x"])) == [MINILM]
    change_model(collection)
    vectors = indexing.embed(collection=collection, passages=["A new valve."])
    assert list(vectors) == [MINILM, MODEL]
    store(collection, "A new valve.", vectors)
    assert models(collection) == {MINILM: 6, MODEL: 1}
    assert len(similarities(collection)) == 6


def test_vectors_of_a_model_that_was_changed_meanwhile_are_refused(collection: Collection, server: Server) -> None:
    vectors = indexing.embed(collection=collection, passages=["A new valve."])
    change_model(collection)
    with pytest.raises(indexing.ModelsChangedError, match=f"wants vectors of {MINILM}, {MODEL}"):
        store(collection, "A new valve.", vectors)
    assert Chunk.objects.count() == 5
    both = indexing.embed(collection=collection, passages=["A new valve."])
    embed(collection)
    store(collection, "A new valve.", both)
    assert models(collection) == {MODEL: 6}


def test_a_chunk_has_one_vector_of_a_model_and_none_when_gone(collection: Collection, server: Server) -> None:
    [chunk, *_] = Chunk.objects.order_by("position")
    vectors = indexing.embed(collection=collection, passages=["x"])[MINILM]
    assert indexing.insert(chunks=[chunk.pk], model=MINILM, vectors=vectors) == 0
    Embedding.objects.filter(chunk=chunk).delete()
    assert indexing.insert(chunks=[chunk.pk], model=MINILM, vectors=vectors) == 1
    key = chunk.pk
    chunk.delete()
    assert indexing.insert(chunks=[key], model=MINILM, vectors=vectors) == 0
