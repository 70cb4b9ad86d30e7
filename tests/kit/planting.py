"""Values planted in rows past Django: markers to find a leak by, and text that breaks careless rendering."""

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import DatabaseError, connection, models, transaction
from psycopg.types.json import Jsonb

from tests.kit.database import triggers_off

MARKER = "xq7leak"  # letters and digits, so that it fits slugs, emails and codes; nothing else holds it
_numbers = count(1)

NASTY = 'quo"te \\ back\\u0041 \n\r\t é 漢字 😀 </script> \u2028 \x7f %s {0} --'


def markers(field: models.Field) -> Iterable[Any]:
    """Return values for the field that hold the marker, the likeliest first."""
    number = next(_numbers)
    words = [
        f"{MARKER} {number}",
        f"{MARKER}-{number}",
        f"{MARKER}{number}@example.com",
        f"{MARKER}{number}".upper(),
        MARKER,
    ]
    return _as_values(field, words)


def nasty_texts(field: models.Field) -> Iterable[Any]:
    """Return values for the field that break careless quoting, as far as the field takes them."""
    return _as_values(field, [NASTY, NASTY.replace("\n", " ").strip(), 'é"\\漢'])


def _as_values(field: models.Field, words: list[str]) -> Iterable[Any]:
    if isinstance(field, models.JSONField):
        return [Jsonb({words[0]: [words[0], None, True, 1.5, {}]}), Jsonb([words[0]])]
    if isinstance(field, ArrayField):
        return [[word] for word in words]
    return words


def _takes_text(field: models.Field) -> bool:
    plain = getattr(field, "base_field", field)
    return (
        isinstance(plain, models.CharField | models.TextField | models.JSONField)
        and not plain.choices
        and not field.generated
        and not field.primary_key
    )


def plant(row: models.Model, values: Callable[[models.Field], Iterable[Any]]) -> list[str]:
    """Set each text, JSON and array column of the row to the first of its ``values`` that the database takes.

    Past the triggers, so that what never changes and what is append-only is planted too; CHECK constraints hold.
    Returns the names of the columns that took one.
    """
    planted = []
    with triggers_off():
        for field in row._meta.concrete_fields:
            if _takes_text(field) and any(_set(row, field.column, value) for value in values(field)):
                planted.append(field.column)
    return planted


def _set(row: models.Model, column: str, value: Any) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {row._meta.db_table} SET {column} = %s WHERE id = %s", [value, row.pk])
    except DatabaseError:
        return False
    return True
