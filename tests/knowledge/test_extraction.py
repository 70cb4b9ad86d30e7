"""What is read of files: text, headings, titles; and that hostile ones end soon, small, and as a clear refusal."""

import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from knowledge.extraction.base import DOCX, HTML, MARKDOWN, PDF, RST, Extracted
from knowledge.services.extraction import UnreadableError, extract, type_of
from tests.knowledge import files, reading


def read(content: bytes, content_type: str) -> Extracted:
    return extract(content_type=content_type, original=content, text=None)


def outline(found: Extracted) -> list[tuple[int, str]]:
    return [(heading.level, heading.text) for heading in found.headings]


def refusal(content: bytes, content_type: str) -> str:
    with pytest.raises(UnreadableError) as caught:
        read(content, content_type)
    return str(caught.value)


# --- Formats ---------------------------------------------------------------------------------------


def test_markdown_is_its_own_text_and_its_headings_stand_where_they_say() -> None:
    text = "Intro\n\n# One *and* `a`\n\ntext\r\n\n```\n# code\n```\n\nTwo\n---\n\n> # quoted\n\n- # listed\n"
    found = reading.read_again(MARKDOWN, text)
    assert found.text == text
    assert outline(found) == [(1, "One and a"), (2, "Two")]
    first, second = found.headings
    assert text[first.start : first.end] == "# One *and* `a`\n"
    assert text[second.start : second.end] == "Two\n---\n"


@pytest.mark.parametrize(
    ("before", "title"),
    [
        ("---\ntitle: Expense Policy\ntags: [hr]\n---\n", "Expense Policy"),
        ('---\r\nTitle:  "Pay \\u2013 #1" # quoted\r\n---\r\n', "Pay – #1"),  # noqa: RUF001
        ("---\n# about\nlayout: x\ntitle: 'It''s here' # so\n...\n", "It's here"),
        ("---\ntitle: C# guide # not this\n---\n", "C# guide"),
        ('+++\ntitle = """Two\nlines"""\ndate = 2026-01-01\n+++\n', "Two lines"),
        ("---\ntitle: |\n  folded\n---\n", "Travel"),
        ("---\nlayout: post\n---\n", "Travel"),
        (
            "---\ntitle: It: a tale\ntags:\n- a\n- b:c\nlinks: [\n  x\n]\n'a b': {\n}\n\nnote: |\n  a\n\n  b\n---\n",
            "It: a tale",
        ),
        ("+++\n# about\ntitle = 'Leave'\n[extra]\na = [\n1,\n]\n+++\n", "Leave"),
        ("+++\n+++\n", "Travel"),
        ("+++\ntitle = [broken\n+++\n", "Travel"),
        ("+++\ntitle = 3\n+++\n", "Travel"),
        ("---\n---\n", "Travel"),
    ],
)
def test_what_stands_before_markdown_is_no_heading_but_may_have_the_title(before: str, title: str) -> None:
    text = f"{before}\nIntro\n\n## Hotels\n\ntext\n\n# Travel\n"
    found = reading.read_again(MARKDOWN, text)
    assert (found.title, found.text) == (title, text)
    assert outline(found) == [(2, "Hotels"), (1, "Travel")]
    assert text[found.headings[0].start : found.headings[0].end] == "## Hotels\n"


@pytest.mark.parametrize(
    "text",
    [
        "---\nOne. Two.\n---\n",
        "---\nkey: never ended\n\n# Travel\n",
        "text\n---\na: b\n---\n",
        "---\nNote: read this first.\n\n# Setup\n\nInstall it.\n\n---\n",
        "---\nSee https://example.org/ first.\n---\n",
        "+++\nNote = this is no TOML\n\n# Setup\n\n+++\n",
        "---\n# Setup\n\n# Use\n---\n",
        "---\n  key: value\n---\n",
        "+++\n# Setup\n\n# Use\n+++\n",
        "+++\n[Note]: /url\n\n# Setup\n\n+++\n",
    ],
)
def test_a_line_across_the_page_begins_nothing(text: str) -> None:
    assert outline(reading.read_again(MARKDOWN, text))


def test_comments_hold_no_headings() -> None:
    text = "<!-- # one\n\n# two\n-->\n# Three\ntext\n<!-- # four -->\n# Five\n\n    <!--\n\n# Six\n\n<!--\n# seven\n"
    assert outline(reading.read_again(MARKDOWN, text)) == [(1, "Three"), (1, "Five"), (1, "Six")]


@pytest.mark.parametrize(
    "text", ["- <!-- a\n\n# One\n", "- <!--\n# One\n", "- <!-- a\n  # b\n-->\n# One\n", "> <!--\n\n# One"]
)
def test_a_comment_ends_with_what_it_stands_in(text: str) -> None:
    assert outline(reading.read_again(MARKDOWN, text)) == [(1, "One")]


@pytest.mark.parametrize("attributes", ["{#leave}", "{.wide #leave}", "{: #leave }"])
def test_attributes_of_a_heading_are_no_part_of_it(attributes: str) -> None:
    text = f"# Leave {attributes}\n\n## {{x}} set {{1}}\n"
    assert outline(reading.read_again(MARKDOWN, text)) == [(1, "Leave"), (2, "{x} set {1}")]


def test_restructured_headings_have_the_level_of_their_style() -> None:
    text = (
        "=====\nGuide\n=====\n\nText\nends\n\nInstall\n-------\n\nfoo\n\nOn Linux\n~~~~~~~~\n\n"
        "Use\n---\n\n====  ===\na     b\n====  ===\n"
    )
    found = reading.read_again(RST, text)
    assert outline(found) == [(1, "Guide"), (2, "Install"), (3, "On Linux"), (2, "Use")]
    assert found.title == "Guide"


def test_docx_keeps_headings_lists_and_tables_in_order() -> None:
    found = read(files.docx_file(), DOCX)
    assert found.title == "Service manual"
    assert found.text == (
        "# Valves\n\nCheck each valve in spring.\n\n## Pumps\n\n- Oil the pump.\n\nPart | Torque\nM8 | 25 Nm"
    )
    assert outline(found) == [(1, "Valves"), (2, "Pumps")]


def test_pdf_is_the_text_of_its_pages() -> None:
    found = read(files.pdf_file("Valves\nCheck each.", "Pumps", title="Service manual"), PDF)
    assert found.text == "Valves\nCheck each.\fPumps"
    assert found.title == "Service manual"
    assert [(heading.start, heading.text) for heading in found.headings] == [(0, "Page 1"), (19, "Page 2")]


def test_a_pdf_is_read_whole_or_refused(settings: Any) -> None:
    content = files.pdf_file("page", "page", "last")
    for most in (9, 13):
        settings.DOCUMENT_MAX_CHARACTERS = most
        assert f"more than {most} characters" in refusal(content, PDF)
    settings.DOCUMENT_MAX_CHARACTERS = 14
    assert read(content, PDF).text == "page\fpage\flast"


@pytest.mark.parametrize("content_type", ["text/plain", MARKDOWN])
def test_a_text_that_is_too_long_starts_no_process(
    content_type: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    settings.DOCUMENT_MAX_CHARACTERS = 9
    with pytest.raises(UnreadableError, match="more than 9 characters"):
        extract(content_type=content_type, original=None, text="0123456789")


@pytest.mark.parametrize(
    ("lines", "sizes", "title"),
    [
        ("Draft\nPump manual\nThird edition\nOil the pump in spring, and look after it.", (10, 24, 16), "Pump manual"),
        ("Pump\nmanual\nACME\nOil the pump in spring, and look after it.", (24, 24, 12), "Pump manual"),
        ("7\nPump manual\nOil the pump in spring, and look after it.", (40, 20, 12), "Pump manual"),
        ("Oil the pump.\nCheck the valve.", (12, 13), ""),
        ("Oil the pump.", (24,), ""),
    ],
)
def test_the_title_of_a_pdf_that_states_none_is_what_stands_out(lines: str, sizes: tuple[int, ...], title: str) -> None:
    assert read(files.pdf_file(lines, sizes=sizes), PDF).title == title
    assert read(files.pdf_file(lines, sizes=sizes, title="Stated"), PDF).title == "Stated"


def test_the_dots_of_a_table_of_contents_are_one_sign() -> None:
    text = read(files.pdf_file("1. Pumps ........ 3\n2. Valves . . . . . . . 12\nAnd so on..."), PDF).text
    assert text == "1. Pumps … 3\n2. Valves … 12\nAnd so on..."


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Größe".encode(), "Größe"),
        ("Größe".encode("utf-8-sig"), "Größe"),
        ("Größe".encode("utf-16"), "Größe"),
        (("Die Größe der Öffnung ist für die Prüfung maßgeblich. " * 5).encode("cp1252"), None),
    ],
)
def test_a_text_is_read_in_the_encoding_that_it_is_in(content: bytes, text: str | None) -> None:
    found = read(content, "text/plain").text
    assert found == text if text else "Größe der Öffnung" in found


@pytest.mark.parametrize(
    ("declared", "name", "content", "expected"),
    [
        ("Text/Markdown; charset=utf-8", "a", b"", MARKDOWN),
        ("application/octet-stream", "a.MD", b"", MARKDOWN),
        ("text/plain", "guide.rst", b"", RST),
        ("", "a", b"%PDF-1.4", PDF),
        ("text/plain", "a.txt", b"%PDF-1.4", PDF),
        ("text/html", "a.html", b"%PDF-1.4", PDF),
        ("application/zip", "a", files.docx_file(), DOCX),
        ("text/markdown", "a.md", files.docx_file(), DOCX),
        ("application/msword", "a.docx", b"PK", DOCX),
        ("application/msword", "a.doc", b"\xd0\xcf\x11\xe0", "application/msword"),
        ("application/vnd.ms-excel", "a.csv", b"a,b", "text/csv"),
        ("text/plain", "a.txt", b"{\\rtf1 Hello}", "application/rtf"),
        ("text/rtf", "a", b"Hello", "application/rtf"),
        ("", "a.docx", b"PK", DOCX),
        ("", "a", b"\n<!DOCTYPE html>", HTML),
        ("", "a", b"x", "application/octet-stream"),
    ],
)
def test_the_type_is_what_was_said_or_what_name_and_content_tell(
    declared: str, name: str, content: bytes, expected: str
) -> None:
    assert type_of(declared=declared, name=name, content=content) == expected


# --- What can't be read ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "content_type", "words"),
    [
        (lambda: files.pdf_file("secret", encrypted=True), PDF, "protected by a password"),
        (files.scanned_pdf, PDF, "text recognition"),
        (lambda: b"%PDF-1.4 broken", PDF, "isn't a PDF"),
        (lambda: files.docx_file(password=True), DOCX, "protected by a password"),
        (lambda: b"PK\x03\x04 broken", DOCX, "isn't a Word document"),
        (lambda: b"plain", DOCX, "isn't a Word document"),
        (lambda: b"\xff\xfe\x00\xd8\x00", "text/plain", "encoding is broken"),
        (lambda: b"\xef\xbb\xbf\xff", "text/plain", "encoding is broken"),
        (lambda: b"MZ\0\0binary", "text/plain", "isn't text"),
        (lambda: bytes(range(128, 256)) * 9 + b"\0", "text/plain", "isn't text"),
        (lambda: b" \n ", "text/markdown", "no text"),
        (lambda: b"<script>alert(1)</script>", HTML, "no text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(make: Callable[[], bytes], content_type: str, words: str) -> None:
    assert words in refusal(make(), content_type)


# --- Hostile files ---------------------------------------------------------------------------------


class Peak(threading.Thread):
    """Looks, until left, at how much memory the process that reads a document has taken at most, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self.left = 0, threading.Event()

    def run(self) -> None:
        while not self.left.wait(0.02):
            children = " ".join(each.read_text() for each in Path("/proc/self/task").glob("*/children")).split()
            for child in children:
                with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                    if b"knowledge.extraction" in Path(f"/proc/{child}/cmdline").read_bytes():
                        status = Path(f"/proc/{child}/status").read_text()
                        found = re.search(r"VmHWM:\s+(\d+) kB", status)
                        self.bytes = max(self.bytes, int(found[1]) * 1024 if found else 0)

    def __enter__(self) -> "Peak":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.left.set()
        self.join()


def bounded(content: bytes, content_type: str, settings: Any, seconds: int = 15) -> str:
    """Read a hostile file, and return what its refusal says, or its text; soon, and in little memory."""
    settings.EXTRACTION_MEMORY_BYTES = 512 * 2**20
    settings.EXTRACTION_SECONDS = seconds
    begin = time.monotonic()
    with Peak() as peak:
        try:
            answer = read(content, content_type).text
        except UnreadableError as error:
            answer = str(error)
    assert time.monotonic() - begin < 40
    assert peak.bytes < 600 * 2**20
    return answer


def test_the_process_that_reads_is_looked_at() -> None:
    with Peak() as peak:
        read(b"<p>text" * 100_000, HTML)
    assert peak.bytes > 2**20


def test_a_zip_bomb_is_not_unpacked(settings: Any) -> None:
    assert "isn't opened" in bounded(files.zip_bomb(), DOCX, settings)


def test_an_entity_bomb_is_not_expanded(settings: Any) -> None:
    answer = bounded(files.entity_bomb(), DOCX, settings)
    assert len(answer) < 1000
    assert "haha" not in answer


def test_a_pdf_of_10_000_pages_is_read(settings: Any) -> None:
    answer = bounded(files.pdf_file(*(f"This is page {number}." for number in range(1, 10_001))), PDF, settings)
    assert answer.count("\f") == 9_999
    assert answer.endswith("This is page 10000.")


def test_50_mb_of_one_line_are_too_long(settings: Any) -> None:
    assert "more than 5,000,000 characters" in bounded(b"x" * 50 * 2**20, "text/markdown", settings)


def test_html_nested_without_end_is_read(settings: Any) -> None:
    assert bounded(b"<div>" * 10_000 + b"deep", HTML, settings) == "deep"
    # What a parser takes for it grows with the square of the depth: this ends as a text or a refusal, but ends.
    assert bounded(b"<div>" * 200_000 + b"deep", HTML, settings, seconds=3)


@pytest.mark.parametrize(
    "text",
    [
        "<!--\n" * 50_000,
        "---\na:" + "\n#" * 60_000,
        "---\n" * 9 + "a: " * 50_000,
        f"---\n{chr(10) * 30_000}1\n---\n",
        f"---\na{' ' * 60_000}1\n---\n",
        f"---\na: b\ntitle:{' ' * 60_000}\n---\nx",
        f"+++\na = {'[' * 60_000}\n+++\nx",
        "> " * 50_000 + "x",
        "[" * 100_000,
        "*a_ " * 100_000,
        "# " + "`" * 100_000,
        "- " * 50_000,
    ],
    ids=range(12),
)
def test_markdown_made_to_be_slow_ends(text: str, settings: Any) -> None:
    assert "more time" not in bounded(text.encode(), MARKDOWN, settings)


def test_what_takes_too_long_is_stopped(settings: Any) -> None:
    settings.EXTRACTION_SECONDS = 1
    content = files.pdf_file(*("word " * 400 for _ in range(10_000)))
    begin = time.monotonic()
    assert "more time or memory" in refusal(content, PDF)
    assert time.monotonic() - begin < 30


def test_the_reader_knows_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "python"
    report = "json.dumps({'text': str(dict(os.environ)), 'title': '', 'headings': []})"
    program.write_text(f"#!{sys.executable}\nimport json, os\nprint({report})\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("SECRET_KEY", "hush")
    told = read(b"<p>x", HTML).text
    assert "PYTHONUTF8" in told
    assert "hush" not in told


def test_the_reader_writes_no_files(tmp_path: Path) -> None:
    probe = "from knowledge.extraction.__main__ import confine; confine(2**30, 5); open('probe', 'wb', 0).write(b'x')"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, env={"PYTHONPATH": str(settings.BASE_DIR)}, check=False
    )
    assert done.returncode != 0
    assert (tmp_path / "probe").read_bytes() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux's")
def test_the_reader_gains_no_privileges() -> None:
    probe = (
        "from knowledge.extraction.__main__ import confine; confine(2**30, 5); print(open('/proc/self/status').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={"PYTHONPATH": str(settings.BASE_DIR)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "NoNewPrivs:\t1\n" in done.stdout


def test_bytes_that_are_no_file_of_any_kind_never_pass_for_one() -> None:
    noise = io.BytesIO(bytes(range(256)) * 64).getvalue()
    for content_type in (PDF, DOCX, "text/plain"):
        assert refusal(noise, content_type)
