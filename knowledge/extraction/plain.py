"""Plain text: which encoding it is in."""

import codecs

from knowledge.extraction.base import UnreadableError

# The longer first: the mark of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(content: bytes, declared: str = "") -> str:
    """Return the text that the bytes are: by their mark, as UTF-8, as declared, or as the characters suggest.

    Raises:
        UnreadableError: they are no text, or break the encoding that they claim.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return _strictly(content, encoding)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if "\0" in text:
            raise UnreadableError("It isn't text: it holds null characters.")
        return text
    if declared:
        try:
            return content.decode(codecs.lookup(declared).name)
        except (LookupError, UnicodeDecodeError):
            pass  # many pages declare what they aren't
    return _guess(content)


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"Its encoding is broken: it claims {encoding}, and byte {error.start} isn't.") from error


def _guess(content: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(content).best()
    if best is None or b"\0" in content:
        raise UnreadableError("It isn't text in any encoding that can be told. Save it as UTF-8.")
    return str(best)
