"""What is told of a backup's progress: a line for each step, and on a terminal a meter."""

from collections.abc import Callable
from typing import Any

from psycopg import Connection
from tqdm import tqdm

from core.backup.contents import Contents, look

Tell = Callable[[str], None]


def meter(description: str, unit: str, total: int | None = None) -> "tqdm[Any]":
    """Return a meter of progress, which shows itself on a terminal only."""
    return tqdm(desc=description, unit=unit, unit_scale=True, total=total, disable=None, leave=False)


def look_at(direct: Connection[Any]) -> Contents:
    """Return what the database holds, and show how far the look has come."""
    with meter("digests", "B") as shown:

        def seen(table: str, size: int) -> None:
            shown.set_postfix_str(table, refresh=False)
            shown.update(size)

        return look(direct, seen=seen)
