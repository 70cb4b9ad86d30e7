"""The documentation's blocks of code: what they are, and how to follow the edits that they tell of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

MARK = re.compile(r"<!-- (page )?(run by|not run:) (.+?) -->")
COMMANDS = ("bash", "python", "sql")


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        page: the page's file.
        line: where it begins, counted from 1.
        language: what the fence says of it; empty for an indented block.
        argument: what the fence says besides: the file that the block is about.
        text: what it holds.
        elsewhere: what runs it, or why nothing does, where a comment above it or on the page says so.
    """

    page: Path
    line: int
    language: str
    argument: str
    text: str
    elsewhere: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, heading: str = "") -> Iterator[Block]:
    """Yield the blocks of a page; of one section alone where a heading is given."""
    inside, whole_page, next_one = not heading, None, None
    tokens = MarkdownIt().parse(page.read_text())
    for number, token in enumerate(tokens):
        if token.type == "heading_open" and heading and token.tag <= "h2":
            inside = tokens[number + 1].content == heading
        elif token.type == "html_block" and (mark := MARK.match(token.content)):
            elsewhere = f"{mark[2]} {mark[3]}"
            whole_page, next_one = (elsewhere, None) if mark[1] else (whole_page, elsewhere)
        elif token.type in ("fence", "code_block"):
            assert token.map
            language, _, argument = token.info.strip().partition(" ")
            if inside:
                yield Block(page, token.map[0] + 1, language, argument, token.content, next_one or whole_page)
            next_one = None


def follow(block: Block, root: Path) -> None:
    """Do what a block says of a file below a folder: make it, or change it as a diff without line numbers tells.

    Raises:
        LookupError: the file isn't as the diff has it.
    """
    path = root / block.argument
    if block.language != "diff":
        assert not path.exists(), f"{path} is there already."
        path.write_text(block.text)
        return
    lines = block.text.splitlines()
    before = [line[1:] for line in lines if not line.startswith("+")]
    after = [line[1:] for line in lines if not line.startswith("-")]
    there = path.read_text().splitlines()
    places = [at for at in range(len(there)) if there[at : at + len(before)] == before]
    if not places:
        raise LookupError(f"{block}: {block.argument} isn't like this any more.")
    there[places[0] : places[0] + len(before)] = after
    path.write_text("\n".join(there) + "\n")
