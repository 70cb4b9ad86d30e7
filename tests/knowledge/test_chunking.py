"""Splitting: passages follow headings and sentences, are spans of the text, and lose none of it."""

import re
from itertools import pairwise
from typing import Any

import pytest

from knowledge.embedders import embedder
from knowledge.models.chunks import MOST_CHARACTERS, passage
from knowledge.services.chunking import split
from tests.knowledge import reading


def pieces(text: str, content_type: str = "text/markdown", **options: Any) -> list[Any]:
    headings = reading.read_again(content_type, text).headings
    count = embedder("all-MiniLM-L6-v2").count_tokens
    options = {"title": "Manual", "size": 254, "overlap": 32, "count_tokens": count} | options
    return list(split(text, headings=headings, content_type=content_type, **options))


def test_pieces_follow_headings_and_are_spans_of_the_text() -> None:
    body = "Check each valve in spring, and turn it by hand until it moves without force. " * 6
    text = f"# Manual\n\n{body}\n\n## Valves\n\n{body}\n\n## Pumps\n\n### Oil\n\n{body}"
    found = pieces(text)
    assert [piece.heading_path for piece in found] == [["Manual"], ["Manual", "Valves"], ["Manual", "Pumps", "Oil"]]
    assert all(text[piece.start : piece.end] == piece.text for piece in found)
    assert all(piece.text.startswith("Check each valve") for piece in found)


def test_sections_of_a_few_words_stand_together_under_what_they_share() -> None:
    [piece] = pieces("# Manual\n\n## One\n\nShort.\n\n## Two\n\nShort too.\n")
    assert piece.heading_path == ["Manual"]
    assert "## One" in piece.text
    assert piece.text.endswith("Short too.")


def test_what_stands_before_markdown_is_in_no_piece() -> None:
    text = "---\ntitle: Manual\ntags: [a, b]\n---\n\nShort.\n\n## One\n\nShort too.\n"
    [piece] = pieces(text)
    assert piece.text == "Short.\n\n## One\n\nShort too."
    assert text[piece.start : piece.end] == piece.text


def test_a_heading_with_nothing_under_it_is_not_lost() -> None:
    assert "Empty" in "".join(piece.text for piece in pieces("# Manual\n\n## Empty\n"))


def code(lines: int) -> str:
    return "\n".join(f"value_{number} = compute({number})" for number in range(lines))


TABLE = "\n".join(f"| row {number} | {number * 7} |" for number in range(90))


@pytest.mark.parametrize("size", [40, 64, 100, 254])
@pytest.mark.parametrize(
    "text",
    [
        *(f"Before.\n\n```\n{code(lines)}\n```\n" for lines in range(4, 30, 5)),
        *(f"```python\n{code(lines)}\n```\n\nAfter it comes a text. {'And more. ' * 60}" for lines in range(4, 30, 5)),
        f"Before.\n\n|  |  |\n|--|--|\n{TABLE}\n\n***\n\n---\n",
        f"One.\n\n{'. ' * 900}\n\nTwo.",
        f"# A\n\n{'Text of it. ' * 40}\n\n## B\n\n***\n\n## C\n\n{'Text of it. ' * 40}\n\n## D\n\n```\n```\n",
    ],
)
def test_no_piece_is_signs_alone_and_no_word_is_lost(text: str, size: int) -> None:
    found = pieces(text, size=size)
    assert all(any(map(str.isalnum, piece.text)) for piece in found)
    assert all(text[piece.start : piece.end] == piece.text for piece in found)
    assert max(piece.token_count for piece in found) <= size
    assert [piece.start for piece in found] == sorted({piece.start for piece in found})
    covered = {at for piece in found for at in range(piece.start, piece.end)}
    headings = {at for found in re.finditer(r"^#.*$", text, re.MULTILINE) for at in range(*found.span())}
    assert not [text[at] for at in range(len(text)) if text[at].isalnum() and at not in covered | headings]


def test_a_closing_fence_stays_with_its_code() -> None:
    [piece] = pieces(f"```\n{code(4)}\n```\n")
    assert piece.text.endswith("```")


def test_a_text_of_signs_alone_is_kept() -> None:
    assert [piece.text for piece in pieces("# Manual\n\n???\n")] == ["???"]
    assert len(pieces(". " * 2_000)) > 1


@pytest.mark.parametrize("size", [64, 254])
@pytest.mark.parametrize(
    "text",
    [
        "One sentence ends here. Another one begins, and it is longer than the first. " * 60,
        "x" * 30_000,
        "word " * 6_000,
        "Über größere Öffnungen 🙂 fließt mehr. " * 200,
        "\n\n".join(f"- item {number} of the list" for number in range(800)),
    ],
    ids=["sentences", "one word", "one line", "unicode", "list"],
)
def test_no_piece_is_larger_than_the_model_reads_and_none_of_the_text_is_lost(text: str, size: int) -> None:
    count = embedder("all-MiniLM-L6-v2").count_tokens
    found = pieces(text, size=size)
    assert all(text[piece.start : piece.end] == piece.text for piece in found)
    assert max(piece.token_count for piece in found) <= size
    assert max(len(piece.text) for piece in found) <= 16 * (size + 1)
    assert all(piece.token_count == max(count(piece.text), 1) for piece in found[:20])
    covered = set()
    for piece in found:
        covered.update(range(piece.start, piece.end))
    assert not "".join(text[at] for at in range(len(text)) if at not in covered).strip()


PAGES = "\f" * 1000 + "\f".join(
    "One sentence ends here. Another one begins, and it is longer. " * 12 for _ in range(99)
)


@pytest.mark.parametrize(
    ("title", "content_type", "text"),
    [
        ("Manual", "text/plain", PAGES),
        ("A title of " + "many words " * 21 + "x", "text/plain", PAGES),
        ("设计手册" * 100, "text/plain", PAGES),
        ("Руководство по обслуживанию " * 20, "text/plain", PAGES),
        ("设计手册", "text/markdown", f"# {'第一章' * 9}\n\n## {'第二章' * 40}\n\n{'检查每个阀门。' * 200}"),
    ],
    ids=range(5),
)
def test_no_passage_with_its_headings_is_larger_than_the_model_reads(title: str, content_type: str, text: str) -> None:
    count = embedder("all-MiniLM-L6-v2").count_tokens
    assert max(count(passage(each.heading_path, each.text)) for each in pieces(text, content_type, title=title)) <= 254


def test_a_piece_is_on_the_page_where_it_begins() -> None:
    found = pieces(PAGES, "text/plain")
    assert len({piece.heading_path[1] for piece in found}) > 50
    for piece in found:
        assert piece.heading_path == ["Manual", f"Page {PAGES.count(chr(12), 0, piece.start) + 1}"]


def test_the_largest_pieces_can_be_stored() -> None:
    found = pieces("x" * 300_000, "text/plain", size=8192)
    assert MOST_CHARACTERS // 2 < max(len(piece.text) for piece in found) <= MOST_CHARACTERS


def test_pieces_break_between_sentences_and_overlap_by_whole_ones() -> None:
    text = " ".join(f"Sentence number {number} says a little about valves." for number in range(120))
    found = pieces(text)
    assert all(piece.text.endswith(".") and piece.text.startswith("Sentence") for piece in found)
    assert all(later.start < earlier.end for earlier, later in pairwise(found))
