"""How PostgreSQL keeps large values, declared on models."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from core.constraints import column_of


class Storage(models.BaseConstraint):
    """Sets a column's storage mode: whether its values are compressed, and stand in the row or beside it.

    No constraint on what the values are, but declared as one, so that it comes and goes with the table.

    Args:
        field: the field of the column.
        mode: ``PLAIN`` (in the row, as they are) or ``MAIN`` (in the row as long as they fit a page, compressed if
            need be).
        usual: the mode that the column's type has by itself, to which removal returns.
    """

    def __init__(self, field: str, mode: str, *, usual: str, name: str) -> None:
        self.field, self.mode, self.usual = field, mode, usual
        super().__init__(name=name)

    def _sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, mode: str) -> str:
        quote = schema_editor.quote_name
        column = quote(column_of(model, self.field))
        return f"ALTER TABLE {quote(model._meta.db_table)} ALTER COLUMN {column} SET STORAGE {mode}"

    def constraint_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> None:  # type: ignore[override]
        """Leave the statement for after the table is made."""
        schema_editor.deferred_sql.append(self._sql(model, schema_editor, self.mode))

    def create_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> str:  # type: ignore[override]
        """Return the statement that sets the mode."""
        return self._sql(model, schema_editor, self.mode)

    def remove_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> str:  # type: ignore[override]
        """Return the statement that sets the usual mode."""
        return self._sql(model, schema_editor, self.usual)

    def validate(
        self, model: type[models.Model], instance: models.Model, exclude: Any = None, using: str = DEFAULT_DB_ALIAS
    ) -> None:
        """Accept any row."""

    def deconstruct(self) -> Any:
        """Return how migrations write this."""
        path, args, kwargs = super().deconstruct()
        kwargs.pop("violation_error_code", None)
        kwargs.pop("violation_error_message", None)
        return path, args, kwargs | {"field": self.field, "mode": self.mode, "usual": self.usual}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Storage):
            return self.deconstruct() == other.deconstruct()
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.field, self.mode))
