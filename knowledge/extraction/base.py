"""What every format's reader answers with, and how one refuses."""

from dataclasses import dataclass, field

MARKDOWN = "text/markdown"
HTML = "text/html"
XHTML = "application/xhtml+xml"
RST = "text/x-rst"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PAGE = "Page"  # and its number: what the heading of a page is


class UnreadableError(Exception):
    """The file can't be read, and never will be. The message tells people why, as a sentence."""


@dataclass(frozen=True)
class Text:
    """What a file says. ``title`` is the one that the file itself states, apart from its text; empty if none."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading in a text: of the characters from ``start`` to ``end``, 1 (the highest) to 6, or a page's begin.

    A page's heading stands between others and ends none of them: its level is 0, and it has no characters.
    """

    start: int
    end: int
    level: int
    text: str


@dataclass(frozen=True)
class Extracted:
    """A text and its headings, in order. ``title`` is the file's own: as it states it, or its first heading."""

    text: str
    title: str = ""
    headings: list[Heading] = field(default_factory=list)


def too_long(most_characters: int) -> UnreadableError:
    """Return the refusal of a text with more characters than are taken."""
    return UnreadableError(
        f"Its text has more than {most_characters:,} characters, which is the most that is taken. Split it."
    )


def essence(content_type: str) -> str:
    """Return a media type without its parameters, in lower case (WHATWG, MIME Sniffing, section 4.3)."""
    return content_type.partition(";")[0].strip().lower()


def cleaned(text: str) -> str:
    """Return the text without what PostgreSQL can't keep: null characters, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def one_line(text: str) -> str:
    """Return the text with each run of white space as one blank."""
    return " ".join(text.split())
