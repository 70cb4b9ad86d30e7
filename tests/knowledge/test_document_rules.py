"""The rules of collections, documents, versions and chunks that the database keeps, attacked with raw SQL."""

import hashlib
from typing import Any
from uuid import uuid4

import pytest

from core.models import Organization
from knowledge.models import Chunk, Collection, Document, DocumentVersion
from tests.factories.knowledge import ChunkFactory, CollectionFactory, DocumentFactory, DocumentVersionFactory
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def document(organization: Organization) -> Document:
    document: Document = DocumentFactory(organization=organization)
    return document


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def update(record: Any, assignment: str, *values: Any) -> str:
    """Return the rule that refuses the assignment."""
    return refused(f"UPDATE {record._meta.db_table} SET {assignment} WHERE id = %s", *values, record.pk)


# --- Collections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "rule"),
    [
        ("name = ''", "name_given"),
        ("embedding_model = ''", "model_given"),
        ("chunk_size = 63, chunk_overlap = 0", "chunk_size"),
        ("chunk_size = 8193", "chunk_size"),
        ("chunk_overlap = 129", "chunk_overlap"),
        ("hybrid_weight = 1.01", "hybrid_weight"),
        ("hybrid_weight = -0.01", "hybrid_weight"),
        ("hybrid_weight = 'NaN'", "hybrid_weight"),
        ("metadata = '[]'", "metadata_object"),
    ],
)
def test_a_collection_keeps_its_bounds(organization: Organization, assignment: str, rule: str) -> None:
    assert update(CollectionFactory(organization=organization), assignment) == f"knowledge_collection_{rule}"


def test_a_collection_s_name_is_unique_in_its_organization(
    organization: Organization, other_organization: Organization
) -> None:
    CollectionFactory(organization=organization, name="Manuals")
    CollectionFactory(organization=other_organization, name="Manuals")
    second = CollectionFactory(organization=organization)
    assert update(second, "name = 'Manuals'") == "knowledge_collection_name_unique"


# --- Documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "rule"),
    [
        ("document_id = ''", "knowledge_document_id_given"),
        ("metadata = '1'", "knowledge_document_metadata_object"),
        ("content_type = 'Text'", "knowledge_document_content_type"),
        ("language = 'xx'", "knowledge_document_language"),
        ("indexed_version = 2", "knowledge_document_indexed"),
        (
            "error = 'why', status = 'processing', lease_token = gen_random_uuid(), lease_expires_at = now()",
            "knowledge_document_failed",
        ),
        ("status = 'ready'", "knowledge_document_status_transitions"),
        ("status = 'failed', error = 'why'", "knowledge_document_status_transitions"),
        ("status = 'processing'", "knowledge_document_lease"),
        ("lease_token = gen_random_uuid(), lease_expires_at = now()", "knowledge_document_lease"),
        ("version = 2", "knowledge_document_version_next"),
        ("content_hash = repeat('0', 64)", "knowledge_document_version_next"),
        ("content_hash = repeat('0', 64), version = 3", "knowledge_document_version_next"),
        ("content_hash = 'short', version = 2", "knowledge_document_digest_shape"),
    ],
)
def test_a_document_keeps_its_rules(document: Document, assignment: str, rule: str) -> None:
    ignore_all_triggers()
    assert update(document, assignment) == rule


def test_a_document_is_ready_only_with_its_newest_version_indexed(document: Document) -> None:
    leased = "status = 'processing', lease_token = gen_random_uuid(), lease_expires_at = now()"
    run(f"UPDATE knowledge_document SET {leased} WHERE id = %s", document.pk)
    done = "status = 'ready', lease_token = NULL, lease_expires_at = NULL"
    assert update(document, done) == "knowledge_document_ready"
    assert update(document, f"{done}, indexed_version = 1") == "knowledge_document_ready"
    assert update(document, f"{done}, indexed_version = 1, processed_at = now(), title = ''") == (
        "knowledge_document_title_given"
    )
    run(f"UPDATE knowledge_document SET {done}, indexed_version = 1, processed_at = now() WHERE id = %s", document.pk)


def test_an_id_and_a_content_are_in_a_collection_once_among_the_living(document: Document) -> None:
    twin = DocumentFactory(organization=document.organization, collection=document.collection)
    same = "document_id = (SELECT document_id FROM knowledge_document WHERE id = %s)"
    assert update(twin, same, document.pk) == "knowledge_document_id_unique"
    copied = "version = 2, content_hash = %s"
    assert update(twin, copied, document.content_hash) == "knowledge_document_content_once"
    Document.objects.filter(pk=document.pk).soft_delete()
    run(f"UPDATE knowledge_document SET {same}, {copied} WHERE id = %s", document.pk, document.content_hash, twin.pk)
    assert update(document, "deleted_at = NULL") == "knowledge_document_id_unique"
    run("UPDATE knowledge_document SET document_id = 'another' WHERE id = %s", document.pk)
    assert update(document, "deleted_at = NULL") == "knowledge_document_content_once"


def test_a_document_stays_in_its_collection(document: Document) -> None:
    elsewhere = CollectionFactory(organization=document.organization)
    assert update(document, "collection_id = %s", elsewhere.pk) == "knowledge_document_collection_id_immutable"


def test_a_document_belongs_to_a_collection_of_its_organization(
    organization: Organization, other_organization: Organization, document: Document
) -> None:
    theirs = CollectionFactory(organization=other_organization)
    columns = "organization_id, collection_id, document_id, title, content_type, content_hash, size"
    rule = refused(
        f"""INSERT INTO knowledge_document ({columns}, source_uri, language, version, indexed_version, status, error,
                chunk_count, embedding_model, attempts, metadata)
            VALUES (%s, %s, 'a', 'A', 'text/plain', %s, 1, '', 'en', 1, 0, 'pending', '', 0, '', 0, '{{}}')""",
        organization.pk,
        theirs.pk,
        digest("a"),
    )
    assert rule == "knowledge_document_collection"


# --- Counting, deleting ----------------------------------------------------------------------------


def test_the_chunk_count_is_what_counting_says_whatever_is_written(document: Document) -> None:
    chunks = [ChunkFactory(organization=document.organization, document=document, position=n) for n in range(3)]
    run("UPDATE knowledge_document SET chunk_count = 99 WHERE id = %s", document.pk)
    assert run("SELECT chunk_count FROM knowledge_document") == [(3,)]
    run("DELETE FROM knowledge_chunk WHERE id = %s", chunks[0].pk)
    assert run("SELECT chunk_count FROM knowledge_document") == [(2,)]


def test_a_deleted_document_has_no_chunks_and_waits_for_its_return(document: Document) -> None:
    ChunkFactory(organization=document.organization, document=document)
    leased = "status = 'processing', lease_token = gen_random_uuid(), lease_expires_at = now()"
    run(f"UPDATE knowledge_document SET {leased} WHERE id = %s", document.pk)
    run("UPDATE knowledge_document SET deleted_at = now() WHERE id = %s", document.pk)
    found = "SELECT status, lease_token, indexed_version, chunk_count FROM knowledge_document"
    assert run(found) == [("pending", None, 0, 0)]
    assert not Chunk.objects.exists()


# --- Versions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "rule"),
    [
        ("text = 'other'", "knowledge_documentversion_digest"),
        ("text = NULL", "knowledge_documentversion_content"),
        ("version = 0", "knowledge_documentversion_version_immutable"),
        ("original = 'x'", "knowledge_documentversion_original_immutable"),
        ("content_hash = repeat('0', 64)", "knowledge_documentversion_content_hash_immutable"),
        ("size = size + 1", "knowledge_documentversion_size_immutable"),
        ("content_type = 'text/html'", "knowledge_documentversion_content_type_immutable"),
    ],
)
def test_a_version_holds_what_its_digest_says_and_never_changes(
    organization: Organization, assignment: str, rule: str
) -> None:
    ignore_all_triggers()
    assert update(DocumentVersionFactory(organization=organization), assignment) == rule


def test_a_version_is_once_and_of_a_document_of_its_organization(
    organization: Organization, other_organization: Organization
) -> None:
    version: DocumentVersion = DocumentVersionFactory(organization=organization)
    insert = """INSERT INTO knowledge_documentversion
                (organization_id, document_id, version, content_type, content_hash, size, text)
                VALUES (%s, %s, %s, 'text/plain', %s, 1, 'a')"""
    once = refused(insert, organization.pk, version.document_id, 1, digest("a"))
    assert once == "knowledge_documentversion_unique"
    rule = refused(insert, other_organization.pk, version.document_id, 2, digest("a"))
    assert rule == "knowledge_documentversion_document"


@pytest.mark.parametrize(
    ("original", "text", "size"), [(None, "ü", 1), (b"%PDF", None, 5), (b"%PDF", "what it says", 12)]
)
def test_a_version_s_size_is_that_of_what_came(
    document: Document, original: bytes | None, text: str | None, size: int
) -> None:
    insert = """INSERT INTO knowledge_documentversion
                (organization_id, document_id, version, content_type, content_hash, original, text, size)
                VALUES (%s, %s, 1, 'text/plain', %s, %s, %s, %s)"""
    content = (text or "").encode() if original is None else original
    given = (document.organization_id, document.pk, hashlib.sha256(content).hexdigest(), original, text)
    assert refused(insert, *given, size) == "knowledge_documentversion_size"
    run(insert, *given, len(content))


# --- Chunks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column", ["position", "char_start", "char_end", "text", "heading_path", "language", "token_count"]
)
def test_a_chunk_never_changes(organization: Organization, column: str) -> None:
    ignore_all_triggers()
    value = {"text": "'x'", "heading_path": "'{x}'", "language": "'de'"}.get(column, f"{column} + 1")
    rule = update(ChunkFactory(organization=organization), f"{column} = {value}")
    assert rule == f"knowledge_chunk_{column}_immutable"


INSERT_CHUNK = """INSERT INTO knowledge_chunk (organization_id, collection_id, document_id, position, heading_path,
    char_start, char_end, text, language, token_count) VALUES (%s, %s, %s, %s, '{}', %s, %s, %s, 'en', %s)"""


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ((0, 0, 5, "valve", 2), "knowledge_chunk_position"),
        ((1, 0, 4, "valve", 2), "knowledge_chunk_span"),
        ((1, 7, 5, "valve", 2), "knowledge_chunk_span"),
        ((1, 0, 0, "", 2), "knowledge_chunk_text_given"),
        ((1, 0, 5, "valve", 0), "knowledge_chunk_token_count"),
        ((1, 0, 100_001, "x" * 100_001, 2), "knowledge_chunk_span"),
    ],
)
def test_a_chunk_is_a_span_of_its_document(document: Document, values: tuple[Any, ...], rule: str) -> None:
    ChunkFactory(organization=document.organization, document=document, position=0)
    assert refused(INSERT_CHUNK, document.organization_id, document.collection_id, document.pk, *values) == rule


def test_a_chunk_stands_in_its_document_s_collection_and_organization(
    document: Document, other_organization: Organization
) -> None:
    elsewhere: Collection = CollectionFactory(organization=document.organization)
    theirs: Collection = CollectionFactory(organization=other_organization)
    values = (1, 0, 5, "valve", 2)
    rules = {
        refused(INSERT_CHUNK, document.organization_id, elsewhere.pk, document.pk, *values),
        refused(INSERT_CHUNK, other_organization.pk, theirs.pk, document.pk, *values),
        refused(INSERT_CHUNK, document.organization_id, document.collection_id, uuid4(), *values),
    }
    assert rules == {"knowledge_chunk_document"}


def test_a_chunk_is_found_by_the_stems_of_its_language_and_headings(document: Document) -> None:
    chunk = ChunkFactory(
        organization=document.organization,
        document=document,
        language="de",
        heading_path=["Handbuch", "Ventile"],
        text="Die Pumpen werden geölt.",
    )
    [(found,)] = run("SELECT lexemes::text FROM knowledge_chunk WHERE id = %s", chunk.pk)
    assert {"'ventil'", "'handbuch'", "'pump'"} <= {word.partition(":")[0] for word in found.split()}
