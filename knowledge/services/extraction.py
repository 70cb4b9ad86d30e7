"""Text and headings of a file, read in a process of its own: that of ``knowledge.extraction``.

It is given no environment, and so none of the secrets in it. The memory, processor time and time that it may take are
set, what it may write to files is nothing, and it gains no privileges by programs that it starts. So a file can't
exhaust the machine. It is no sandbox: a file that by a flaw of a library ran code of its own would run it as the
worker's user, could read what that user can, and reach the network. Where that matters, confine the worker itself.
"""

import json
import signal
import subprocess
import sys

from django.conf import settings

from knowledge.extraction.base import (
    DOCX,
    HTML,
    MARKDOWN,
    PDF,
    RST,
    XHTML,
    Extracted,
    Heading,
    UnreadableError,
    essence,
    too_long,
)
from knowledge.extraction.outline import MARKED_UP, pages
from knowledge.extraction.plain import charset_of, needs_charset

__all__ = [
    "Extracted",
    "Heading",
    "UnreadableError",
    "charset_of",
    "extract",
    "is_encoded",
    "is_readable",
    "needs_charset",
    "type_of",
]

OCTETS = "application/octet-stream"
BY_SUFFIX = {
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "html": HTML,
    "htm": HTML,
    "xhtml": XHTML,
    "pdf": PDF,
    "docx": DOCX,
    "rst": RST,
    "txt": "text/plain",
    "text": "text/plain",
    "log": "text/plain",
    "csv": "text/csv",
    "py": "text/x-python",
}
RTF = "application/rtf"
ALIASES = {
    "text/x-markdown": MARKDOWN,
    "text/restructuredtext": RST,
    "application/x-pdf": PDF,
    "text/rtf": RTF,
}
# What clients send where they don't know better: the name of the file tells more. On Windows with Office, browsers send
# its types for whatever its programs open.
VAGUE = frozenset(
    {
        "",
        OCTETS,
        "text/plain",
        "application/zip",
        "binary/octet-stream",
        "application/msword",
        "application/vnd.ms-excel",
    }
)
TOO_MUCH = "Reading it takes more time or memory than is allowed."


def is_encoded(content_type: str) -> bool:
    """Tell whether what a media type's documents are is text in some encoding."""
    return content_type.startswith("text/") or content_type == XHTML


def is_readable(content_type: str) -> bool:
    """Tell whether documents of this media type can be read."""
    return is_encoded(content_type) or content_type in (PDF, DOCX)


def type_of(*, declared: str, name: str, content: bytes) -> str:
    """Return the media type of a file, in lower case and without parameters.

    What the content plainly is counts first; then the declared type, unless that says nothing; then the file's name;
    then how the content begins.
    """
    if magic := _magic(content):
        return magic
    kind = essence(declared)
    kind = ALIASES.get(kind, kind)
    if kind not in VAGUE:
        return kind
    suffix = name.rpartition(".")[2].lower()
    if suffix in BY_SUFFIX:
        return BY_SUFFIX[suffix]
    if content[:1024].lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return HTML
    return kind or OCTETS


def _magic(content: bytes) -> str:
    """Return the media type of a file that begins as no text does and names itself; empty if it doesn't."""
    if content.startswith(b"%PDF-"):
        return PDF
    if content.startswith(b"{\\rtf"):
        return RTF
    return DOCX if content.startswith(b"PK\x03\x04") and b"word/document" in content else ""  # or document2.xml


def extract(*, content_type: str, original: bytes | None, text: str | None, language: str = "und") -> Extracted:
    """Return the text and headings of a file, or the headings of a text that is known already.

    ``content_type`` may have a charset; that and ``language``, the document's, tell in which encoding a text is.
    Not to be called in a transaction: it takes as long as ``EXTRACTION_SECONDS`` allows.

    Raises:
        UnreadableError: the file can't be read; the message tells people why.
    """
    known = text is not None
    if text is not None:
        if len(text) > settings.DOCUMENT_MAX_CHARACTERS:
            raise too_long(settings.DOCUMENT_MAX_CHARACTERS)
        if essence(content_type) not in (*MARKED_UP, RST):
            return Extracted(text, "", pages(text))  # nothing that a text could make difficult
    content = text.encode() if text is not None else original
    assert content is not None, "A version has an original or a text."
    command = [
        sys.executable,
        "-m",
        "knowledge.extraction",
        content_type,
        language,
        str(settings.DOCUMENT_MAX_CHARACTERS),
        str(settings.EXTRACTION_MEMORY_BYTES),
        str(settings.EXTRACTION_SECONDS),
        *(["text"] if known else []),
    ]
    try:
        done = subprocess.run(  # noqa: S603 (no shell; the arguments are ours but for a media type, which is checked)
            command,
            input=content,
            capture_output=True,
            cwd=settings.BASE_DIR,
            env={"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
            timeout=2 * settings.EXTRACTION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableError(TOO_MUCH) from error
    if done.returncode == 0:
        return _answer(done.stdout, text)
    if -done.returncode in (signal.SIGXCPU, signal.SIGKILL) or b"MemoryError" in done.stderr:
        raise UnreadableError(TOO_MUCH)
    raise UnreadableError("The file broke what reads it; it may be damaged.")


def _answer(output: bytes, text: str | None) -> Extracted:
    answer = json.loads(output)
    if error := answer.get("error"):
        raise UnreadableError(error)
    headings = [Heading(**each) for each in answer["headings"]]
    return Extracted(text if text is not None else answer["text"], answer["title"], headings)
