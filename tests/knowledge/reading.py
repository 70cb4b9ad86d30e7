"""Reading files here instead of in a process of its own, which takes long to start."""

from django.conf import settings

from knowledge.extraction import __main__ as reader
from knowledge.extraction.base import Extracted


def read(content_type: str, content: bytes, language: str = "und") -> Extracted:
    """Return what is read of a file; UnreadableError where it can't be."""
    return reader.read(content, content_type, language, settings.DOCUMENT_MAX_CHARACTERS, extracted=False)


def read_again(content_type: str, text: str) -> Extracted:
    """Return the title and the headings of a text that was extracted before."""
    return reader.read(text.encode(), content_type, "und", settings.DOCUMENT_MAX_CHARACTERS, extracted=True)
