"""Which of Windows' code pages bytes are in: by the letters that the languages written in each have.

These encodings have one byte a character, and nearly all bytes mean something in each, so that a text decodes in all of
them; but only in its own do the letters beyond ASCII belong to one language. Short texts have few of those, so the
document's language counts, and Western Europe's page where nothing tells against it.
"""

# ruff: noqa: RUF001 (signs of other languages look like English ones)

import re
from collections import Counter

# By code page, the letters beyond ASCII of the languages written in it.
LATIN = {
    "cp1252": {
        "ca": "àçèéíïòóúü", "da": "æøåéáíóú", "de": "äöüß", "en": "éèêëïçñâôûöü", "es": "áéíñóúü", "eu": "ñçü",
        "fi": "äöåšž", "fr": "àâæçèéêëîïôœùûüÿ", "ga": "áéíóú", "id": "é", "is": "áéíóúýðþæö", "it": "àèéìíîòóù",
        "nl": "áäèéëêïíóöúüĳ", "no": "æøåéèêóòôà", "pt": "àáâãçéêíòóôõúü", "sq": "çë", "sv": "åäöéàü",
    },
    "cp1250": {
        "cs": "áčďéěíňóřšťúůýž", "hr": "čćđšž", "hu": "áéíóöőúüű", "pl": "ąćęłńóśźż", "ro": "ăâîşţ",
        "sk": "áäčďéíĺľňóôŕšťúýž", "sl": "čšž", "sr": "čćđšž",
    },
    "cp1254": {"tr": "âçğıîöşüûİ"},
    "cp1257": {"et": "äõöüšž", "lt": "ąčęėįšųūž", "lv": "āčēģīķļņšūž"},
}  # fmt: skip
OTHERS = {
    "cp1251": {"ru", "sr", "uk", "bg", "be", "mk"},
    "cp1253": {"el"},
    "cp1255": {"yi", "he"},
    "cp1256": {"ar", "fa"},
}
SCRIPTS = {
    "cp1251": re.compile("[Ѐ-ӿ]"),
    "cp1253": re.compile("[Ͱ-Ͽ]"),
    "cp1255": re.compile("[\u0591-\u05f4]"),
    "cp1256": re.compile("[\u0600-\u06ff\u200c-\u200f]"),
}
BEYOND = re.compile(rb"[\x80-\xff]")
WORD = re.compile(rb"(?<![A-Za-z])[A-Za-z]*+[\x80-\xff][A-Za-z\x80-\xff]*")
SIGNS = frozenset("\xa0\xad€‚„…†‡‰‹›‘’“”•–—™¡¢£¤¥¦§¨©«¬®¯°±´µ¶·¸»×÷º¿")
WITHIN = frozenset("\xa0\xad’‘´·–—…°")  # signs that stand between letters
DOUBTFUL = 0.25  # what a sign counts that is rare beside a letter
UNLIKELY = 0.8  # as many doubtful characters weigh against a page that isn't the language's nor Western Europe's
MOST_DOUBTFUL = 0.15  # of the characters beyond ASCII
SPARE = 0.5  # what a short text may have beyond that
MOST_LETTERS = 0.5  # of Latin script are beyond ASCII
MOST_FOREIGN = 0.25  # likewise, where they are of several languages, as names are
FEW_LETTERS = 3  # of which that can't be said
LETTERS = bytes({*range(0xC0, 0x100)} - {0xD7, 0xF7})  # beyond ASCII, but for some of each page's
WORDS = 5_000
LONGEST_WORD = 50
LOOKED_AT = 100_000  # bytes


def guess(content: bytes, language: str) -> str:
    """Return the code page, by Python's name; empty if the text suits none. ``language`` is an ISO 639-1 code."""
    sample = beyond_ascii(content, LOOKED_AT)
    words = Counter(found[0] for _, found in zip(range(WORDS), WORD.finditer(sample), strict=False))
    total = sum(count * _beyond(word) for word, count in words.items())
    own = next((page for page, languages in OTHERS.items() if language in languages), "")
    if own and _written(words, own) >= (1 - MOST_DOUBTFUL) * total:
        return own
    plain = sum(map(str.isalpha, sample.decode("ascii", "ignore")))
    letters = len(sample) - len(sample.translate(None, LETTERS))
    if letters > max(MOST_LETTERS * (letters + plain), FEW_LETTERS) or _controls(content):
        return ""
    for several in (False, True)[: 2 if letters <= MOST_FOREIGN * (letters + plain) else 1]:
        costs = {page: _cost(words, page, several=several) for page in LATIN}
        best = min(costs, key=lambda page: costs[page] + _prior(page, language))
        if costs[best] <= MOST_DOUBTFUL * total + SPARE:
            return best
    return ""


def beyond_ascii(content: bytes, size: int) -> bytes:
    """Return so many bytes from the first that isn't ASCII on, and the word before it."""
    found = BEYOND.search(content)
    start = max(found.start() - LONGEST_WORD, 0) if found else len(content)
    return content[start : start + size]


def _beyond(word: bytes) -> int:
    return sum(byte > 0x7F for byte in word)


def _controls(content: bytes) -> bool:
    return bool(content.translate(None, bytes(range(32, 256)) + b"\t\n\v\f\r\x1a\x1b"))


def _prior(page: str, language: str) -> float:
    """Return what weighs against a page before the text is looked at; English is what nobody chose."""
    if language in LATIN[page] and language != "en":
        return 0
    if page == "cp1252":
        return 0 if language in ("", "en", "und") else UNLIKELY / 2
    return UNLIKELY


def _written(words: Counter[bytes], page: str) -> int:
    """Return how many characters are of the page's script, in words that have no Latin letter.

    Where capitals are more than small letters, as when the alphabet's other encodings are taken for this, none are.
    """
    found = small = capital = 0
    for word, count in words.items():
        text = word.decode(page, "replace")
        suits = len(SCRIPTS[page].findall(text))
        mixed = suits and any(character.isascii() for character in text)
        found += 0 if mixed else count * sum(character in SIGNS for character in text) + count * suits
        small += count * sum(map(str.islower, text))
        capital += count * sum(map(str.isupper, text))
    return found if small >= capital else 0


def _cost(words: Counter[bytes], page: str, *, several: bool) -> float:
    """Return how many characters don't suit, in whichever of the page's languages suits best, or in all together.

    A capital after a small letter doesn't: so look texts of old Macs.
    """
    found: Counter[str] = Counter()
    signs = 0.0
    for word, count in words.items():
        text = word.decode(page, "replace")
        for at, character in enumerate(text):
            if character.isascii():
                continue
            if character in SIGNS or not character.isalpha():
                signs += count * _doubt(text, at)
            elif character.isupper() and text[at - 1 : at].islower():
                signs += count
            else:
                found[character] += count
    alphabets = ["".join(LATIN[page].values())] if several else LATIN[page].values()
    return signs + min(
        sum(count for each, count in found.items() if each not in alphabet and each.lower() not in alphabet)
        for alphabet in alphabets
    )


def _doubt(text: str, at: int) -> float:
    """Return how little a sign suits where it stands."""
    character, before, after = text[at], text[at - 1 : at].isalpha(), text[at + 1 : at + 2].isalpha()
    if character == "\ufffd" or (before and after and character not in WITHIN):
        return 1
    return 0 if character in SIGNS else DOUBTFUL
