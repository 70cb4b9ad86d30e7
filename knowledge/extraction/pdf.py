"""PDF: the text of its pages, each begun with a form feed but the first."""

import io
from typing import Any

from knowledge.extraction.base import Text, UnreadableError, one_line


def read(content: bytes, most_characters: int) -> Text:
    """Return the text of all pages and the title that the file states.

    Raises:
        UnreadableError: it wants a password, is broken, or has no text.
    """
    import pypdfium2  # type: ignore[import-untyped]

    try:
        document = pypdfium2.PdfDocument(io.BytesIO(content))
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableError("It is protected by a password. Remove the protection and send it again.") from error
        raise UnreadableError("It isn't a PDF, or it is broken.") from error
    pages: list[str] = []
    length = 0
    for number in range(len(document)):
        pages.append(_page(document, number))
        length += len(pages[-1]) + 1
        if length > most_characters:
            break  # the caller refuses it
    if not any(page.strip() for page in pages):
        raise UnreadableError(
            "It has no text. Its pages may be scanned images: run text recognition (OCR) over it and send the result."
        )
    return Text("\f".join(pages), one_line(document.get_metadata_value("Title")))


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
    return text.replace("\ufffe\r\n", "").replace("\ufffe", "").replace("\r\n", "\n").replace("\f", "\n").strip()
