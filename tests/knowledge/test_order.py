"""In which order documents are processed, of whom and how large they may be."""

import pytest

from core import jobs
from core.models import Organization
from knowledge.models import Collection, Document
from tests.factories.knowledge import CollectionFactory
from tests.kit.sql import run
from tests.knowledge.library import put

pytestmark = pytest.mark.django_db


@pytest.fixture
def collection(organization: Organization) -> Collection:
    collection: Collection = CollectionFactory(organization=organization)
    return collection


def begun() -> tuple[str, str]:
    """Start the next job of knowledge, as a worker would, and return its document's id and its collection's."""
    [(key,)] = run("SELECT args ->> 'document_id' FROM procrastinate_fetch_job_v2(ARRAY['knowledge']::varchar[], NULL)")
    document = Document.objects.get(pk=key)
    return document.document_id, document.collection.name


def test_small_documents_go_first(collection: Collection) -> None:
    put(collection, "Valves are checked in spring. " * 20_000, "large.md")
    put(collection, "Pumps are oiled. " * 20_000, "second.md")
    put(collection, "A note.", "small.md")
    assert [begun()[0] for _ in range(3)] == ["small.md", "large.md", "second.md"]


def test_an_organization_that_imports_many_lets_others_pass(collection: Collection) -> None:
    for number in range(20):
        put(collection, f"Note {number}.", f"{number}.md")
    other = CollectionFactory(name="Other")
    assert other.organization_id != collection.organization_id
    put(other, "Another note.", "first.md")
    put(other, "One more.", "second.md")
    order = [begun() for _ in range(10)]
    assert order[0][0] == "0.md"
    assert order[1] == ("first.md", "Other")
    assert ("second.md", "Other") in order[:4]


def test_what_is_on_schedule_is_no_long_job() -> None:
    """It would wait else for documents that are processed."""
    queues = {periodic.task.queue for periodic in jobs.app.periodic_registry.periodic_tasks.values()}
    assert len(queues) >= 2
    assert not queues & jobs.LONG_QUEUES
