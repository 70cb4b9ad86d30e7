"""Search in short texts such as names and descriptions, as trigram indexes serve it."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import CharField, Lookup, Q, QuerySet, TextField

TRIGRAM = 3
MAX_WORDS = 10

Rows = TypeVar("Rows", bound=QuerySet)


@CharField.register_lookup
@TextField.register_lookup
class ILike(Lookup):
    """``ILIKE``, which a trigram index serves; Django's ``icontains`` compares ``UPPER(…)``, which it doesn't."""

    lookup_name = "ilike"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """Return the comparison and its parameters."""
        column, column_params = self.process_lhs(compiler, connection)
        pattern, pattern_params = self.process_rhs(compiler, connection)
        return f"{column} ILIKE {pattern}", (*column_params, *pattern_params)


def matching(rows: Rows, text: str, fields: Iterable[str]) -> Rows:
    """Return the rows in which each word of ``text`` occurs in one of the fields, without regard to case.

    A word of fewer than 3 characters has no trigram, and could be found inside of others only by reading every
    row: it matches where a word begins. One without a letter or a digit has none either, and is passed over. Words
    after the tenth are not looked at.
    """
    words = [word for word in text.split() if any(map(str.isalnum, word))]
    for word in words[:MAX_WORDS]:
        found = Q()
        for pattern in _patterns(word):
            for field in fields:
                found |= Q(**{f"{field}__ilike": pattern})
        rows = rows.filter(found)
    return rows


def _patterns(word: str) -> list[str]:
    literal = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return [f"%{literal}%"] if len(word) >= TRIGRAM else [f"{literal}%", f"% {literal}%"]
