"""Widgets of the admin kit."""

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError


class RecordSelect(AutocompleteSelect):
    """An autocomplete that shows nothing chosen where what was sent is no id.

    Django's looks it up, and fails: the field's own error would never be shown.
    """

    def optgroups(self, name: str, value: Sequence[Any], attrs: dict[str, Any] | None = None) -> Any:
        """Return the chosen options, for what may be an id."""
        return super().optgroups(name, list(filter(self._may_be_id, value)), attrs)

    def _may_be_id(self, value: Any) -> bool:
        try:
            self.field.target_field.to_python(value)
        except ValidationError:
            return False
        return True
