"""Term vectors and document frequencies stay equal to what counting says, whoever writes; nobody else writes them."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from core.models import Organization
from knowledge.models import Chunk, Collection, Document, DocumentFrequency, Embedding, TermVector
from knowledge.sql import terms
from tests.factories.knowledge import CollectionFactory
from tests.kit.races import Meeting, errors, race
from tests.kit.sql import ignore_all_triggers, refused, run
from tests.knowledge.library import embed, shelve

pytestmark = pytest.mark.django_db

RECOUNT = """
    SELECT organization_id, language, lexeme, count(*)
      FROM knowledge_chunk
      CROSS JOIN LATERAL (SELECT '' UNION ALL SELECT unnest(tsvector_to_array(lexemes))) AS each (lexeme)
     GROUP BY 1, 2, 3
"""
STORED = "SELECT organization_id, language, lexeme, chunks FROM knowledge_documentfrequency"


@pytest.fixture
def collection(organization: Organization) -> Collection:
    return CollectionFactory(organization=organization)


def assert_counts_are_true() -> None:
    assert sorted(run(STORED)) == sorted(run(RECOUNT))
    assert set(TermVector.objects.values_list("chunk")) == set(Chunk.objects.values_list("pk"))


def frequency(organization: Organization, lexeme: str) -> int:
    found = DocumentFrequency.objects.filter(organization=organization, lexeme=lexeme).first()
    return found.chunks if found else 0


# --- Frequencies -----------------------------------------------------------------------------------


def test_a_word_counts_once_a_chunk_by_its_stem(collection: Collection) -> None:
    shelve(collection, "Wings and a wing.", "The winged wing flows.", title="Air")
    assert frequency(collection.organization, "wing") == 2
    assert frequency(collection.organization, "flow") == 1
    assert frequency(collection.organization, "air") == 2  # the heading
    assert frequency(collection.organization, "the") == 0  # a stop word
    assert frequency(collection.organization, "") == 2
    assert_counts_are_true()


KEYS = "knowledge_term_keys(organization_id, tsvector_to_array(lexemes)) && knowledge_term_keys(%s, %s)"


def test_the_same_word_of_another_organization_isnt_read(
    collection: Collection, other_organization: Organization
) -> None:
    shelve(collection, "A wing.", "No wing.", "A cat.")
    shelve(CollectionFactory(organization=other_organization), *["A wing."] * 20)
    run("SET LOCAL enable_seqscan = off")
    [(plan,)] = run(
        f"EXPLAIN (ANALYZE, FORMAT JSON) SELECT FROM knowledge_termvector WHERE {KEYS}",
        collection.organization_id,
        ["wing"],
    )
    [scan] = plan[0]["Plan"]["Plans"]
    assert (scan["Index Name"], scan["Actual Rows"]) == ("knowledge_termvector_keys", 2)


def delete_by_sql(document: Document) -> None:
    run("DELETE FROM knowledge_chunk WHERE document_id = %s", document.pk)


def delete_by_django(document: Document) -> None:
    Chunk.objects.filter(document=document).delete()


def delete_softly(document: Document) -> None:
    Document.objects.filter(pk=document.pk).soft_delete()


def delete_softly_by_sql(document: Document) -> None:
    run("UPDATE knowledge_document SET deleted_at = now() WHERE id = %s", document.pk)


def delete_collection(document: Document) -> None:
    document.collection.delete()


@pytest.mark.parametrize(
    "leave", [delete_by_sql, delete_by_django, delete_softly, delete_softly_by_sql, delete_collection]
)
def test_what_leaves_takes_its_words_along(collection: Collection, leave: Callable[[Document], None]) -> None:
    other = CollectionFactory(organization=collection.organization)
    shelve(other, "A pump and a valve.")
    document = shelve(collection, "Valves leak.", "Valves drip.")
    embed(collection)
    assert frequency(collection.organization, "valv") == 3
    leave(document)
    assert frequency(collection.organization, "valv") == 1
    assert frequency(collection.organization, "leak") == 0
    assert not DocumentFrequency.objects.filter(lexeme="leak").exists()
    assert not Embedding.objects.exists()
    assert_counts_are_true()


def test_raw_sql_and_other_languages_count_too(collection: Collection) -> None:
    document = shelve(collection, "Valves leak.")
    run(
        "INSERT INTO knowledge_chunk (organization_id, collection_id, document_id, position, heading_path, char_start,"
        " char_end, text, language, token_count)"
        " SELECT organization_id, collection_id, document_id, place, '{}', 0, 16, 'Ventile tropfen.', 'de', 4"
        " FROM knowledge_chunk, generate_series(1, 3) AS place WHERE document_id = %s",
        document.pk,
    )
    run("DELETE FROM knowledge_chunk WHERE position = 2")
    assert DocumentFrequency.objects.get(lexeme="ventil").chunks == 2
    assert list(DocumentFrequency.objects.filter(lexeme="").order_by("chunks").values_list("language", "chunks")) == [
        ("en", 1),
        ("de", 2),
    ]
    assert_counts_are_true()


def test_truncating_forgets_all(collection: Collection) -> None:
    shelve(collection, "Valves leak.")
    run("SELECT 1")  # which checks what is deferred: PostgreSQL truncates no table that has pending checks
    run("TRUNCATE knowledge_chunk CASCADE")
    assert_counts_are_true()
    assert not DocumentFrequency.objects.exists()


def test_another_organization_counts_for_itself(collection: Collection, other_organization: Organization) -> None:
    shelve(collection, "Valves leak.")
    shelve(CollectionFactory(organization=other_organization), "Valves drip.", "Valves burst.")
    assert frequency(collection.organization, "valv") == 1
    assert frequency(other_organization, "valv") == 2
    assert_counts_are_true()


def test_only_triggers_write_them(collection: Collection) -> None:
    shelve(collection, "Valves leak.")
    for table in ("knowledge_documentfrequency", "knowledge_termvector"):
        rule = f"{table}_only_by_trigger"
        assert refused(f"UPDATE {table} SET language = 'de'") == rule
        assert refused(f"DELETE FROM {table}") == rule
        columns = "organization_id, language"
        assert refused(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}") == rule
    assert_counts_are_true()


# --- Writers at once -------------------------------------------------------------------------------


@pytest.fixture
def without_turns() -> Iterator[None]:
    """Writers of an organization's chunks don't take turns."""
    made = terms.TAKE_TURNS.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    lock = "pg_advisory_xact_lock(hashtext('knowledge terms'), hashtext(id::text))"
    assert lock in made
    run(made.replace(lock, "NULL::void"))
    yield
    run(made)


def write_crosswise(collection: Collection) -> list[Exception]:
    """Let two transactions write chunks of the same two languages, each the other one first."""
    meeting = Meeting(2)

    def writer(*languages: str) -> Callable[[], Any]:
        def write() -> None:
            with transaction.atomic():
                meeting.announce()
                shelve(collection, "pump", language=languages[0])
                meeting.attend()
                shelve(collection, "pump", language=languages[1])

        return write

    return errors(race(writer("en", "de"), writer("de", "en")))


@pytest.mark.django_db(transaction=True)
def test_writers_take_turns(collection: Collection) -> None:
    assert write_crosswise(collection) == []
    assert set(DocumentFrequency.objects.filter(lexeme="pump").values_list("language", "chunks")) == {
        ("en", 2),
        ("de", 2),
    }
    assert_counts_are_true()


@pytest.mark.django_db(transaction=True)
def test_without_turns_they_block_each_other(collection: Collection, without_turns: None) -> None:
    [error] = write_crosswise(collection)
    assert "deadlock" in str(error)
    assert_counts_are_true()


# --- Weights ---------------------------------------------------------------------------------------


def test_weights_are_those_of_bm25(collection: Collection) -> None:
    shelve(collection, "A valve, a valve and a valve: it leaks. " * 30, title="Pumps")
    term_vector = TermVector.objects.get()
    [(stored,)] = run("SELECT jsonb_object_agg(lexeme, cardinality(positions)) FROM knowledge_chunk, unnest(lexemes)")
    counts = json.loads(stored)
    assert counts == {"pump": 1, "valv": 90, "leak": 30}
    length = sum(counts.values())
    weights = term_vector.weights
    for lexeme, count in counts.items():
        [(dimension,)] = run("SELECT knowledge_dimension(%s)", lexeme)
        expected = count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / terms.USUAL_LENGTH))
        assert dict(zip(weights.indices(), weights.values(), strict=True))[dimension - 1] == pytest.approx(expected)
    assert weights.dimensions() == terms.DIMENSIONS


def test_a_chunk_of_many_words_fits(collection: Collection) -> None:
    shelve(collection, " ".join(f"word{number}" for number in range(9000)))
    assert len(TermVector.objects.get().weights.indices()) > 8900


def test_a_chunk_without_words_has_no_weights(collection: Collection) -> None:
    shelve(collection, "!", title="?")
    assert TermVector.objects.get().weights.indices() == []
    assert_counts_are_true()


def test_dimensions_lie_in_range() -> None:
    [(least, most, distinct)] = run(
        "SELECT min(d), max(d), count(DISTINCT d)"
        " FROM generate_series(1, 50000) AS n, knowledge_dimension('w' || n) AS d"
    )
    assert 1 <= least < most <= terms.DIMENSIONS
    assert distinct > 49_980
    assert math.log2(terms.DIMENSIONS) == 29


# --- Embeddings ------------------------------------------------------------------------------------


def vector(*numbers: float) -> str:
    return f"[{','.join(map(str, numbers))}]"


INSERT = "INSERT INTO knowledge_embedding (chunk_id, model, vector) SELECT id, %s, %s FROM knowledge_chunk"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (vector(0, 0), "knowledge_embedding_unit"),
        (vector(3, 4), "knowledge_embedding_unit"),
        (vector(1, *[0] * 3800), "knowledge_embedding_dimensions"),
    ],
)
def test_a_vector_is_of_unit_length_and_fits_a_page(collection: Collection, given: str, rule: str) -> None:
    shelve(collection, "Valves leak.")
    assert refused(INSERT, "some", given) == rule
    run(INSERT, "some", vector(1, *[0] * 3799))


def test_vectors_of_a_model_have_one_length(collection: Collection) -> None:
    shelve(collection, "Valves leak.")
    run(INSERT, "some", vector(1, 0))
    assert refused(INSERT, "some", vector(1, 0)) == "knowledge_embedding_once"
    shelve(collection, "Valves drip.")
    insert = f"{INSERT} WHERE text = 'Valves drip.'"
    assert refused(insert, "some", vector(1, 0, 0)) == "knowledge_embedding_same_dimensions"
    run(insert, "another", vector(1, 0, 0))
    assert refused(INSERT, "", vector(1, 0)) == "knowledge_embedding_model_given"


def test_a_vector_never_changes(collection: Collection) -> None:
    shelve(collection, "Valves leak.")
    run(INSERT, "some", vector(1, 0))
    ignore_all_triggers()
    for other in (vector(1), vector(0, 1)):
        assert refused("UPDATE knowledge_embedding SET vector = %s", other) == "knowledge_embedding_vector_immutable"


@pytest.fixture
def without_looking_again() -> Iterator[None]:
    """Who writes a model's first vector doesn't wait for another who does."""
    made = terms.FILL_EMBEDDING.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace("%", "%%")
    assert "IF NOT FOUND THEN\n        -- Those" in made
    run(made.replace("IF NOT FOUND THEN\n        -- Those", "IF false THEN\n        -- Those"))
    yield
    run(made)


def write_first_vectors(collection: Collection) -> list[Exception]:
    """Let two transactions write the first vectors of a model, of two lengths."""
    meeting = Meeting(2)
    shelve(collection, "Valves leak.", "Valves drip.")

    def writer(position: int, given: str) -> Callable[[], None]:
        def write() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                meeting.announce()
                cursor.execute(f"{INSERT} WHERE position = {position}", ["some", given])
                meeting.attend()

        return write

    return errors(race(writer(0, vector(1, 0)), writer(1, vector(1, 0, 0))))


def lengths() -> list[int]:
    return [length for (length,) in run("SELECT vector_dims(vector) FROM knowledge_embedding")]


@pytest.mark.django_db(transaction=True)
def test_the_first_vectors_of_a_model_have_one_length_too(collection: Collection) -> None:
    [error] = write_first_vectors(collection)
    assert "the others of some have" in str(error)
    assert len(lengths()) == 1


@pytest.mark.django_db(transaction=True)
def test_without_looking_again_they_have_two(collection: Collection, without_looking_again: None) -> None:
    assert write_first_vectors(collection) == []
    assert sorted(lengths()) == [2, 3]


def test_an_embedding_belongs_where_its_chunk_does(collection: Collection, other_organization: Organization) -> None:
    document = shelve(collection, "Valves leak.")
    run(
        "INSERT INTO knowledge_embedding (organization_id, collection_id, document_id, chunk_id, model, vector)"
        " SELECT %s, document_id, collection_id, id, 'some', '[1,0]' FROM knowledge_chunk",
        other_organization.pk,
    )
    embedding = Embedding.objects.get()
    assert embedding.organization_id == collection.organization_id
    assert (embedding.collection_id, embedding.document_id) == (collection.pk, document.pk)
    update = "UPDATE knowledge_embedding SET {} = gen_random_uuid()"
    for column in ("organization_id", "collection_id", "document_id", "chunk_id"):
        assert refused(update.format(column)) == f"knowledge_embedding_{column}_immutable"
    gone = "INSERT INTO knowledge_embedding (chunk_id, model, vector) VALUES (gen_random_uuid(), 'some', '[1,0]')"
    assert refused(gone) == "knowledge_embedding_chunk"


def test_large_columns_stay_in_their_rows() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname, attstorage FROM pg_attribute WHERE attname IN ('vector', 'weights')"
            " AND attrelid IN ('knowledge_embedding'::regclass, 'knowledge_termvector'::regclass)"
        )
        assert dict(cursor.fetchall()) == {"vector": "p", "weights": "m"}
