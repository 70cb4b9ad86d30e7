"""Texts are taken apart into words alike for passages and questions, and for databases of different locales."""
# ruff: noqa: RUF001 (look-alikes are what these tests are about)

from typing import Any

import psycopg
import pytest
from django.db import connection

from core.models import Organization
from knowledge.database_functions import CONFIGURATION
from knowledge.models import Chunk, Collection
from knowledge.services.search import Hit, Mode, Question, search
from knowledge.sql import words
from tests.factories.knowledge import CollectionFactory
from tests.kit.sql import run
from tests.knowledge.library import processed, put, shelve

pytestmark = pytest.mark.django_db


@pytest.fixture
def collection(organization: Organization) -> Collection:
    return CollectionFactory(organization=organization)


def ask(collection: Collection, text: str) -> list[Hit]:
    """Search by words."""
    return search(organization_id=collection.organization_id, question=Question(text, mode=Mode.TEXT))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("“Kestrel” turbines — the ones… need ‘gloves’.", "kestrel turbines the ones need gloves"),
        ("L’école d’été; l'ÉCOLE", "l école d été l école"),
        ("client/server, TCP/IP <branch> a=b&c", "client server tcp ip branch a b c"),
        ("see /etc/nginx/nginx.conf: os.path.join()", "see etc nginx nginx conf os path join"),
        ("Kestrel™ costs 5€ • ½ ★ 🙂 \ue000", "kestrel costs 5"),
        ("Gescha\u0308ftsfu\u0308hrung ﬁn ＡＢＣ m²", "geschäftsführung fin abc m2"),
        ("soft\u00adhyphen zero\u200bwidth no\u2060break \ufeffmark", "softhyphen zero width nobreak mark"),
        ("İstanbul ΑΘΗΝΑ МОСКВА", "istanbul αθηνα москва"),
        ("हिन्दी किताब", "हिन्दी किताब"),
        ("年次休暇 and 病 カード", "and 年次 次休 休暇 病 カー ード"),
        ("", ""),
        (" \n\t…", ""),
    ],
)
def test_words_stand_between_blanks(text: str, words: str) -> None:
    [(found, blanked)] = run("SELECT knowledge_words(%s), length(knowledge_blanked(%s))", text, text)
    assert found.split() == words.split()
    assert blanked == len(text)


# As a database may be made; a server has some of them.
LOCALES = (
    "LOCALE 'C'",
    "LOCALE 'C.UTF-8'",
    "LOCALE 'en_US.UTF-8'",
    "LOCALE 'tr_TR.UTF-8'",
    "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'und'",
    "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'tr'",
    "LOCALE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
    "LOCALE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'",
)
# What a server says of a locale that its system hasn't, and of a provider that it was built without, or is too old for.
UNKNOWN = (
    psycopg.errors.WrongObjectType,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.InvalidObjectDefinition,
    psycopg.errors.SyntaxError,
)
ALL_SORTS = "“İstanbul” IĞDIR ΑΘΗΝΑ—МОСКВА L’ÉCOLE ﬁn m² Straße ½ हिन्दी 年次休暇 os.path.JOIN C++ AT&T"
LEXEMES = (
    "SELECT knowledge_lexemes(language, '{Tête}', %s)::text FROM unnest(ARRAY['und', 'en', 'tr', 'fr']) AS language"
)


def lexemes_in(place: dict[str, Any], made: str) -> list[tuple[str]] | None:
    """Return the lexemes in a database made so, which is removed again; None if the server doesn't know the locale."""
    name = f"{place['dbname']}_locale"
    with psycopg.connect(**place, autocommit=True) as server:
        try:
            server.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {made}")
        except UNKNOWN:
            return None
        try:
            with psycopg.connect(**{**place, "dbname": name}) as direct:
                for each in (CONFIGURATION, *(operation.sql for operation in words.OPERATIONS)):
                    direct.execute(each)
                return direct.execute(LEXEMES, [ALL_SORTS]).fetchall()
        finally:
            server.execute(f"DROP DATABASE {name}")


def test_words_are_the_same_whatever_locale_a_database_was_made_with() -> None:
    parameters = connection.get_connection_params()
    place = {name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if name in parameters}
    found = {made: lexemes_in(place, made) for made in LOCALES}
    known = {made: lexemes for made, lexemes in found.items() if lexemes is not None}
    assert len(known) >= 2
    assert known == dict.fromkeys(known, run(LEXEMES, ALL_SORTS))


@pytest.mark.parametrize(
    ("text", "compounds"),
    [
        ("Call os.path.join() or read_file.", {"os.path.join", "read_file"}),
        ("v3.12.0 and ORA-00942", {"v3.12.0", "3.12.0", "ora-00942"}),
        ("C++, C# and F++x by AT&T", {"c++", "c#", "at&t"}),
        ("“well-known” - but not. So", {"well-known"}),
        ("/etc/nginx/nginx.conf", {"nginx.conf"}),
        ("x" * 60 + "." + "y" * 60, None),
        ("nothing here", None),
    ],
)
def test_compounds_are_kept_as_they_are_written(text: str, compounds: set[str] | None) -> None:
    [(found,)] = run("SELECT knowledge_compounds(%s)", text)
    assert (found and set(found)) == compounds


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("The “Kestrel” turbines — the fastest… need “gloves”.", ["kestrel", "GLOVES", "fastest"]),
        ("A client/server split; #include <stdio.h> comes first.", ["client", "server", "stdio.h", "include"]),
        ("Edit /etc/nginx/nginx.conf with os.path.join().", ["nginx.conf", "join", "etc", "os.path.join"]),
        ("Fixed in v3.12.0; see ORA-00942 and a.b@example.org.", ["3.12.0", "v3.12.0", "00942", "example.org"]),
        ("Written in C++ for AT&T.", ["C++", "AT&T"]),
        ("Die Gescha\u0308ftsfu\u0308hrung", ["Geschäftsführung", "GESCHÄFTSFÜHRUNG"]),
        ("社員は年次休暇を取る", ["年次休暇", "休暇"]),
    ],
)
def test_what_is_written_is_found(collection: Collection, text: str, questions: list[str]) -> None:
    shelve(collection, text, "Something else altogether.", title="A title")
    for question in questions:
        assert [hit.text for hit in ask(collection, question)] == [text], question


def test_the_exact_name_comes_before_its_parts(collection: Collection) -> None:
    shelve(collection, "Read the file, join the path.", "Use read_file_path here.", "A path to read a file.", title="A")
    assert ask(collection, "read_file_path")[0].text == "Use read_file_path here."


def test_marks_are_put_where_the_words_stand(collection: Collection) -> None:
    shelve(collection, "L’ÉCOLE (“l’hôtel”)\n& nginx.conf — ｅｎｄ…", title="A", language="fr")
    [hit] = ask(collection, "école HÔTEL nginx.conf")
    marked = "L’<mark>ÉCOLE</mark> (“l’<mark>hôtel</mark>”)\n&amp; <mark>nginx</mark>.<mark>conf</mark> — ｅｎｄ…"
    assert hit.marked == marked


@pytest.mark.parametrize(("language", "text"), [("und", "How do I see it: {} of the what."), ("fr", "{}: how do I?")])
def test_a_few_documents_of_another_language_do_not_make_function_words_rare(
    collection: Collection, language: str, text: str
) -> None:
    """What English drops stands in all English passages, and isn't rare for being stored elsewhere."""
    shelve(collection, *(f"The valve {n} is open." for n in range(20)), "Reading a file synchronously.", title="Manual")
    question = "how do I read a file synchronously?"
    [(before, score)] = [(hit.text, hit.text_score) for hit in ask(collection, question)[:1]]
    shelve(collection, *(text.format(n) for n in range(2)), title="Protocol", language=language)
    after = ask(collection, question)
    assert after[0].text == before == "Reading a file synchronously."
    assert after[0].text_score == pytest.approx(score, rel=0.1)
    assert after[0].text_score > 2 * after[1].text_score


def test_a_word_that_is_dropped_in_one_language_still_finds_in_the_other(collection: Collection) -> None:
    shelve(collection, "The war ended in autumn.", "A treaty followed.", title="History")
    shelve(collection, "Das Wetter war gut.", "Es regnete.", title="Wetter", language="de")
    assert [hit.text for hit in ask(collection, "war")] == ["The war ended in autumn."]


def test_the_name_of_a_page_is_no_word_of_its_passages(collection: Collection) -> None:
    document = processed(put(collection, "Check each valve.\fOil the pump.", "manual.txt"))
    processed(put(collection, "# Turning\n\n## Page 2\n\nTurn the page.", "paper.md"))
    assert document.chunks.get().heading_path == ["manual.txt", "Page 1"]
    assert [hit.text for hit in ask(collection, "page")] == ["Turn the page."]
    assert [hit.text for hit in ask(collection, "manual")] == [document.chunks.get().text]


def test_a_passage_is_stored_by_its_words(collection: Collection) -> None:
    shelve(collection, "Reading “well-known” files", title="Head")
    [(lexemes,)] = run("SELECT tsvector_to_array(lexemes) FROM knowledge_chunk WHERE id = %s", Chunk.objects.get().pk)
    assert set(lexemes) == {"head", "read", "well", "known", "well-known", "file"}
