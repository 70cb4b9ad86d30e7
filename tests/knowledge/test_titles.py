"""Titles: those that are given stay, those that processing finds are found anew for each version."""

import pytest

from core.models import Organization
from knowledge.models import Collection
from knowledge.services import collections, documents
from tests.factories.knowledge import CollectionFactory
from tests.kit.sql import run
from tests.knowledge import files
from tests.knowledge.library import processed, put

pytestmark = pytest.mark.django_db


@pytest.fixture
def collection(organization: Organization) -> Collection:
    collection: Collection = CollectionFactory(organization=organization)
    return collection


MANUAL = "# Service manual\n\nCheck each valve in spring."


def test_a_found_title_is_found_anew_for_each_version(collection: Collection) -> None:
    for text, title in (
        ("No heading here.", "manual.md"),
        ("# Leave policy\n\nAsk early.", "Leave policy"),
        ("# Leave policy two\n\nAsk late.", "Leave policy two"),
        ("No heading again.", "manual.md"),
    ):
        document = processed(put(collection, text))
        assert (document.title, document.chunks.get().heading_path) == (title, [title])


def test_a_file_s_own_title_is_found_anew(collection: Collection) -> None:
    for title in ("Service manual", "Manual of 2027"):
        document = processed(put(collection, files.pdf_file("Check each valve.", title=title), "m.pdf"))
        assert document.title == title
    collections.reprocess_collection(collection=collection)  # by the text that was read
    assert processed(document).title == "Manual of 2027"
    documents.reprocess_document(document=document)  # by the file
    assert processed(document).title == "Manual of 2027"


@pytest.mark.parametrize("title", ["Handbook", "Service manual"])
def test_a_given_title_stays(collection: Collection, title: str) -> None:
    """Be it the one that processing found before."""
    document = processed(put(collection, MANUAL))
    assert document.title == "Service manual"
    put(collection, "# Second manual\n\nCheck it.", title=title)
    assert processed(document).title == title
    put(collection, "# Third manual\n\nCheck it.")
    assert processed(document).title == title
    documents.change_document(document=document, title="")
    assert processed(document).title == "Third manual"


def test_a_title_given_later_stays(collection: Collection) -> None:
    document = processed(put(collection, MANUAL))
    documents.change_document(document=document, title="Service manual")
    document.refresh_from_db()
    assert (document.status, document.given_title) == ("ready", "Service manual")
    run("UPDATE knowledge_document SET title = 'By SQL' WHERE id = %s", document.pk)
    put(collection, "# Second manual\n\nCheck it.")
    assert processed(document).title == "By SQL"
