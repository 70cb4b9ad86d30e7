"""DOCX (ECMA-376): paragraphs, lists and tables in order, with headings as Markdown writes them.

The text is what a reader of the finished document would have: with insertions under track changes, without deletions;
with content controls, fields' results, text boxes and formulas. A note stands after the paragraph that refers to it,
and so under its heading. Tables of contents are left out, since they repeat the headings.
"""

import io
import re
import zipfile
from typing import Any

from knowledge.extraction.base import Text, UnreadableError, one_line
from knowledge.extraction.markup import escaped, heading_line

MOST_PARTS = 10_000
MOST_UNPACKED = 200 * 1024 * 1024  # bytes of all parts; one of text alone is some 40 times smaller
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # what encrypted files and the formats before 2007 begin with
HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
CONTENTS = re.compile(r"toc [1-9]", re.IGNORECASE)
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
ALTERNATE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
TEXTS = frozenset({f"{W}t", f"{MATH}t"})
SIGNS = {f"{W}tab": "\t", f"{W}ptab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
REFERENCES = {f"{W}footnoteReference": "footnote", f"{W}endnoteReference": "endnote"}
# Properties, what track changes took away, the codes of fields, and the readings above a word.
OMITTED = frozenset(
    f"{W}{name}"
    for name in (
        "pPr", "rPr", "tblPr", "tblPrEx", "tblGrid", "trPr", "tcPr", "sdtPr", "sdtEndPr", "sectPr",
        "del", "moveFrom", "delText", "instrText", "delInstrText", "rt",
    )
)  # fmt: skip


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
        blocks = _Reader(document).blocks(document.element.body)
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
    if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
        raise UnreadableError(f"It unpacks to more than {MOST_UNPACKED // 1024**2} MB, and isn't opened.")


class _Reader:
    """Goes through a document's elements. Their depth is bounded by the XML parser, and so is the recursion here."""

    def __init__(self, document: Any) -> None:
        self.styles = {style.styleId: style.name_val or "" for style in document.styles.element.style_lst}
        self.in_row = False
        self.notes = {(kind, key): note for kind in REFERENCES.values() for key, note in _notes(document, kind)}

    def blocks(self, container: Any) -> list[str]:
        """Return the blocks of text in an element that holds paragraphs and tables, however wrapped."""
        found: list[str] = []
        for child in container:
            if child.tag == f"{W}p":
                found += self.paragraph(child)
            elif child.tag == f"{W}tbl":
                found += self.table(child)
            elif child.tag == ALTERNATE:
                found += self.blocks(child[:1])  # the same again follows, for programs that don't know this
            elif child.tag not in OMITTED:
                found += self.blocks(child)
        return found

    def paragraph(self, element: Any) -> list[str]:
        """Return a paragraph, and after it the text boxes anchored in it and the notes that it refers to."""
        style = self.styles.get(element.style or "", "")
        if CONTENTS.fullmatch(style):
            return []
        words: list[str] = []
        asides: list[str] = []
        self.gather(element, words, asides)
        text = "".join(words).strip()
        text = one_line(text) if self.in_row else _block(text, style)
        return [text, *asides] if text else asides

    def gather(self, element: Any, words: list[str], asides: list[str]) -> None:
        """Add the words within an element, and the blocks that stand beside them."""
        for child in element:
            tag = child.tag
            if tag in TEXTS:
                words.append(child.text or "")
            elif tag in SIGNS:
                words.append(SIGNS[tag])
            elif tag == f"{W}txbxContent":
                asides += self.blocks(child)
            elif tag in REFERENCES:
                note = self.notes.pop((REFERENCES[tag], child.get(f"{W}id")), None)
                asides += self.blocks(note) if note is not None else []
            elif tag == ALTERNATE:
                self.gather(child[:1], words, asides)
            elif tag not in OMITTED:
                self.gather(child, words, asides)

    def table(self, element: Any) -> list[str]:
        """Return a table as one block with a line a row; where a row is one cell, what that holds, block by block."""
        found: list[str] = []
        lines: list[str] = []
        merged: dict[int, str] = {}
        for row in _within(element, f"{W}tr"):
            cells = _within(row, f"{W}tc")
            if len(cells) == 1:
                found += self.rows(lines)
                lines = []
                found += self.blocks(cells[0])
            else:
                lines.append(self.row(cells, merged))
        return found + self.rows(lines)

    def rows(self, lines: list[str]) -> list[str]:
        """Return lines of a table as one block."""
        text = "\n".join(filter(None, lines))
        return [text if self.in_row else escaped(text)] if text else []

    def row(self, cells: list[Any], merged: dict[int, str]) -> str:
        """Return a row's line. A cell over several rows is in each; ``merged`` has their text by column."""
        texts = []
        column = 0
        for cell in cells:
            continued = cell.tcPr is not None and cell.tcPr.vMerge_val == "continue"
            text = merged.get(column, "") if continued else self.cell(cell)
            merged[column] = text
            texts.append(text)
            column += cell.grid_span
        return " | ".join(texts) if any(texts) else ""

    def cell(self, element: Any) -> str:
        """Return what a cell of several in a row holds, on one line: headings and lists in it are but its words."""
        outer, self.in_row = self.in_row, True
        text = one_line(" ".join(self.blocks(element)))
        self.in_row = outer
        return text


def _notes(document: Any, kind: str) -> list[tuple[str, Any]]:
    """Return the footnotes or endnotes by their ids."""
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.oxml.parser import parse_xml

    wanted = {"footnote": RELATIONSHIP_TYPE.FOOTNOTES, "endnote": RELATIONSHIP_TYPE.ENDNOTES}[kind]
    parts = [each.target_part for each in document.part.rels.values() if each.reltype == wanted]
    return [(note.get(f"{W}id"), note) for part in parts for note in parse_xml(part.blob) if note.tag == f"{W}{kind}"]


def _within(element: Any, tag: str) -> list[Any]:
    """Return the rows of a table or the cells of a row, which may be wrapped in content controls and the like."""
    found = []
    for child in element:
        if child.tag == tag:
            found.append(child)
        elif child.tag not in OMITTED:
            found += _within(child, tag)
    return found


def _block(text: str, style: str) -> str:
    if not text:
        return ""
    if found := HEADING.match(style):
        return heading_line(one_line(text), min(int(found[1]), 6))
    if style == "Title":
        return heading_line(one_line(text), 1)
    return f"- {escaped(text)}" if style.startswith("List") else escaped(text)
