"""How text from outside is made fit for the database: what is replaced, what is cut, and how that shows.

The rules, in one place:

- NUL and lone surrogates become U+FFFD: PostgreSQL stores neither, in text or in jsonb.
- A name longer than its column is cut to the column's length.
- A text longer than :data:`VALUE_LIMIT` inside a value, or a value whose JSON is longer, is cut there and ends with
  ``… [cut: N characters]``. Contents (``input``, ``output``) have :data:`CONTENT_LIMIT` as a whole.
- Numbers that are not finite become null; integers beyond 64 bits become floats.
- JSON nested deeper than :data:`NESTING_LIMIT` is kept as text, not as structure.
"""

import re
from typing import Any

import orjson

VALUE_LIMIT = 65_536
"""Characters of one text, and of the JSON of one attribute's value."""

CONTENT_LIMIT = 1_048_576
"""Bytes of an input's or output's JSON."""

ATTRIBUTES_LIMIT = 1_048_576
"""Bytes of all attributes of a span that no row of the conventions knew."""

NESTING_LIMIT = 200
"""Levels of lists and objects in JSON. What we write others must read: orjson itself writes no more than 254."""

KEY_LIMIT = 300
"""Characters of an attribute's key."""

MARK_LENGTH = 40
"""Characters that the mark of a cut may have: room to leave where a column's length is fixed."""

_UNFIT = re.compile("[\x00\ud800-\udfff]")
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|u[dD][c-fC-F]..|.)", re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def clean(text: str) -> str:
    """Return the text with NUL and lone surrogates replaced; a pair of surrogates becomes the character it means."""
    if text.isascii():
        return text.replace("\x00", "\ufffd") if "\x00" in text else text
    if _UNFIT.search(text) is None:
        return text
    return _UNFIT.sub("\ufffd", _SURROGATE_PAIR.sub(_join_pair, text))


def _join_pair(pair: re.Match[str]) -> str:
    return pair.group().encode("utf-16", "surrogatepass").decode("utf-16")


def name(text: str, limit: int) -> str:
    """Return the text cleaned, without space around it, and cut to ``limit`` characters: for names and ids."""
    return clean(text[: limit * 2].strip()[:limit])


def cut(text: str, limit: int = VALUE_LIMIT) -> str:
    """Return the text, or its first ``limit`` characters and a mark that says how many were cut."""
    return text if len(text) <= limit else f"{text[:limit]}… [cut: {len(text) - limit} characters]"


def mend_surrogates(body: bytes) -> bytes:
    r"""Replace the escapes of lone surrogates in a JSON text by ``\ufffd``.

    JavaScript and Python both write them for text cut in the middle of a character, and strict parsers refuse the
    whole document for one. Escapes are read from the left, so that ``\\ud800`` (a backslash, then letters) stays.
    """
    return _ESCAPE.sub(_mend_escape, body)


def _mend_escape(match: re.Match[bytes]) -> bytes:
    escape = match.group()
    is_surrogate = escape[1:2] == b"u" and escape[2:3] in b"dD" and len(escape) == 6
    return b"\\ufffd" if is_surrogate else escape


def parse(text: str) -> tuple[Any, bool]:
    """Return the value that a JSON text says, and whether it was mended on the way.

    Raises:
        ValueError: the text is not JSON, or nested deeper than we keep.
    """
    mended = False
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        if _SURROGATE_ESCAPE.search(text) is None:
            raise
        value = orjson.loads(mend_surrogates(text.encode("utf-8", "replace")))
        mended = True
    if (_has_many("[", text) or _has_many("{", text)) and nested_too_deeply(value):
        raise ValueError("nested too deeply")
    return value, mended


def _has_many(bracket: str, text: str) -> bool:
    """Say whether a text has so many brackets that it may be nested too deeply; quicker than counting them all."""
    half = NESTING_LIMIT // 2
    return len(text.split(bracket, half)) > half


def has_escaped_nul(text: str) -> bool:
    """Say whether a JSON text may have an escaped NUL, which PostgreSQL's jsonb refuses."""
    return "\\" in text and "\\u0000" in text


def nested_too_deeply(value: Any) -> bool:
    """Say whether lists and objects are nested deeper than :data:`NESTING_LIMIT`."""
    level = [value] if type(value) in (dict, list) else []
    for _ in range(NESTING_LIMIT + 1):
        if not level:
            return False
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) in (dict, list)
        ]
    return True


def clean_value(value: Any, limit: int = VALUE_LIMIT) -> Any:
    """Return a JSON value with all its texts cleaned and cut to ``limit``, keys too."""
    kind = type(value)
    if kind is str:
        return cut(clean(value), limit)
    if kind is dict:
        return {name(key, KEY_LIMIT): clean_value(child, limit) for key, child in value.items()}
    if kind is list:
        return [clean_value(child, limit) for child in value]
    return value


def dumps(value: Any) -> bytes:
    """Return the JSON of a value, cleaned where it needs to be. ``value`` is of JSON's types, nested within bounds."""
    try:
        rendered = orjson.dumps(value)
    except TypeError:
        return orjson.dumps(clean_value(value))
    # A text may also hold these six characters by itself; then cleaning finds nothing to do, and costs a little time.
    return rendered if b"\\u0000" not in rendered else orjson.dumps(clean_value(value))
