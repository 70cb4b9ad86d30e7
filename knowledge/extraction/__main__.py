"""Reads a file from standard input and writes its text and headings as JSON to standard output.

Arguments: the media type, with the charset where that was declared; the language (ISO 639-1) or ``und``; the most
characters a text may have; the bytes of memory and the seconds of processor time that may be taken; and ``text`` where
the input is a text that was extracted before, of which only the headings are wanted.
"""

import ctypes
import json
import resource
import sys
from dataclasses import asdict

from knowledge.extraction import docx, html, outline, pdf, plain
from knowledge.extraction.base import (
    DOCX,
    HTML,
    MARKDOWN,
    PDF,
    XHTML,
    Extracted,
    Text,
    UnreadableError,
    cleaned,
    essence,
    too_long,
)
from knowledge.extraction.frontmatter import front_matter

PR_SET_NO_NEW_PRIVS = 38  # prctl(2)


def main(
    content_type: str, language: str, most_characters: int, memory: int, seconds: int, *, extracted: bool
) -> dict[str, object]:
    """Return what is to be written: an ``Extracted``, or an ``error``."""
    confine(memory, seconds)
    content = sys.stdin.buffer.read()
    try:
        return asdict(read(content, content_type, language, most_characters, extracted=extracted))
    except UnreadableError as error:
        return {"error": str(error)}
    except (MemoryError, RecursionError):
        return {"error": "Reading it takes more memory than is allowed."}


def read(content: bytes, content_type: str, language: str, most_characters: int, *, extracted: bool) -> Extracted:
    """Return the text, title and headings of a file, or of a text that was ``extracted`` before.

    Raises:
        UnreadableError: the file can't be read.
    """
    charset = plain.charset_of(content_type)
    content_type = essence(content_type)
    found = (
        Text(content.decode())
        if extracted
        else read_file(content, content_type, most_characters, charset=charset, language=language)
    )
    text = _checked(found.text if extracted else cleaned(found.text), most_characters)
    headings = outline.outline(text, content_type)
    title = found.title or (front_matter(text)[1] if content_type == MARKDOWN else "")
    title = title or next((heading.text for heading in headings if heading.level == 1), "")
    return Extracted(text, cleaned(title), headings)


def _checked(text: str, most_characters: int) -> str:
    if len(text) > most_characters:
        raise too_long(most_characters)
    if not text.strip():
        raise UnreadableError("It has no text.")
    return text


def confine(memory: int, seconds: int) -> None:
    """Bound what this process may take: memory, processor time, nothing written to files, no privileges gained."""
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read_file(content: bytes, content_type: str, most_characters: int, *, charset: str, language: str) -> Text:
    """Return the text of a file of any known type. ``charset`` and ``language`` tell its encoding, where it has one."""
    if content_type == PDF:
        return pdf.read(content, most_characters)
    if content_type == DOCX:
        return docx.read(content)
    if content_type in (HTML, XHTML):
        return html.read(content, charset, language)
    if content_type.startswith("text/"):
        return Text(plain.decode(content, charset, language))
    raise UnreadableError(f"Nothing here reads {content_type}.")


if __name__ == "__main__":
    kind, spoken, characters, bytes_, cpu, *rest = sys.argv[1:]
    answer = main(kind, spoken, int(characters), int(bytes_), int(cpu), extracted=rest == ["text"])
    sys.stdout.buffer.write(json.dumps(answer).encode())
