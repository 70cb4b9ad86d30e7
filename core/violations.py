"""What a database error says, in the words of the constraint's model: the field, the rule, and a code."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.db import DatabaseError, DataError, models

FIELD_CODES = {"23502": "null", "23505": "unique", "23503": "does_not_exist", "23514": "invalid", "23P01": "overlap"}


@dataclass(frozen=True)
class Violation:
    """One refusal by the database: the field it concerns (None: the record as a whole), a code, and the rule."""

    field: str | None
    code: str
    message: str


def explain(error: DatabaseError) -> Violation | None:
    """Return what the database refused, or None when the error isn't about the data."""
    diagnostics = getattr(error.__cause__, "diag", None)
    sqlstate = getattr(error.__cause__, "sqlstate", None) or ""
    if isinstance(error, DataError) and not sqlstate:  # psycopg itself refused, before the server could
        return Violation(None, "invalid", "A text holds a null character, or a value is too large to be stored.")
    if diagnostics is None or sqlstate[:2] not in ("22", "23"):
        return None
    code = FIELD_CODES.get(sqlstate, "invalid")
    known = constraints().get(diagnostics.constraint_name or "")
    if known:
        model, constraint = known
        return Violation(_field_of(model, constraint), code, str(constraint.get_violation_error_message()))
    field = _field_name(diagnostics.table_name, diagnostics.column_name)
    if sqlstate == "23503" and diagnostics.constraint_name:
        field = _foreign_key_field(diagnostics.table_name, diagnostics.constraint_name)
        return Violation(field, code, "The record that this refers to doesn't exist, or is still referred to.")
    if sqlstate == "23505":
        return Violation(field, code, "This value is taken already.")
    message = diagnostics.message_primary or "The database refused the value."
    return Violation(field, code, message[:1].upper() + message[1:] + ".")


@cache
def constraints() -> dict[str, tuple[type[models.Model], models.BaseConstraint]]:
    """Return every declared constraint by its name."""
    return {
        constraint.name: (model, constraint) for model in apps.get_models() for constraint in model._meta.constraints
    }


def _field_of(model: type[models.Model], constraint: models.BaseConstraint) -> str | None:
    """Return the one field that a constraint is about, besides the organization."""
    names: list[str] = []
    if isinstance(constraint, models.UniqueConstraint):
        names = list(constraint.fields) or [_names(expression)[0] for expression in constraint.expressions]
    elif isinstance(constraint, models.CheckConstraint):
        names = _names(constraint.condition)
    elif field := getattr(constraint, "field", None):
        names = [field]
    names = list(dict.fromkeys(name.partition("__")[0] for name in names))
    names = [name for name in names if name != "organization"] or names
    return names[0] if len(names) == 1 else None


def _names(node: Any) -> list[str]:
    if isinstance(node, models.F):
        return [node.name]  # type: ignore[attr-defined]
    if isinstance(node, models.Q):
        return [name for child in node.children for name in _names(child)]
    if isinstance(node, tuple):
        return [node[0], *_names(node[1])]
    if hasattr(node, "get_source_expressions"):
        return [name for source in node.get_source_expressions() for name in _names(source)]
    return []


def _field_name(table: str | None, column: str | None) -> str | None:
    """Return the field that a column holds, which clients know; the column itself where no model has it."""
    for model in apps.get_models():
        if model._meta.db_table == table:
            for field in model._meta.concrete_fields:
                if field.column == column:
                    return field.name
    return column or None


def _foreign_key_field(table: str | None, constraint: str) -> str | None:
    for model in apps.get_models():
        if model._meta.db_table == table:
            for field in model._meta.concrete_fields:
                if field.is_relation and f"_{field.column}_" in constraint:
                    return field.name
    return None
