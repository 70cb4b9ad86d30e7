"""The headings of a text: of Markdown and reStructuredText as their rules say, of others those that reading found."""

import re
from itertools import pairwise
from typing import Any

from knowledge.extraction.base import DOCX, HTML, MARKDOWN, PAGE, RST, XHTML, Heading, one_line
from knowledge.extraction.frontmatter import front_matter

MADE = frozenset({HTML, XHTML, DOCX})  # whose extracted text is Markdown as extraction.markup writes it
MARKED_UP = MADE | {MARKDOWN}
NEWLINE = re.compile(r"\r\n?|\n")  # as CommonMark has it
ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*")
MOST_LEVELS = 6
# What generators take out of a heading: {#id}, {.class}, {: #id}.
ATTRIBUTES = re.compile(r"\s*\{[#.:][^{}]*\}\s*$")


def markdown(text: str, *, made: bool = False) -> list[Heading]:
    """Return the headings of a Markdown text (CommonMark 0.31), but for those within lists, quotes and comments.

    Where the text is ``made`` of a file that isn't Markdown, a heading's words are what they look like.
    """
    from markdown_it import MarkdownIt

    skipped, _ = (0, "") if made else front_matter(text)
    text = text[skipped:]
    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    parser.block.ruler.disable(["reference", "html_block"])
    parser.block.ruler.before("heading", "comment", _comment, {"alt": ["paragraph", "blockquote"]})
    inline = MarkdownIt("commonmark")
    starts = _lines(text)
    headings = []
    tokens = parser.parse(text)
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            first, last = opening.map
            start, end = starts[first], starts[last]
            words = text[start:end].lstrip("#") if made else _shown(inline, ATTRIBUTES.sub("", content.content))
            if title := one_line(words):
                headings.append(Heading(skipped + start, skipped + end, int(opening.tag[1:]), title))
    return headings


def _comment(state: Any, first: int, last: int, silent: bool) -> bool:
    """Skip the lines from one that begins a comment to that in which it ends (CommonMark 0.31, section 4.6, kind 2)."""
    start = state.bMarks[first] + state.tShift[first]
    if state.is_code_block(first) or not state.src.startswith("<!--", start):
        return False
    if not silent:
        line = first
        while line < last and "-->" not in state.src[start : state.eMarks[line]]:
            line += 1
            if line < last and not state.isEmpty(line) and state.sCount[line] < state.blkIndent:
                line -= 1  # with the item of a list, what begins in it ends
                break
            start = state.bMarks[line] if line < last else start
        state.line = min(line + 1, last)
    return True


def _shown(inline: object, text: str) -> str:
    """Return what a reader sees of a line of Markdown."""
    [token] = inline.parseInline(text)  # type: ignore[attr-defined]
    return "".join(child.content if child.type != "softbreak" else " " for child in token.children)


def restructured(text: str) -> list[Heading]:
    """Return the headings of a reStructuredText: lines underlined by punctuation; how says at which level."""
    starts = _lines(text)
    lines = [text[start:end].rstrip() for start, end in pairwise(starts)]
    styles: list[tuple[str, bool]] = []
    headings = []
    for number, (title, under) in enumerate(pairwise(lines)):
        found = ADORNMENT.fullmatch(under)
        if not found or not title.strip() or ADORNMENT.fullmatch(title) or len(under) < len(title.strip()):
            continue
        over = number > 0 and lines[number - 1] == under
        if number > 0 and not over and lines[number - 1].strip():
            continue  # the last line of a paragraph or table
        style = (found[1], over)
        if style not in styles:
            styles.append(style)
        level = min(styles.index(style) + 1, MOST_LEVELS)
        headings.append(Heading(starts[number - over], starts[number + 2], level, one_line(title)))
    return headings


def pages(text: str) -> list[Heading]:
    """Return the begins of pages, in a text that has form feeds between them."""
    if "\f" not in text:
        return []
    begins = [0, *(found.end() for found in re.finditer("\f", text))]
    return [Heading(start, start, 0, f"{PAGE} {number}") for number, start in enumerate(begins, 1)]


def outline(text: str, content_type: str) -> list[Heading]:
    """Return the headings of an extracted text in order; ``content_type`` is what it was extracted from."""
    if content_type in MARKED_UP:
        return markdown(text, made=content_type in MADE)
    return restructured(text) if content_type == RST else pages(text)


def _lines(text: str) -> list[int]:
    """Return where each line begins, and where the text ends, twice: a heading may be its last line."""
    return [0, *(found.end() for found in NEWLINE.finditer(text)), len(text), len(text)]
