"""A text's words are stemmed by the rules of its language, which is told or follows from the text."""

import pytest
from django.core.exceptions import ValidationError

from knowledge.models import Chunk, Collection, Document
from knowledge.models.languages import Language
from knowledge.services.languages import language_of
from knowledge.services.search import Mode, Question, search
from tests.factories.knowledge import CollectionFactory, DocumentFactory
from tests.kit.cast import Actor
from tests.knowledge.library import processed, put

pytestmark = pytest.mark.django_db

GERMAN = "Die Häuser stehen leer, weil die Gesellschaften ihre Verträge gekündigt haben."
FRENCH = "Les maisons sont vides parce que les sociétés ont résilié leurs contrats."
ENGLISH = "The houses stand empty because the companies have terminated their contracts."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (GERMAN, Language.GERMAN),
        (FRENCH, Language.FRENCH),
        (ENGLISH, Language.ENGLISH),
        ("Los niños juegan en el parque cuando hace buen tiempo.", Language.SPANISH),
        ("Jeg vet ikke hva du mener, men vi må snakke om det i morgen.", Language.NORWEGIAN),
        ("Дети играют в парке, когда стоит хорошая погода.", Language.RUSSIAN),
        ("Dzieci bawią się w parku, gdy jest ładna pogoda.", Language.UNDETERMINED),  # Polish has no stems here
        ("天気が良い日は子供たちが公園で遊びます。", Language.UNDETERMINED),
        ("날씨가 좋으면 아이들이 공원에서 놀아요.", Language.UNDETERMINED),
        ("", Language.ENGLISH),
        ("TODO", Language.ENGLISH),
        ("| Name | Default |\n|---|---|\n| max_conn | 100 |", Language.ENGLISH),
        ("def main():\n    for x in range(10):\n        print(x)\n", Language.ENGLISH),
        ("SELECT id, name FROM t WHERE a = 1 AND b <> 2", Language.ENGLISH),
    ],
)
def test_a_text_tells_its_language(text: str, language: Language) -> None:
    assert language_of(text) == language


@pytest.fixture
def collection(teammate: Actor) -> Collection:
    made: Collection = CollectionFactory(organization=teammate.organization)
    return made


def languages(document: Document) -> set[str]:
    return set(Chunk.objects.filter(document=document).values_list("language", flat=True))


def test_passages_are_in_the_language_of_their_text(collection: Collection) -> None:
    german, french = processed(put(collection, GERMAN, "a.txt")), processed(put(collection, FRENCH, "b.txt"))
    assert (languages(german), languages(french)) == ({"de"}, {"fr"})
    assert german.language == ""
    found = search(organization_id=collection.organization_id, question=Question("Haus Vertrag", mode=Mode.TEXT))
    assert [hit.document for hit in found] == [german.pk]


def test_a_new_version_may_be_in_another_language(collection: Collection) -> None:
    assert languages(processed(put(collection, GERMAN, "a.txt"))) == {"de"}
    assert languages(processed(put(collection, ENGLISH, "a.txt"))) == {"en"}


def test_what_is_told_counts(collection: Collection) -> None:
    assert languages(processed(put(collection, GERMAN, "a.txt", language="und"))) == {"und"}


def test_a_language_is_one_of_the_known_or_none(teammate: Actor, collection: Collection) -> None:
    body = {"collection": str(collection.pk), "content": GERMAN}
    made = teammate.by_key.post("/api/v1/documents/", body)
    assert (made.status_code, made.json()["language"]) == (201, "")
    refused = teammate.by_key.post("/api/v1/documents/", body | {"language": "xx", "content": ENGLISH})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "language")
    with pytest.raises(ValidationError, match="language"):
        DocumentFactory.build(organization=collection.organization, collection=collection, language="xx").full_clean()
