"""The language that a text is in, as its letters tell."""

import re
from functools import cache
from typing import Any

from knowledge.models.languages import Language

LOOKED_AT = 5_000  # characters
SURE = 0.9  # of 1; of the few samples tried, headings alone were rarely surer than 0.7, two sentences mostly
CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
MOST_CJK = 0.3  # of the characters
ALIASES = {"nn": Language.NORWEGIAN}


def language_of(text: str) -> Language:
    """Return the language of a text, by what its first pages look like.

    English where that can't be told, as of tables, source code or a few words; “undetermined” of a language that has no
    stems here.
    """
    sample = text[:LOOKED_AT]
    if len(CJK.findall(sample)) > MOST_CJK * len(sample):
        return Language.UNDETERMINED
    name, certainty = _identifier().classify(sample)
    if certainty < SURE:
        return Language.ENGLISH
    name = ALIASES.get(name, name)
    return Language(name) if name in Language.values else Language.UNDETERMINED


@cache
def _identifier() -> Any:
    """Return the model of the library langid.py (Lui and Baldwin 2012), which takes half a second and 75 MB."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
