"""Writers of documents at once: each race beside its control, without the guard."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from core.models import Organization
from knowledge.models import Collection, Document, DocumentStatus, Embedding
from knowledge.services import collections, documents, processing
from knowledge.services.processing import DocumentBusyError, Lease, claim, process_document
from tests.factories.knowledge import CollectionFactory
from tests.kit.races import Meeting, errors, race, values
from tests.kit.sql import run
from tests.kit.waiting import PATIENCE
from tests.knowledge.library import offer, put

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "# Manual\n\nCheck each valve in spring.\n"


@pytest.fixture
def collection(organization: Organization) -> Collection:
    collection: Collection = CollectionFactory(organization=organization)
    return collection


def meeting_before(meeting: Meeting, part: str, act: Callable[[], Any], *, reached: Event | None = None) -> Any:
    """Do what ``act`` does, and wait for the others before its first statement that has ``part`` in it.

    Who waits for ``reached`` goes on when it has come there.
    """
    waited = False

    def wait(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal waited
        if part in sql and not waited:
            waited = True
            if reached:
                reached.set()
            meeting.attend()
        return execute(sql, params, many, context)

    meeting.announce()
    with connection.execute_wrapper(wait):
        return act()


# --- Claiming --------------------------------------------------------------------------------------


def claim_at_once(document: Document) -> tuple[list[Lease], list[Exception]]:
    meeting = Meeting(3)
    claimed = partial(meeting_before, meeting, 'UPDATE "knowledge_document"', partial(claim, document.pk))
    outcomes = race(*[claimed] * 3)
    return values(outcomes), errors(outcomes)


def test_one_of_those_who_claim_a_document_at_once_gets_it(collection: Collection) -> None:
    leases, refusals = claim_at_once(put(collection, TEXT))
    assert len(leases) == 1
    assert [type(error) for error in refusals] == [DocumentBusyError] * 2


def test_control_without_the_lock_all_claim_it(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    document = put(collection, TEXT)
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **options: rows)
    leases, refusals = claim_at_once(document)
    assert len({lease.token for lease in leases}) == 3
    assert refusals == []


def test_workers_that_race_for_a_document_make_its_chunks_once(collection: Collection) -> None:
    document = put(collection, TEXT)
    outcomes = race(*[partial(process_document, document_id=document.pk)] * 3)
    assert {type(error) for error in errors(outcomes)} <= {DocumentBusyError}
    assert any(values(outcomes))
    document.refresh_from_db()
    assert (document.status, document.attempts) == ("ready", 1)
    assert document.chunks.count() == document.chunk_count == Embedding.objects.count() > 0


# --- The same content ------------------------------------------------------------------------------


def send_at_once(collection: Collection) -> tuple[list[str], list[Exception]]:
    meeting = Meeting(2)
    sent = [partial(offer, collection, TEXT, name) for name in ("one.md", "two.md")]
    outcomes = race(*(partial(meeting_before, meeting, 'INSERT INTO "knowledge_document" ', put) for put in sent))
    return sorted(outcome.value for _, outcome in values(outcomes)), errors(outcomes)


@contextmanager
def without_index(name: str) -> Iterator[None]:
    """Run without a unique index, which stands again afterwards, over no rows."""
    [(definition,)] = run("SELECT indexdef FROM pg_indexes WHERE indexname = %s", name)
    run(f"DROP INDEX {name}")
    try:
        yield
    finally:
        Collection.objects.all().delete()
        run(definition)


def test_the_same_content_sent_at_once_is_stored_once(collection: Collection) -> None:
    assert send_at_once(collection) == (["created", "unchanged"], [])
    assert Document.objects.count() == 1


def test_control_without_the_rule_it_is_stored_twice(collection: Collection) -> None:
    with without_index("knowledge_document_content_once"):
        assert send_at_once(collection) == (["created", "created"], [])
        assert Document.objects.count() == 2


# --- Deleted meanwhile -----------------------------------------------------------------------------

SOFTLY = "UPDATE knowledge_document SET deleted_at = now()"
FOR_GOOD = "DELETE FROM knowledge_documentversion; DELETE FROM knowledge_document"


def replace_while_deleted(collection: Collection, deletion: str) -> list[Exception]:
    """Send a new version of a document that another deletes after it was found, and before it is locked."""
    put(collection, TEXT)
    meeting = Meeting(2)

    def delete() -> None:
        with transaction.atomic():
            meeting.announce()
            run(deletion)
            meeting.attend()

    replace = partial(put, collection, "# Manual\n\nAnother text.\n")
    return errors(race(partial(meeting_before, meeting, "FOR NO KEY UPDATE", replace), delete))


@pytest.mark.parametrize("deletion", [SOFTLY, FOR_GOOD])
def test_content_for_a_document_that_is_deleted_meanwhile_makes_a_new_one(
    collection: Collection, deletion: str
) -> None:
    assert replace_while_deleted(collection, deletion) == []
    document = Document.objects.alive().get()
    assert (document.document_id, document.version) == ("manual.md", 1)
    assert document.versions.get().text == "# Manual\n\nAnother text.\n"


def test_control_without_looking_again_it_is_lost(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        documents, "_locked", lambda document: Document.objects.select_for_update(no_key=True).get(pk=document.pk)
    )
    assert replace_while_deleted(collection, SOFTLY) == []
    assert Document.objects.get().version == 2
    assert not Document.objects.alive().exists()


# --- A collection that changes meanwhile -----------------------------------------------------------


def finish_while_changed(collection: Collection) -> list[Exception]:
    """Finish a document while its collection is told to split otherwise: each wants what the other has locked."""
    document = put(collection, TEXT)
    changed = Collection.objects.get(pk=collection.pk)
    changed.chunk_size = 64
    meeting, reached = Meeting(2), Event()

    def change() -> None:
        assert reached.wait(PATIENCE)  # else the claim could wait for this one's locks, and the two wouldn't cross
        with transaction.atomic():
            Collection.objects.select_for_update().get(pk=collection.pk)
            collections.change_collection(collection=changed, before=collection)

    process = partial(process_document, document_id=document.pk)
    return errors(
        race(
            partial(meeting_before, meeting, 'FROM "knowledge_chunk"', process, reached=reached),
            partial(meeting_before, meeting, 'UPDATE "knowledge_document"', change),
        )
    )


def test_a_document_is_finished_while_its_collection_changes(collection: Collection) -> None:
    assert finish_while_changed(collection) == []
    assert Document.objects.get().status == DocumentStatus.PENDING
    assert Collection.objects.get().chunk_size == 64


def test_control_with_the_document_locked_first_they_block_each_other(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing, "hold_models", lambda collection_id: set())
    [error] = finish_while_changed(collection)
    assert "deadlock" in str(error)


def finish_while_deleted(collection: Collection, delete: Callable[[], Any]) -> list[Exception]:
    """Finish a document while its collection is deleted."""
    document = put(collection, TEXT)
    meeting, reached = Meeting(2), Event()

    def deleted() -> None:
        assert reached.wait(PATIENCE)  # as above
        with transaction.atomic():
            delete()

    process = partial(process_document, document_id=document.pk)
    return errors(
        race(
            partial(meeting_before, meeting, 'FROM "knowledge_chunk"', process, reached=reached),
            partial(meeting_before, meeting, 'DELETE FROM "knowledge_collection"', deleted),
        )
    )


def test_a_collection_is_deleted_while_a_document_is_finished(collection: Collection) -> None:
    rows = Collection.objects.filter(pk=collection.pk)
    assert finish_while_deleted(collection, partial(collections.delete_collections, collections=rows)) == []
    assert not Collection.objects.exists()
    assert not Document.objects.exists()


def test_control_with_the_documents_deleted_first_one_of_the_two_fails(collection: Collection) -> None:
    """They block each other, or else the document's new chunks are left without it."""
    assert len(finish_while_deleted(collection, Collection.objects.filter(pk=collection.pk).delete)) == 1
