"""Plain text: which encoding it is in."""

import codecs

from knowledge.extraction import alphabets, multibyte
from knowledge.extraction.base import UnreadableError

# The longer first: the mark of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What these names mean in practice: a larger set that has the named one in it (WHATWG, Encoding Standard, section 4.2).
MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
ODD = frozenset({"idna", "punycode", "undefined", "raw-unicode-escape", "unicode-escape"})  # Python's, not texts'
SEVEN_BITS = ("iso2022", "hz", "utf-7")  # whose bytes look like ASCII
WIDE = ("utf-16", "utf-32")
FEW_BROKEN = 20  # a text of UTF-8 has so many sound characters beyond ASCII for each place that is broken
LOOKED_AT = 100_000  # characters that tell whether bytes are text


def charset_of(content_type: str) -> str:
    """Return the charset that a media type's parameter declares, in Python's name for it; empty if none is known."""
    from email.message import Message

    message = Message()
    message["content-type"] = content_type
    return known(str(message.get_param("charset", "") or ""))


def known(name: str) -> str:
    """Return Python's name of a text encoding, in the wider meaning of practice; empty if there is none."""
    try:
        found = codecs.lookup(name.strip().strip("'\""))
    except (LookupError, ValueError):
        return ""
    return MEANT.get(found.name, found.name) if found._is_text_encoding and found.name not in ODD else ""


def needs_charset(charset: str) -> bool:
    """Tell whether text of this encoding looks like another's, so that what was declared is to be believed first."""
    return charset.startswith((*SEVEN_BITS, *WIDE))


def decode(content: bytes, declared: str = "", language: str = "") -> str:
    """Return the text that the bytes are: by their mark, as UTF-8, as declared, or as the characters suggest.

    Bytes that are sound UTF-8 are hardly ever anything else, whereas many pages and servers declare what they aren't.
    Only where UTF-16, UTF-32, ISO-2022, HZ or UTF-7 is declared, whose bytes may be sound UTF-8 as well, that comes
    first.
    ``language`` (ISO 639-1) is the document's, and tells between encodings that suit equally well.

    Raises:
        UnreadableError: they are no text, or break the encoding that they claim.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return _strictly(content, encoding)
    charset = known(declared)
    if needs_charset(charset) and (text := _tried(content, charset)) is not None:
        return text
    if b"\0" in content:
        return _wide(content)
    if (text := _tried(content, "utf-8")) is not None:
        return text
    if charset and (text := _tried(content, charset)) is not None:
        return text
    return _guess(content, language)


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"Its encoding is broken: it claims {encoding}, and byte {error.start} isn't.") from error


def _tried(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeError:
        return None


def _wide(content: bytes) -> str:
    """Return a text of two or four bytes a character that has no mark: nulls stand where ASCII's upper bytes are."""
    low = content[0::2].count(0) < content[1::2].count(0)
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le" if low else "utf-16-be"):
        text = _tried(content, encoding)
        sample = (text or "")[:LOOKED_AT]
        if any(map(str.isascii, sample)) and all(map(_shown, sample)):
            return text or ""
    raise UnreadableError("It isn't text: it holds null characters.")


def _shown(character: str) -> bool:
    return character.isprintable() or character.isspace()


def _guess(content: bytes, language: str) -> str:
    mended = content.decode("utf-8", "replace")
    broken = mended.count("\ufffd")
    if sum(character > "\x7f" for character in mended) > broken * (FEW_BROKEN + 1):
        return mended  # what is broken shows as U+FFFD
    encoding = multibyte.guess(content) or alphabets.guess(content, language)
    if encoding and (text := _tried(content, encoding)) is not None:
        return text
    from charset_normalizer import from_bytes

    best = from_bytes(content).best()
    if best is None:
        raise UnreadableError("It isn't text in any encoding that can be told. Save it as UTF-8.")
    return str(best)
