"""Splitting a text into chunks that follow its headings, paragraphs and sentences, and fit a model.

Below the headings, semantic-text-splitter takes the largest whole units (paragraphs, sentences, words) that fit.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from knowledge.extraction.base import MARKDOWN, Heading, essence
from knowledge.extraction.frontmatter import front_matter
from knowledge.extraction.outline import MARKED_UP
from knowledge.models.chunks import MOST_CHARACTERS, passage

LONGEST_TOKEN = 16  # characters that count as one token at least: some models take a word of any length for one
SMALL = 8  # a section of less than this part of a chunk joins the next
AT_ONCE = 200_000  # characters split together: what splitting takes grows faster than the text


@dataclass(frozen=True)
class Piece:
    """A passage: ``text`` is the document's text from ``start`` to ``end``, in characters."""

    heading_path: list[str]
    start: int
    end: int
    text: str
    token_count: int


@dataclass(frozen=True)
class Section:
    """What stands under one heading: the heading begins at ``start``, what it is over at ``body``."""

    path: tuple[str, ...]
    start: int
    body: int
    end: int


def split(
    text: str,
    *,
    title: str,
    headings: Sequence[Heading],
    content_type: str,
    size: int,
    overlap: int,
    count_tokens: Callable[[str], int],
) -> Iterator[Piece]:
    """Yield the passages of a text in order. One without a letter or digit there is only where the text has none.

    ``size`` is the most tokens of a passage and the headings before it, but that half of it is for the passage however
    long those are. ``overlap`` is how many a passage may repeat of the one before it under the same heading.
    """
    longest = min(LONGEST_TOKEN, MOST_CHARACTERS // (size + 1))

    def count(part: str) -> int:
        return max(count_tokens(part), len(part) // longest)

    markup = essence(content_type) in MARKED_UP
    begin = front_matter(text)[0] if essence(content_type) == MARKDOWN else 0
    pages = [heading for heading in headings if heading.level == 0]
    begins = [page.start for page in pages]
    longest_name = max((page.text for page in pages), key=len, default="")
    digits = sum(map(str.isdigit, longest_name))  # each may be a token in some page's name
    signs: list[Piece] = []
    spoken = False
    for section in _joined(_sections(text, title, headings, begin), text, size // SMALL, size, count):
        prefix = count(passage([*section.path, *filter(None, [longest_name])], "")) + digits
        capacity = max(size - prefix, size // 2)
        splitter = _splitter(markup, count, capacity, min(overlap, capacity // 2))
        for start, end in _whole(_parts(splitter, text, section), text, count, capacity):
            on = bisect_right(begins, start)  # the page that it begins on, where there are pages
            path, part = [*section.path, *(page.text for page in pages[max(on - 1, 0) : on])], text[start:end]
            piece = Piece(path, start, end, part, max(count_tokens(part), 1))
            if _speaks(part):
                spoken = True
                yield piece
            elif not spoken:
                signs.append(piece)
    if not spoken:
        yield from signs


def _splitter(markup: bool, count: Callable[[str], int], capacity: int, overlap: int) -> Any:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter  # which only workers need

    kind = MarkdownSplitter if markup else TextSplitter
    return kind.from_callback(count, capacity, overlap=overlap)


def _parts(splitter: Any, text: str, section: Section) -> Iterator[tuple[int, str]]:
    start = section.body
    while start < section.end:
        end = min(start + AT_ONCE, section.end)
        if end < section.end:
            end = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end)) + 1 or end
        for offset, part in splitter.chunk_indices(text[start:end]):
            yield start + offset, part
        start = end


def _whole(
    parts: Iterator[tuple[int, str]], text: str, count: Callable[[str], int], capacity: int
) -> Iterator[tuple[int, int]]:
    """Yield where each part begins and ends.

    One that says nothing, such as the line that ends code, is joined to the one before or after it. Where it fits
    neither, it is left out: nobody looks for it.
    """
    before: tuple[int, int] | None = None
    mute: list[tuple[int, int]] = []  # what waits for the next one
    for start, part in parts:
        end = start + len(part)
        if not _speaks(part):
            if before and not mute and count(text[before[0] : end]) <= capacity:
                before = before[0], end
            else:
                mute.append((start, end))
            continue
        for left, _ in reversed(mute):
            if count(text[min(left, start) : end]) > capacity:
                break
            start = min(left, start)
        if before:
            yield before
        before, mute = (start, end), []
    if before:
        yield before
    else:
        yield from mute


def _speaks(part: str) -> bool:
    """Tell whether a text has a letter or a digit."""
    return any(map(str.isalnum, part))


def _sections(text: str, title: str, headings: Sequence[Heading], begin: int) -> Iterator[Section]:
    """Yield the sections from a character on, in order.

    A path begins with the title, which the same words at the top don't repeat.
    """
    above: list[Heading] = []
    start, body = begin, begin
    parting = [heading for heading in headings if heading.level]
    for heading in chain(parting, [None]):
        end = heading.start if heading else len(text)
        names = [each.text for each in above]
        if names and names[0] == title:
            names = names[1:]
        if end > start:
            yield Section((title, *names), start, body, end)
        if heading:
            above = [each for each in above if each.level < heading.level] + [heading]
            start, body = heading.start, heading.end


def _joined(
    sections: Iterator[Section], text: str, small: int, size: int, count: Callable[[str], int]
) -> Iterator[Section]:
    """Join sections too small to be found by what they say with those that follow, under what they share of a path.

    One that has nothing under its heading stands for its heading, unless what follows stands under that too.
    """
    waiting: Section | None = None
    bare = False  # whether what waits is a heading alone
    for section in sections:
        if waiting is not None and not (bare and section.path[: len(waiting.path)] == waiting.path):
            together = Section(_shared(waiting.path, section.path), waiting.start, waiting.start, section.end)
            if count(text[together.start : together.end]) <= size * 3 // 4:
                section = together
            else:
                yield waiting
        bare = not text[section.body : section.end].strip()
        if bare:
            section = Section(section.path, section.start, section.start, section.end)
        waiting = None
        if count(text[section.body : section.end]) < small:
            waiting = section
        else:
            yield section
    if waiting is not None and text[waiting.start : waiting.end].strip():
        yield waiting


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    shared = []
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared.append(left)
    return tuple(shared)
