"""Search by API: what it answers, what it refuses and why, and what happens when the embedder is away."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.models import Organization
from knowledge.models import Collection
from knowledge.services.search import Question, search
from tests.factories.knowledge import CollectionFactory
from tests.kit.cast import Actor
from tests.kit.database import writes_nothing
from tests.knowledge.library import embed, shelve
from tests.knowledge.stand_in import MODEL, Server, answering, busy

pytestmark = pytest.mark.django_db

PATH = "/api/v1/search/"


@pytest.fixture
def collection(organization: Organization) -> Collection:
    collection = CollectionFactory(organization=organization)
    shelve(
        collection,
        "Open the <valve> slowly.",
        "Then drain the pump.",
        title="Maintenance",
        metadata={"team": "plant"},
        source_uri="https://example.org/m",
    )
    shelve(collection, "The ledger balances.", title="Books")
    embed(collection)
    return collection


def test_the_answer_is_what_search_finds(collection: Collection, owner: Actor) -> None:
    body = {"query": "how do I open a valve?", "neighbours": 1, "limit": 2}
    with writes_nothing():
        answer = owner.by_key.post(PATH, body)
    assert answer.status_code == 200
    hits = search(
        organization_id=owner.organization.pk,
        question=Question(body["query"], neighbours=1, limit=2),  # type: ignore[arg-type]
    )
    found = answer.json()
    assert found["mode"] == "hybrid"
    assert [each["chunk"] for each in found["results"]] == [str(hit.chunk) for hit in hits]
    [first, _] = found["results"]
    [hit, _] = hits
    document = first.pop("document")
    assert first == {
        "chunk": str(hit.chunk),
        "score": 1.0,
        "vector_score": hit.vector_score,
        "vector_rank": 1,
        "text_score": hit.text_score,
        "text_rank": 1,
        "text": "Open the <valve> slowly.",
        "marked": "<mark>Open</mark> the &lt;<mark>valve</mark>&gt; slowly.",
        "heading_path": ["Maintenance"],
        "position": 0,
        "char_start": 0,
        "char_end": 24,
        "citation": "Maintenance, passage 1 (https://example.org/m)",
        "collection": str(collection.pk),
        "neighbours": [{"id": first["neighbours"][0]["id"], "position": 1, "text": "Then drain the pump."}],
    }
    assert document.pop("created_at")
    assert document == {
        "id": str(hit.document),
        "document_id": hit.document_id,
        "title": "Maintenance",
        "source_uri": "https://example.org/m",
        "version": 0,
        "metadata": {"team": "plant"},
    }


def test_filters_and_modes_are_heeded(collection: Collection, owner: Actor) -> None:
    other = CollectionFactory(organization=owner.organization)

    def titles(**asked: Any) -> list[str]:
        answer = owner.by_key.post(PATH, {"query": "the pump and the ledger", **asked})
        assert answer.status_code == 200, answer.json()
        return [each["document"]["title"] for each in answer.json()["results"]]

    assert set(titles()) == {"Maintenance", "Books"}
    assert set(titles(metadata={"team": "plant"})) == {"Maintenance"}
    assert titles(collections=[str(other.pk)]) == []
    assert titles(created_before="2020-01-01T00:00:00Z") == []
    assert len(titles(created_after="2020-01-01T00:00:00Z", mode="vector", limit=2)) == 2
    assert set(titles(mode="text")) == {"Maintenance", "Books"}


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "query", "required"),
        ({"query": " "}, "query", "blank"),
        ({"query": "x" * 2001}, "query", "max_length"),
        ({"query": "x\u0000"}, "query", "null_characters_not_allowed"),
        ({"query": "x", "mode": "fuzzy"}, "mode", "invalid_choice"),
        ({"query": "x", "limit": 0}, "limit", "min_value"),
        ({"query": "x", "limit": 101}, "limit", "max_value"),
        ({"query": "x", "neighbours": 6}, "neighbours", "max_value"),
        ({"query": "x", "metadata": [1]}, "metadata", "not_a_dict"),
        ({"query": "x", "created_after": "soon"}, "created_after", "invalid"),
        (
            {"query": "x", "created_after": "2026-01-02T00:00:00Z", "created_before": "2026-01-01T00:00:00Z"},
            "created_after",
            "range",
        ),
        ({"query": "x", "collections": "all"}, "collections", "not_a_list"),
        ({"query": "x", "collections": ["0190163d-8694-739b-aea5-966c26f8ad91"]}, "collections.0", "does_not_exist"),
        ({"query": "x", "collections": []}, "collections", "empty"),
        ({"query": "x", "collections": ["0190163d-8694-739b-aea5-966c26f8ad91"] * 101}, "collections", "max_length"),
        ({"query": "x", "collections": ["first"]}, "collections.0", "invalid"),
        ({"query": "x", "colections": []}, "colections", "unknown"),
    ],
)
def test_a_refusal_names_field_and_rule(owner: Actor, body: dict[str, Any], field: str, code: str) -> None:
    answer = owner.by_key.post(PATH, body)
    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]


def test_another_organizations_collection_does_not_exist(owner: Actor, other_organization: Organization) -> None:
    theirs = CollectionFactory(organization=other_organization)
    answer = owner.by_key.post(PATH, {"query": "x", "collections": [str(theirs.pk)]})
    assert [(each["field"], each["code"]) for each in answer.json()["errors"]] == [("collections.0", "does_not_exist")]


def test_collections_are_looked_up_at_once(collection: Collection, owner: Actor) -> None:
    def queries(*asked: Collection) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            answer = owner.by_key.post(PATH, {"query": "pump", "collections": [str(each.pk) for each in asked]})
        assert answer.status_code == 200
        return [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]

    others = CollectionFactory.create_batch(5, organization=owner.organization)
    queries(collection)  # the embedder, and what is kept of the key, are there by then
    assert len(queries(collection, *others)) == len(queries(collection))


def test_reading_is_enough(collection: Collection, owner: Actor) -> None:
    assert owner.with_scopes(["knowledge:read"]).post(PATH, {"query": "pump"}).status_code == 200
    refused = owner.with_scopes(["knowledge:write", "agents:read"]).post(PATH, {"query": "pump"})
    assert (refused.status_code, refused.json()["type"]) == (403, "/api/problems/missing_scope/")


def test_an_embedder_that_is_away_is_told_and_words_still_serve(
    collection: Collection, owner: Actor, server: Server
) -> None:
    Collection.objects.filter(pk=collection.pk).update(embedding_model=MODEL)
    embed(collection)
    server.answers = [busy(503)] * 2
    answer = owner.by_key.post(PATH, {"query": "pump"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert answer.json()["type"] == "/api/problems/embedder_unavailable/"
    assert "mode “text”" in answer.json()["detail"]
    server.answers = [answering(401, "no such key")]
    assert owner.by_key.post(PATH, {"query": "pump"}).status_code == 503
    found = owner.by_key.post(PATH, {"query": "pump", "mode": "text"})
    assert [each["text"] for each in found.json()["results"]] == ["Then drain the pump."]


def test_the_kind_of_problem_is_described(anonymous: Any) -> None:
    assert anonymous.get("/api/problems/embedder_unavailable/").status_code == 200
