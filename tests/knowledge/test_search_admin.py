# ruff: noqa: F811 (fixtures)
"""The search playground shows what the API answers, to who may see it, and nothing that runs."""

import pytest

from core.models import Organization
from knowledge.models import Collection
from tests.admin.conftest import Staff, StaffMaker, make_staff, staff, superuser  # noqa: F401 (fixtures)
from tests.admin.pages import inline_code
from tests.factories.knowledge import CollectionFactory
from tests.knowledge.library import embed, shelve
from tests.knowledge.stand_in import MODEL, Server, busy

pytestmark = pytest.mark.django_db

PAGE = "/admin/knowledge/chunk/search/"


@pytest.fixture
def collection(organization: Organization) -> Collection:
    collection = CollectionFactory(organization=organization, name="Manuals")
    text = "Open the valve. <script>alert(1)</script>"
    shelve(collection, "Before.", text, "After.", title="<b>Care</b>", document_id="care.md")
    embed(collection)
    return collection


def show(staff: Staff, **asked: object) -> str:
    answer = staff.client.get(PAGE, asked)
    assert answer.status_code == 200
    html: str = answer.content.decode()
    assert inline_code(html) == []
    return html


def test_the_page_begins_with_a_question(collection: Collection, superuser: Staff) -> None:
    html = show(superuser)
    assert 'name="query"' in html
    assert "passages in" not in html
    assert "null" not in html
    assert str(collection.organization_id) in html
    assert PAGE in superuser.client.get("/admin/knowledge/chunk/").content.decode()


def test_hits_come_with_their_figures(collection: Collection, superuser: Staff) -> None:
    html = show(superuser, query="open valves", neighbours=1, limit=1, organization=collection.organization_id)
    assert "1 passage in" in html
    assert "<mark>Open</mark> the <mark>valve</mark>. &lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;b&gt;Care&lt;/b&gt;, passage 2" in html
    assert "score <b>1.000</b>" in html
    assert ">Before.<" in html
    assert ">After.<" in html
    assert ">care.md<" in html


def test_nothing_found_is_said(collection: Collection, superuser: Staff) -> None:
    assert "Nothing was found." in show(superuser, query="zyzzyva", mode="text")


def test_staff_search_where_they_belong(
    collection: Collection,
    staff: Staff,
    other_organization: Organization,
) -> None:
    theirs = CollectionFactory(organization=other_organization)
    shelve(theirs, "Their valve.")
    embed(theirs)
    assert "Their valve" not in show(staff, query="valve")
    for asked in ({"organization": other_organization.pk}, {"collection": theirs.pk}):
        html = show(staff, query="valve", **asked)
        assert "Select a valid choice" in html
        assert "Their" not in html


def test_a_collection_of_another_organization_is_refused(
    collection: Collection,
    superuser: Staff,
    other_organization: Organization,
) -> None:
    theirs = CollectionFactory(organization=other_organization)
    asked = {"query": "valve", "organization": collection.organization_id, "collection": theirs.pk}
    assert "The organization has no such collection." in show(superuser, **asked)


def test_wrong_metadata_is_refused(collection: Collection, superuser: Staff) -> None:
    assert "This must be a JSON object." in show(superuser, query="valve", metadata="[1]")
    assert "Enter a valid JSON." in show(superuser, query="valve", metadata="{")


def test_an_embedder_that_is_away_is_told(
    collection: Collection,
    superuser: Staff,
    server: Server,
) -> None:
    Collection.objects.filter(pk=collection.pk).update(embedding_model=MODEL)
    embed(collection)
    server.answers = [busy(503)] * 2
    assert "is busy: HTTP 503" in show(superuser, query="valve")


def test_it_is_for_staff_who_may_see_chunks(
    collection: Collection,
    make_staff: StaffMaker,
    organization: Organization,
) -> None:
    nobody = make_staff(permissions=[])
    assert nobody.client.get(PAGE).status_code == 403


@pytest.mark.parametrize("name", ["organization", "collection"])
def test_what_is_no_id_is_told(name: str, superuser: Staff) -> None:
    answer = superuser.client.get(PAGE, {"query": "a", name: "x"})
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
