"""In which encoding a text is read: as it says, as was said of it, and as its characters and language suggest."""

# ruff: noqa: RUF001 (letters of other languages look like English ones)

import time
from typing import Any

import pytest

from core.models import Organization
from knowledge.extraction.base import HTML, UnreadableError
from knowledge.extraction.plain import charset_of, decode
from knowledge.services.extraction import extract
from knowledge.services.processing import process_document
from tests.factories.knowledge import CollectionFactory
from tests.kit.cast import Actor
from tests.knowledge.test_documents import upload

# A sentence or two in each language, in the code page that Windows has for it.
SENTENCES = {
    ("fr", "cp1252"): "Le règlement intérieur précise où déposer les demandes ; c’est là que l’élève reçoit sa clé.",
    ("de", "cp1252"): "Die Geschäftsführung beschließt Maßnahmen über größere Änderungen.",
    ("es", "cp1252"): "¿Cuántos días de vacaciones tiene el señor Núñez según la política de la compañía?",
    ("it", "cp1252"): "È vietato: la richiesta è valida perché la società l’ha già approvata. Così è più facile.",
    ("pt", "cp1252"): "As férias são aprovadas após a verificação; não há exceções à política da organização.",
    ("sv", "cp1252"): "Åtgärder för ökad säkerhet vid mätning på höga höjder.",
    ("fi", "cp1252"): "Käyttäjän tiedot päivitetään järjestelmään yön jälkeen.",
    ("da", "cp1252"): "Månedens største ændringer gælder også på øerne.",
    ("hu", "cp1250"): "A működőképesség őrzése közös felelősségünk, különösen a hűtőrendszerű gépeknél.",
    ("ro", "cp1250"): "Această pagină explică în ce fel se plăteşte călătoria şi cât costă.",
    ("tr", "cp1254"): "Çalışanların yıllık izin hakları şirket politikasında açıklanmıştır.",
    ("lt", "cp1257"): "Įmonės darbuotojų atostogų tvarka skelbiama šiame puslapyje, ją žiūrėkite čia.",
    ("ru", "cp1251"): "Насос проверяют весной.",
    ("sr", "cp1251"): "Вентил се проверава у пролеће.",
    ("el", "cp1253"): "Ο έλεγχος γίνεται την άνοιξη.",
    ("ar", "cp1256"): "يتم فحص المضخة في الربيع.",
}


@pytest.mark.parametrize(("language", "encoding"), SENTENCES, ids=lambda value: value)
def test_the_language_s_code_page_is_recognised(language: str, encoding: str) -> None:
    text = SENTENCES[language, encoding]
    assert decode(text.encode(encoding), language=language) == text
    assert decode((text * 30).encode(encoding), language=language) == text * 30


@pytest.mark.parametrize(("language", "encoding"), [each for each in SENTENCES if each[1] == "cp1252"])
def test_western_text_is_recognised_whatever_language_is_said(language: str, encoding: str) -> None:
    text = SENTENCES[language, encoding]
    for said in ("en", "und", "ru", "tr", "hu"):
        assert decode(text.encode(encoding), language=said) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Café Grün", "latin-1"),
        ("Prix: 5 € – œuvre, naïveté", "cp1252"),
        ("“Quoted” – it’s 20 °C", "cp1252"),
        ("1 000 €", "cp1252"),
        ("“a”", "cp1252"),
        ("50 µm ± 3 °C × 2", "cp1252"),
        ("José Muñoz, São Paulo, Zürich, Malmö, Tromsø, Besançon", "cp1252"),
        ("ÄÖÜ IN EINER ÜBERSCHRIFT", "cp1252"),
        ("été", "cp1252"),
        (f"{'In English at first. ' * 9_000}Der größte Teil kommt später.", "cp1252"),
        (f"{'In English at first. ' * 9_000}知识库检索系统可以回答问题。文档被分割成段落。", "gb18030"),
        ("Pracownicy, którzy złożyli wnioski później, będą obsłużeni w następnej kolejności.", "cp1250"),
        ("Zaměstnanci, kteří předložili žádost později, budou obslouženi v příštím pořadí.", "cp1250"),
        ("Документация описывает порядок проверки клапанов и насосов. " * 9, "cp1251"),
        ("Документация описывает порядок проверки клапанов и насосов. " * 9, "koi8-r"),
        ("知识库检索系统可以回答问题。文档被分割成段落。", "gb18030"),
        ("知識庫檢索系統可以回答問題。文件被分割成段落。", "big5"),
        ("文書は段落に分割され、検索の対象になります。", "shift_jis"),
        ("文書は段落に分割され、検索の対象になります。", "euc_jp"),
        ("문서는 단락으로 나뉘어 검색 대상이 됩니다.", "euc_kr"),
    ],
    ids=range(20),
)
def test_a_text_in_no_language_that_was_said_is_recognised(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), language="und") == text
    assert decode(text.encode(encoding), language="en") == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["Hello plain words.", "Größe – 5 €", "Проверка насоса", "检索 系统\n"])
def test_wide_characters_without_a_mark_are_recognised(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("Prix: 5 € – œuvre", "windows-1252"),
        ("Prix: 5 € – œuvre", "ISO-8859-1"),  # by which all mean the former
        ("był", "windows-1250"),
        ("Насос", "koi8-r"),
        ("検索", "iso-2022-jp"),
        ("Größe", "utf-16-le"),
        ("字", "gbk"),
    ],
)
def test_what_was_declared_counts(text: str, declared: str) -> None:
    content = text.encode("cp1252" if declared == "ISO-8859-1" else declared)
    assert decode(content, declared) == text


@pytest.mark.parametrize("declared", ["us-ascii", "utf-8", "koi8-r", "x-unknown", "unicode_escape", "rot13", "hex"])
def test_what_was_declared_wrongly_does_no_harm(declared: str) -> None:
    assert decode("Die Größe – 5 € \\n".encode(), declared) == "Die Größe – 5 € \\n"
    if declared != "koi8-r":  # in which all bytes mean something
        assert decode("Die Größe der Änderung".encode("cp1252"), declared) == "Die Größe der Änderung"


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/plain; charset=windows-1252", "cp1252"),
        ('Text/HTML; a=b; Charset="Latin1"', "cp1252"),
        ("text/plain", ""),
        ("text/plain; charset=", ""),
        ("text/plain; charset=\r\nx", ""),
        ("text/plain; charset*=utf-8''latin1", ""),
        ("text/plain; charset=zlib", ""),
        ("text/plain; charset=idna", ""),
        (f"text/plain; charset={'x' * 10_000}", ""),
    ],
)
def test_a_charset_is_told_by_the_media_type(content_type: str, charset: str) -> None:
    assert charset_of(content_type) == charset


def test_a_few_broken_places_don_t_change_the_encoding() -> None:
    content = ("Größere Änderungen. " * 20).encode()
    assert decode(content[:7] + b"\xff" + content[7:]).count("�") == 1
    assert decode(content + "ä".encode()[:1]) == "Größere Änderungen. " * 20 + "�"


@pytest.mark.parametrize(
    "content",
    [b"a" * 4_000_000 + b"\xe9", b"\xe9" * 4_000_000, b"abc\xe9" * 1_000_000, b"\xe9a" * 2_000_000],
    ids=range(4),
)
def test_large_texts_are_recognised_soon(content: bytes) -> None:
    begin = time.process_time()
    assert len(decode(content)) <= len(content)
    assert time.process_time() - begin < 20


@pytest.mark.parametrize("content", [bytes(range(128, 256)) * 9, b"\x01\x02\xe9\xff" * 9, b"MZ\0\0", b"\1\0\2\0\3\0"])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode(content)


def test_the_reader_is_told_charset_and_language() -> None:
    def read(content: bytes, content_type: str, language: str = "und") -> str:
        return extract(content_type=content_type, original=content, text=None, language=language).text

    assert read("Насос".encode("cp1251"), "text/plain", "ru") == "Насос"
    assert read("Насос".encode("koi8-r"), "text/plain; charset=koi8-r") == "Насос"
    page = '<meta charset="iso-8859-1"><p>Насос'.encode("koi8-r")
    assert read(page, f"{HTML}; charset=koi8-r") == "Насос"
    assert read("<p>Насос".encode("cp1251"), HTML, "ru") == "Насос"
    assert read("# Größe".encode("cp1252"), "text/markdown; charset=latin1") == "# Größe"


@pytest.mark.django_db
def test_the_charset_of_an_upload_is_kept_with_its_version(teammate: Actor, organization: Organization) -> None:
    collection = CollectionFactory(organization=organization)
    content = "Prix: 5 € – œuvre, naïveté".encode("cp1252")
    made = upload(teammate.by_key, collection, content, "a.txt", part_type="text/plain; charset=windows-1252")
    assert (made.status_code, made.json()["content_type"]) == (201, "text/plain")
    document = process_document(document_id=made.json()["id"])
    assert document is not None
    version = document.versions.get()
    assert (version.content_type, version.text) == ("text/plain; charset=cp1252", "Prix: 5 € – œuvre, naïveté")
    [chunk] = document.chunks.all()
    assert chunk.text == version.text


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["windows-1252", "utf-16", "iso-2022-jp"])
def test_text_in_json_is_in_no_charset(teammate: Actor, organization: Organization, charset: str) -> None:
    collection = CollectionFactory(organization=organization)
    body: dict[str, Any] = {"collection": str(collection.pk), "content": "Größe", "document_id": charset}
    made = teammate.by_key.post("/api/v1/documents/", body | {"content_type": f"text/markdown; charset={charset}"})
    assert made.status_code == 201
    version = collection.documents.get().versions.get()
    assert (version.content_type, version.text, version.original) == ("text/markdown", "Größe", None)
