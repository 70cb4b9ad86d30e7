"""Kinds of columns that spans need."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models


class HexField(models.BinaryField):
    """A fixed number of bytes, which Python and clients write as hexadecimal: ids as OpenTelemetry has them."""

    def __init__(self, *, size: int, **options: Any) -> None:
        self.size = size
        super().__init__(**{"editable": True, **options})

    def deconstruct(self) -> Any:
        """Return how migrations write this field."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"size": self.size, "editable": self.editable}

    def to_python(self, value: Any) -> str | None:
        """Return the hexadecimal text of ``value``; ValidationError when it is no such thing."""
        if value is None:
            return None
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value).hex()
        text = str(value).lower()
        try:
            if len(bytes.fromhex(text)) == self.size and len(text) == 2 * self.size:
                return text
        except ValueError:
            pass  # told below, as the wrong length is
        raise ValidationError(f"This must be {2 * self.size} hexadecimal digits.", code="invalid")

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str | None:
        """Return the stored bytes as text."""
        return None if value is None else bytes(value).hex()

    def get_prep_value(self, value: Any) -> bytes | None:
        """Return the bytes of ``value``."""
        text = self.to_python(value)
        return None if text is None else bytes.fromhex(text)

    def value_to_string(self, obj: models.Model) -> str:
        """Return the field's value as fixtures hold it."""
        value: Any = self.value_from_object(obj)
        return str(value or "")

    def get_default(self) -> Any:
        """Return nothing, unless a default is given: a BinaryField's own would be empty bytes."""
        return super().get_default() if self.has_default() else None


class JSONDocumentField(models.JSONField):
    """JSON that is kept as it came and never asked about its inside: ``json``, not ``jsonb``.

    PostgreSQL checks it, compresses it and gives it back, but doesn't take it apart, which for the long messages of
    model calls would be most of the work of storing them.
    """

    def db_type(self, connection: Any) -> str:
        """Return PostgreSQL's type."""
        return "json"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the value as psycopg has parsed it; parsed once more, the text "1042" would become a number."""
        return value
