"""Search finds what it should, by the scores that it says, and among the documents that it may."""

import math
from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.models import Organization
from knowledge.embedders import EmbeddingError, embedder
from knowledge.models import Chunk, Collection, Document, Embedding
from knowledge.services import search as service
from knowledge.services.indexing import insert
from knowledge.services.search import Hit, Mode, Question, search
from knowledge.sql.terms import USUAL_LENGTH
from tests.factories.knowledge import CollectionFactory
from tests.kit.sql import run
from tests.knowledge.library import embed, shelve
from tests.knowledge.stand_in import MODEL, Server

pytestmark = pytest.mark.django_db

MINILM = "all-MiniLM-L6-v2"
CATS = "The kitten naps on a couch all day."
LEDGER = "The ledger balances to the cent."
WING = "A swept wing delays the shock at supersonic speed."


@pytest.fixture
def collection(organization: Organization) -> Collection:
    """Three documents on three subjects."""
    collection = CollectionFactory(organization=organization, name="Library")
    shelve(collection, CATS, "It wakes up for food.", title="Pets", metadata={"team": "home", "tags": ["cat"]})
    shelve(collection, LEDGER, title="Books", metadata={"team": "money", "year": 2026})
    shelve(collection, WING, "Drag rises there.", title="Aircraft", source_uri="https://example.org/wings")
    embed(collection)
    return collection


def ask(organization: Organization, text: str, **asked: Any) -> list[Hit]:
    return search(organization_id=organization.pk, question=Question(text, **asked))


def texts(hits: list[Hit]) -> list[str]:
    return [hit.text for hit in hits]


# --- The two sides ---------------------------------------------------------------------------------


def test_meaning_finds_what_no_word_tells(collection: Collection) -> None:
    hits = ask(collection.organization, "Where do cats sleep?", mode=Mode.VECTOR)
    assert hits[0].text == CATS
    assert hits[0].text_rank is None
    assert hits[0].text_score == 0
    vectors = embedder(MINILM)
    for hit in hits:
        [passage] = vectors.embed_passages([Chunk.objects.get(pk=hit.chunk).passage])
        expected = vectors.embed_query("Where do cats sleep?") @ passage
        assert hit.score == hit.vector_score == pytest.approx(expected, abs=0.02)
    assert [hit.vector_rank for hit in hits] == [1, 2, 3, 4, 5]


def bm25(organization: Organization, words: list[str]) -> dict[Any, float]:
    """Return the scores of an organization's chunks, from the formula and the texts alone."""
    counts = {}
    for pk in Chunk.objects.filter(organization=organization).values_list("pk", flat=True):
        rows = run("SELECT lexeme, cardinality(positions) FROM knowledge_chunk, unnest(lexemes) WHERE id = %s", pk)
        counts[pk] = Counter(dict(rows))
    frequency = Counter(word for each in counts.values() for word in each)
    scores = {}
    for pk, each in counts.items():
        length = sum(each.values())
        scores[pk] = sum(
            math.log(1 + (len(counts) - frequency[word] + 0.5) / (frequency[word] + 0.5))
            * (each[word] * 2.2 / (each[word] + 1.2 * (0.25 + 0.75 * length / USUAL_LENGTH)))
            for word in words
        )
    return scores


def test_words_are_scored_by_bm25(collection: Collection) -> None:
    shelve(collection, "Food, food and more food for the wing's drag.", title="Nonsense")
    hits = ask(collection.organization, "what food drags the wing down?", mode=Mode.TEXT)
    scores = bm25(collection.organization, ["food", "drag", "wing"])
    assert {hit.chunk: pytest.approx(hit.score, rel=1e-4) for hit in hits} == {
        pk: score for pk, score in scores.items() if score
    }
    assert [hit.score for hit in hits] == sorted((hit.text_score for hit in hits), reverse=True)
    assert [hit.vector_score for hit in hits] == [None] * len(hits)


def test_both_are_scaled_and_added_by_the_collections_weight(collection: Collection) -> None:
    collection.hybrid_weight = 0.3
    collection.save()
    question = "does the wing wake up for food?"
    hits = ask(collection.organization, question, limit=100)
    assert len(hits) == 5
    words = bm25(collection.organization, ["wing", "wake", "food"])
    cosines = {hit.chunk: hit.vector_score for hit in ask(collection.organization, question, mode=Mode.VECTOR)}

    def scaled(scores: dict[Any, float], key: Any) -> float:
        least, most = min(scores.values()), max(scores.values())
        return (scores[key] - least) / (most - least)

    for hit in hits:
        expected = 0.3 * scaled(cosines, hit.chunk) + 0.7 * scaled(words, hit.chunk)  # type: ignore[arg-type]
        assert hit.score == pytest.approx(expected, abs=1e-4)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_commoner_words_bring_no_candidates_of_their_own_but_count(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelve(collection, "The wing.", "A wing!", "Wings?", "On drag and wings.", title="More")
    monkeypatch.setitem(service.WORD_BUDGET, Mode.TEXT, 2)
    hits = ask(collection.organization, "drag of a wing", mode=Mode.TEXT)
    assert texts(hits)[0] == "On drag and wings."
    assert {hit.text for hit in hits} == {"On drag and wings.", "Drag rises there."}
    scores = bm25(collection.organization, ["drag", "wing"])
    assert [hit.score for hit in hits] == [pytest.approx(scores[hit.chunk], rel=1e-4) for hit in hits]
    # The rarest word brings candidates whatever the budget.
    monkeypatch.setitem(service.WORD_BUDGET, Mode.TEXT, 0)
    assert len(ask(collection.organization, "drag of a wing", mode=Mode.TEXT)) == 2


@pytest.mark.parametrize("text", ["the of and", "?!", "' \\ & | ! :* <-> ( %s {0} \ue000", "zyzzyva"])
def test_a_question_without_known_words_finds_by_meaning_alone(collection: Collection, text: str) -> None:
    assert ask(collection.organization, text, mode=Mode.TEXT) == []
    hits = ask(collection.organization, text)
    assert len(hits) == 5
    assert hits[0].score == collection.hybrid_weight


def test_each_language_has_its_own_stems(collection: Collection) -> None:
    shelve(collection, "Die Katzen schliefen auf dem Sofa.", title="Tiere", language="de")
    assert texts(ask(collection.organization, "schlafende Katze", mode=Mode.TEXT)) == [
        "Die Katzen schliefen auf dem Sofa."
    ]
    assert texts(ask(collection.organization, "naps", mode=Mode.TEXT)) == [CATS]


def test_nothing_to_search_is_nothing_found(organization: Organization) -> None:
    assert ask(organization, "cats") == []
    CollectionFactory(organization=organization)
    assert ask(organization, "cats") == []


def test_a_chunk_without_a_vector_is_found_by_its_words(collection: Collection) -> None:
    shelve(collection, "Pelicans are new here.", title="News")
    [hit] = [hit for hit in ask(collection.organization, "pelican") if hit.text == "Pelicans are new here."]
    assert (hit.text_rank, hit.vector_rank, hit.vector_score) == (1, None, None)


def test_a_search_takes_few_queries(collection: Collection) -> None:
    with CaptureQueriesContext(connection) as queries:
        ask(collection.organization, "cats", metadata={"team": "home"}, neighbours=2)
    ours = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(ours) == 3  # collections and sizes, how many pass the filters, and the search


# --- What a hit shows ------------------------------------------------------------------------------


def test_a_hit_tells_where_it_stands(collection: Collection) -> None:
    [hit, *_] = ask(collection.organization, "supersonic wing")
    document = Document.objects.get(title="Aircraft")
    assert (hit.document, hit.document_id, hit.title) == (document.pk, document.document_id, "Aircraft")
    assert (hit.collection, hit.position, hit.heading_path) == (collection.pk, 0, ["Aircraft"])
    assert (hit.char_start, hit.char_end, hit.text) == (0, len(WING), WING)
    assert hit.citation == "Aircraft, passage 1 (https://example.org/wings)"
    assert hit.marked == WING.replace("wing", "<mark>wing</mark>").replace("supersonic", "<mark>supersonic</mark>")
    assert hit.neighbours == []


def test_marks_are_the_only_markup(collection: Collection) -> None:
    nasty = '<script>alert("wing")</script> & \ue000wings\ue001 <b>winged</b> AT&amp;T <mark>wing</mark>'
    shelve(collection, nasty, title="<i>Nasty</i>")
    [hit] = [hit for hit in ask(collection.organization, "wing", mode=Mode.TEXT) if hit.text == nasty]
    assert hit.marked == (
        "&lt;script&gt;alert(&quot;<mark>wing</mark>&quot;)&lt;/script&gt; &amp; \ufffd<mark>wings</mark>\ufffd"
        " &lt;b&gt;<mark>winged</mark>&lt;/b&gt; AT&amp;amp;T &lt;mark&gt;<mark>wing</mark>&lt;/mark&gt;"
    )


def test_neighbours_are_those_of_the_same_document(collection: Collection) -> None:
    shelve(collection, *(f"Step {number} of the recipe." for number in range(6)), "Quinces!", "Serve.", title="Jam")
    embed(collection)
    [hit, *_] = ask(collection.organization, "quinces", neighbours=2, limit=1)
    assert [(near.position, near.text) for near in hit.neighbours] == [
        (4, "Step 4 of the recipe."),
        (5, "Step 5 of the recipe."),
        (7, "Serve."),
    ]


# --- Where is searched -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", Mode)
def test_filters_leave_out_before_ranking(collection: Collection, mode: Mode) -> None:
    """Sixty chunks that answer better would fill both sides' places, were they ranked first."""
    crowd = CollectionFactory(organization=collection.organization, name="Crowd")
    shelve(crowd, *[f"Where the kitten naps: the couch, number {number}." for number in range(60)], title="Kittens")
    embed(crowd)
    text = "where does the kitten nap on a couch?"
    assert CATS not in texts(ask(collection.organization, text, mode=mode, limit=50)[:20])
    for filters in (
        {"collections": [collection.pk]},
        {"metadata": {"team": "home"}},
        {"metadata": {"tags": ["cat"]}, "collections": [collection.pk, crowd.pk]},
    ):
        hits = ask(collection.organization, text, mode=mode, **filters)
        assert texts(hits)[0] == CATS
        assert not [hit for hit in hits if hit.collection == crowd.pk]


def test_dates_bound_when_documents_were_made(collection: Collection) -> None:
    now = timezone.now()
    Document.objects.filter(title="Books").update(created_at=now - timedelta(days=10))
    titles = lambda **asked: {hit.title for hit in ask(collection.organization, "anything", **asked)}  # noqa: E731
    assert titles(created_before=now - timedelta(days=1)) == {"Books"}
    assert titles(created_after=now - timedelta(days=1)) == {"Pets", "Aircraft"}
    assert titles(created_after=now - timedelta(days=10), created_before=now - timedelta(days=9)) == {"Books"}
    assert titles(created_before=now - timedelta(days=10)) == set()


def test_deleted_and_replaced_chunks_are_gone(collection: Collection) -> None:
    Document.objects.filter(title="Aircraft").soft_delete()
    Chunk.objects.filter(text=CATS).delete()
    assert {hit.text for hit in ask(collection.organization, "wing of a kitten")} == {LEDGER, "It wakes up for food."}


def answer(hits: list[Hit]) -> list[tuple[Any, ...]]:
    return [(hit.chunk, hit.score, hit.text_score, hit.text_rank, hit.vector_score, hit.vector_rank) for hit in hits]


@pytest.mark.parametrize("mode", Mode)
def test_another_organization_changes_nothing(
    collection: Collection, other_organization: Organization, mode: Mode
) -> None:
    text = "wing and kitten on a couch"
    before = answer(ask(collection.organization, text, mode=mode))
    theirs = CollectionFactory(organization=other_organization, name="Library")
    shelve(theirs, *[f"{CATS} {WING} {number}" for number in range(60)], title="Pets", metadata={"team": "home"})
    embed(theirs)
    assert answer(ask(collection.organization, text, mode=mode)) == before
    assert ask(collection.organization, text, mode=mode, collections=[theirs.pk]) == []
    assert len(ask(other_organization, text, mode=mode)) == 10


# --- Several models --------------------------------------------------------------------------------


def test_collections_of_several_models_answer_together(collection: Collection, server: Server) -> None:
    other = CollectionFactory(organization=collection.organization, name="Other", embedding_model=MODEL)
    shelve(other, "A kitten by another model.", "x", title="Other")
    embed(other)
    hits = ask(collection.organization, "kitten", limit=100)
    assert {hit.collection for hit in hits} == {collection.pk, other.pk}
    assert all(hit.vector_score is not None for hit in hits)
    by_meaning = ask(collection.organization, "kitten", limit=100, mode=Mode.VECTOR)
    assert {hit.score for hit in by_meaning[:2]} == {1.0}  # the best of each model
    assert len(by_meaning) == 7


def test_a_model_that_is_not_set_up_is_named(collection: Collection) -> None:
    CollectionFactory(organization=collection.organization, name="Lost", embedding_model="lost")
    with pytest.raises(EmbeddingError, match="There is no embedding model 'lost'"):
        ask(collection.organization, "kitten")
    assert texts(ask(collection.organization, "kitten", mode=Mode.TEXT)) == [CATS]


# --- By index --------------------------------------------------------------------------------------


def scatter(collection: Collection, vectors: Any) -> None:
    """Make a document of as many chunks, with these vectors."""
    document = shelve(collection, *(f"Chunk {number}." for number in range(len(vectors))))
    chunks = Chunk.objects.filter(document=document).order_by("position").values_list("pk", flat=True)
    assert insert(chunks=list(chunks), model=MINILM, vectors=vectors) == len(vectors)


def random_vectors(count: int, seed: int, near: Any = 0.0, spread: float = 1.0) -> Any:
    rows = near + spread * np.random.default_rng(seed).standard_normal((count, 384)) / math.sqrt(384)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def crowded(organization: Organization, other_organization: Organization) -> Any:
    """A small organization's vectors, all farther from the question than a large one's."""
    [question] = random_vectors(1, seed=0)
    scatter(CollectionFactory(organization=other_organization), random_vectors(1500, 1, near=question, spread=0.3))
    scatter(CollectionFactory(organization=organization), random_vectors(60, 2))
    return question


def by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let search use the index, although the tables are small."""
    monkeypatch.setattr(service, "EXACT_CHUNKS", 0)
    monkeypatch.setattr(service, "INDEX_COST", 0)
    run("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")


def test_the_index_finds_a_small_organizations_nearest(
    organization: Organization, crowded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Question("?", mode=Mode.VECTOR)
    exact = search(organization_id=organization.pk, question=asked, vectors={MINILM: crowded})
    by_index(monkeypatch)
    found = search(organization_id=organization.pk, question=asked, vectors={MINILM: crowded})
    assert len(exact) == 10
    assert [hit.chunk for hit in found] == [hit.chunk for hit in exact]


def test_without_iterative_scans_it_would_not(
    organization: Organization, crowded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the test above would see an index that stops at the nearest of all organizations."""
    by_index(monkeypatch)
    monkeypatch.setattr(service.sql, "BY_INDEX", service.sql.BY_INDEX.replace("relaxed_order", "off"))
    asked = Question("?", mode=Mode.VECTOR)
    assert search(organization_id=organization.pk, question=asked, vectors={MINILM: crowded}) == []


def test_filters_hold_by_index_too(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = ask(collection.organization, "kitten", mode=Mode.VECTOR, metadata={"team": "money"})
    by_index(monkeypatch)
    assert texts(exact) == [LEDGER]
    assert answer(ask(collection.organization, "kitten", mode=Mode.VECTOR, metadata={"team": "money"})) == answer(exact)


def test_large_organizations_search_by_index(
    organization: Organization, crowded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is large is told by the organization's chunks and the table's rows."""
    run("ANALYZE knowledge_embedding")
    for exact, cost, expected in ((20_000, 0, False), (59, 0, True), (60, 0, False), (59, 2, True), (59, 3, False)):
        monkeypatch.setattr(service, "EXACT_CHUNKS", exact)
        monkeypatch.setattr(service, "INDEX_COST", cost)
        _, extent = service._sources(organization.pk, Question("?"))
        assert (extent.share, extent.wants_index) == (1.0, expected)
    assert Embedding.objects.count() == 1560
