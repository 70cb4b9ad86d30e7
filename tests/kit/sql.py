"""Raw SQL, as an attacker or a careless script would write it, past Django and its validation."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

# A session that asks django-pgtrigger to ignore triggers; our rules must hold all the same.
IGNORE_TRIGGERS = "SELECT set_config('pgtrigger.ignore', %s, true)"


def run(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows. Deferred constraints are checked at once."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows = cursor.fetchall() if cursor.description else []
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        return rows


def refused(sql: str, *params: Any) -> str:
    """Run a statement that must break a rule, and return the name of the rule: its constraint's."""
    with pytest.raises(IntegrityError) as caught:
        run(sql, *params)
    diagnostics = caught.value.__cause__.diag  # type: ignore[union-attr]
    return diagnostics.constraint_name or diagnostics.column_name


def ignore_all_triggers() -> None:
    """Set ``pgtrigger.ignore`` for every trigger, for the rest of the transaction."""
    names = run("SELECT format('%%s:%%s', tgrelid::regclass, tgname) FROM pg_trigger WHERE NOT tgisinternal")
    run(IGNORE_TRIGGERS, "{" + ",".join(name for (name,) in names) + "}")
