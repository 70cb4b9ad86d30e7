"""PDF: the text of its pages, each begun with a form feed but the first."""

import io
import math
import re
import sys
from collections import Counter
from typing import Any

from knowledge.extraction.base import Text, UnreadableError, one_line, too_long

LEADERS = re.compile(r"(?:[.·\u2024…][ \t\xa0]*){5,}")  # between a title and its page, in a table of contents
LOOKED_AT = 3_000  # characters of the first page, for its title
STANDS_OUT = 1.15  # times the size of most characters
LINES = 3  # of a title
LONGEST = 300  # characters


def read(content: bytes, most_characters: int) -> Text:
    """Return the text of all pages, and the title that the file states or else what is largest on its first page.

    Raises:
        UnreadableError: it wants a password, is broken, or has no text or too long a one.
    """
    import pypdfium2  # type: ignore[import-untyped]

    try:
        document = pypdfium2.PdfDocument(io.BytesIO(content))
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableError("It is protected by a password. Remove the protection and send it again.") from error
        raise UnreadableError("It isn't a PDF, or it is broken.") from error
    pages: list[str] = []
    length = -1  # of the pages with what parts them
    for number in range(len(document)):
        pages.append(_page(document, number))
        length += len(pages[-1]) + 1
        if length > most_characters:
            raise too_long(most_characters)
    if not any(page.strip() for page in pages):
        raise UnreadableError(
            "It has no text. Its pages may be scanned images: run text recognition (OCR) over it and send the result."
        )
    return Text("\f".join(pages), one_line(document.get_metadata_value("Title")) or _title(document))


def _page(document: Any, number: int) -> str:
    import pypdfium2

    try:
        page = document[number]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return ""  # one broken page among whole ones
    try:
        text: str = text_page.get_text_range()
    finally:
        text_page.close()
        page.close()
    # U+FFFE is where a word was hyphenated at a line's end.
    text = text.replace("\ufffe\r\n", "").replace("\ufffe", "").replace("\r\n", "\n").replace("\f", "\n")
    return LEADERS.sub("… ", text).strip()


def _title(document: Any) -> str:
    """Return the first lines of the largest text of the first page, if that stands out; empty if none does."""
    lines = _lines(document)
    sizes: Counter[float] = Counter()
    for size, line in lines:
        sizes[size] += len(line)
    named = [size for size, line in lines if sum(map(str.isalpha, line)) > 1]
    if not named or max(named) < STANDS_OUT * sizes.most_common(1)[0][0]:
        return ""
    first = next(at for at, (size, line) in enumerate(lines) if size == max(named) and any(map(str.isalpha, line)))
    title = []
    for size, line in lines[first : first + LINES]:
        if size != max(named):
            break
        title.append(line)
    return one_line(" ".join(title).replace("\ufffe", ""))[:LONGEST]


def _lines(document: Any) -> list[tuple[float, str]]:
    """Return the lines that the first page begins with, and the size of most of each one's characters, in half points.

    The size in which a font is set is scaled by the matrix that its text is drawn with.
    """
    import pypdfium2
    from pypdfium2 import raw

    try:
        page = document[0]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return []
    lines: list[tuple[Counter[float], list[str]]] = [(Counter(), [])]
    matrix = raw.FS_MATRIX()
    try:
        for at in range(min(text_page.count_chars(), LOOKED_AT)):
            character = chr(min(raw.FPDFText_GetUnicode(text_page.raw, at), sys.maxunicode))
            if character in "\r\n":
                lines.append((Counter(), []))
                continue
            raw.FPDFText_GetMatrix(text_page.raw, at, matrix)
            size = raw.FPDFText_GetFontSize(text_page.raw, at) * math.hypot(matrix.c, matrix.d)
            if not character.isspace() and math.isfinite(size):
                lines[-1][0][round(size * 2) / 2] += 1
            lines[-1][1].append(character)
    finally:
        text_page.close()
        page.close()
    return [(sizes.most_common(1)[0][0], "".join(characters)) for sizes, characters in lines if sizes]
