"""Writing down what isn't Markdown as Markdown, so that no text in it passes for a heading, or hides those after it."""

import re

# What begins a heading, a fence or a comment, or underlines the line before as a heading (CommonMark 0.31, 4.2 to 4.6).
MEANT = re.compile(r" {0,3}(?:#{1,6}(?:\s|$)|```|~~~|<!--|(?:-+|=+)\s*$)")
FENCES = re.compile("`{3,}")


def escaped(text: str) -> str:
    """Return a text whose lines begin nothing in Markdown but paragraphs and lists."""
    return "\n".join(f"\\{line}" if MEANT.match(line) else line for line in text.split("\n"))


def fenced(code: str) -> str:
    """Return a block of code between fences that are longer than any in it."""
    fence = "`" * max((len(found) + 1 for found in FENCES.findall(code)), default=3)
    return f"{fence}\n{code}\n{fence}"


def heading_line(text: str, level: int) -> str:
    """Return a heading of one line. Its words stand as they are: nothing in them is Markdown."""
    return f"{'#' * level} {text}"
