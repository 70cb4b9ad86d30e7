"""Which of the East Asian encodings bytes are in, if any: by the characters that texts mostly consist of.

Other encodings' bytes often decode as one of these too, but to characters that are rare. The standards order the
characters by use, so that the first byte of one tells how common it is.
"""

import codecs
from collections import Counter

from knowledge.extraction.alphabets import beyond_ascii

MOST = 0.9  # of a text's characters beyond ASCII are common ones
KANA = 0.2  # of a Japanese text's, at least
DENSE = 0.25  # of all letters are beyond ASCII; accented letters of European texts are fewer
FEWEST = 4  # characters that tell anything
LOOKED_AT = 100_000  # bytes
# Encoding; the set whose first bytes tell; those of signs and letters, and of the common characters.
KINDS = (
    ("cp932", "euc_jp", ((0xA1, 0xA8), (0xB0, 0xCF))),
    ("euc_jp", "euc_jp", ((0xA1, 0xA8), (0xB0, 0xCF))),
    ("cp949", "euc_kr", ((0xA1, 0xA3), (0xB0, 0xC8))),
    ("gb18030", "gb2312", ((0xA1, 0xA3), (0xB0, 0xD7))),
    ("big5hkscs", "big5", ((0xA1, 0xA3), (0xA4, 0xC6))),
)


def guess(content: bytes) -> str:
    """Return the encoding, by Python's name; empty if it is none of these with certainty."""
    sample = beyond_ascii(content, LOOKED_AT)
    for encoding, ordered, ranges in KINDS:
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample, final=len(sample) < LOOKED_AT)
        except UnicodeDecodeError:
            continue
        counts = Counter(text)
        beyond = {character: count for character, count in counts.items() if character > "\x7f"}
        total = sum(beyond.values())
        letters = sum(count for character, count in counts.items() if character <= "\x7f" and character.isalpha())
        if total < FEWEST or total < DENSE * (total + letters):
            continue
        common = sum(count for character, count in beyond.items() if _common(character, ordered, ranges))
        kana = sum(count for character, count in beyond.items() if "\u3040" <= character <= "\u30ff")
        if common >= MOST * total and (ordered != "euc_jp" or kana >= KANA * total):
            return encoding
    return ""


def _common(character: str, encoding: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    try:
        coded = character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return len(coded) > 1 and any(first <= coded[0] <= last for first, last in ranges)
