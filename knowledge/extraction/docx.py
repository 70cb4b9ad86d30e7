"""DOCX (ECMA-376): paragraphs, lists and tables in order, with headings as Markdown writes them."""

import io
import re
import zipfile
from typing import Any

from knowledge.extraction.base import Text, UnreadableError, one_line
from knowledge.extraction.html import MARKUP

MOST_PARTS = 10_000
MOST_UNPACKED = 200 * 1024 * 1024  # bytes of all parts; one of text alone is some 40 times smaller
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # what encrypted files and the formats before 2007 begin with
HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)


def read(content: bytes) -> Text:
    """Return the document's text and the title that it states.

    Raises:
        UnreadableError: it is no DOCX, wants a password, or unpacks to more than is sound.
    """
    _check(content)
    from docx import Document
    from docx.opc.exceptions import OpcError

    try:
        document = Document(io.BytesIO(content))
        blocks = [block for each in document.iter_inner_content() if (block := _block(each))]
        title = document.core_properties.title
    except (OpcError, zipfile.BadZipFile, SyntaxError, KeyError, ValueError) as error:
        # A SyntaxError is lxml's, of XML.
        raise UnreadableError("It isn't a Word document (DOCX), or it is broken.") from error
    return Text("\n\n".join(blocks), one_line(title or ""))


def _check(content: bytes) -> None:
    """Refuse what isn't to be unpacked, by its table of contents alone; none of its parts unpacks to more than that."""
    if content.startswith(OLE):
        raise UnreadableError(
            "It is protected by a password, or in Word's old format. Save it as DOCX without a password."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        # A NotImplementedError is zipfile's, of an archive of a later format.
        raise UnreadableError("It isn't a Word document (DOCX), or it is broken.") from error
    if "word/document.xml" not in {part.filename for part in parts}:
        raise UnreadableError("It isn't a Word document (DOCX): it has no “word/document.xml”.")
    if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
        raise UnreadableError(f"It unpacks to more than {MOST_UNPACKED // 1024**2} MB, and isn't opened.")


def _block(block: Any) -> str:
    from docx.table import Table

    if isinstance(block, Table):
        return "\n".join(filter(None, map(_row, block.rows)))
    text = block.text.strip()
    style = (block.style.name or "") if block.style is not None else ""
    if not text:
        return ""
    if found := HEADING.match(style):
        return f"{'#' * min(int(found[1]), 6)} {one_line(text)}"
    if style == "Title":
        return f"# {one_line(text)}"
    if style.startswith("List"):
        return f"- {text}"
    return "\n".join(f"\\{line}" if MARKUP.match(line) else line for line in text.split("\n"))


def _row(row: Any) -> str:
    cells: list[str] = []
    last = None
    for cell in row.cells:
        if cell._tc is not last:  # a cell over several columns comes once for each
            cells.append(one_line(cell.text))
        last = cell._tc
    return " | ".join(cells) if any(cells) else ""
