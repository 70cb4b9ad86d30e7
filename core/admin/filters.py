"""Filters that read no table to draw themselves: autocompletes in place of lists of rows, ranges, words."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.admin import FieldListFilter
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.forms.utils import flatatt
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.timezone import is_naive, make_aware


class FormFilter(FieldListFilter):
    """A filter that is a small form: each of its inputs is a parameter of the list's address."""

    template = "admin/form_filter.html"
    lookups: dict[str, str] = {}

    def __init__(
        self,
        field: models.Field,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[models.Model],
        model_admin: Any,
        field_path: str,
    ) -> None:
        self.parameters = {f"{field_path}__{lookup}": label for lookup, label in self.lookups.items()}
        self.model_admin = model_admin
        self.request = request
        super().__init__(field, request, params, model, model_admin, field_path)
        used: dict[str, Any] = self.used_parameters
        self.values = {name: values[-1].strip() for name, values in used.items() if values[-1].strip()}
        self.used_parameters = {}

    def expected_parameters(self) -> list[str | None]:
        """Return the parameters that the inputs set."""
        return list(self.parameters)

    def has_output(self) -> bool:
        """Draw it always."""
        return True

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return what the template draws: the inputs, and the other parameters to keep."""
        kept = {name: values for name, values in changelist.filter_params.items() if name not in self.parameters}
        inputs = [self.input(name, label) for name, label in self.parameters.items()]
        yield {
            "inputs": inputs,
            "immediate": any("widget" in drawn for drawn in inputs),
            "kept": [(name, value) for name, values in kept.items() for value in values],
            "clear": changelist.get_query_string(remove=list(self.parameters)) if self.values else None,
        }

    def input(self, name: str, label: str) -> dict[str, Any]:
        """Return what one input is drawn from."""
        return {"name": name, "label": label, "type": "text", "value": self.values.get(name, "")}

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Return the rows that pass."""
        try:
            return queryset.filter(**{name: self.clean(name, value) for name, value in self.values.items()})
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error

    def clean(self, name: str, value: str) -> Any:
        """Return the value to compare with; ValueError or ValidationError when it isn't one."""
        return self.field.to_python(value)


class RangeFilter(FormFilter):
    """Numbers from … to …."""

    lookups = {"gte": "From", "lte": "To"}

    def input(self, name: str, label: str) -> dict[str, Any]:
        """Return a number input."""
        return super().input(name, label) | {"type": "number", "step": "any"}


class DateRangeFilter(FormFilter):
    """Days from … up to, but without, …."""

    lookups = {"gte": "From", "lt": "Before"}

    def input(self, name: str, label: str) -> dict[str, Any]:
        """Return a date input. A time that a link brought is kept."""
        drawn = super().input(name, label)
        return drawn | {"type": "date" if len(drawn["value"]) in (0, 10) else "text"}

    def clean(self, name: str, value: str) -> Any:
        """Return the beginning of the day, or the time."""
        moment = self.field.to_python(value)
        return make_aware(moment) if isinstance(moment, datetime) and is_naive(moment) else moment


class WordFilter(FormFilter):
    """Lists that contain a word."""

    lookups = {"contains": "Contains"}

    def clean(self, name: str, value: str) -> Any:
        """Return the words, which commas part."""
        return [word.strip() for word in value.split(",") if word.strip()]


class RelatedFilter(FormFilter):
    """Rows that refer to a record, which is chosen by autocomplete."""

    lookups = {"id__exact": ""}

    def input(self, name: str, label: str) -> dict[str, Any]:
        """Return the autocomplete, or an input for the id where the other model has no search."""
        drawn = super().input(name, label)
        site = self.model_admin.admin_site
        remote = self.field.related_model
        try:
            admin = site.get_model_admin(remote)
        except NotRegistered:
            return drawn
        if not admin.search_fields:
            return drawn
        widget = AutocompleteSelect(self.field, site, attrs={"data-filter": "", "aria-label": str(self.title)})
        record = admin.get_object(self.request, drawn["value"]) if drawn["value"] else None
        text = str(record) if record else "(unknown)"
        return drawn | {"widget": _select(widget, name, drawn["value"], text)}

    def clean(self, name: str, value: str) -> Any:
        """Return the id."""
        return self.field.target_field.to_python(value)  # type: ignore[attr-defined]


def _select(widget: AutocompleteSelect, name: str, value: str, text: str) -> str:
    """Return the HTML of an autocomplete that knows its one chosen row already."""
    attributes = widget.build_attrs(widget.attrs, {"name": name, "id": f"filter_{name}"})
    option = format_html('<option value="{}" selected>{}</option>', value, text) if value else ""
    return format_html("<select{}><option></option>{}</select>", flatatt(attributes), option)


def for_field(field: models.Field) -> type[FieldListFilter] | None:
    """Return the filter that suits a field, or None where Django's own does."""
    if field.choices or isinstance(field, models.BooleanField):
        return None
    if field.many_to_one or field.one_to_one:
        return RelatedFilter
    if isinstance(field, models.DateField):
        return DateRangeFilter
    if isinstance(field, models.IntegerField | models.DecimalField | models.FloatField):
        return RangeFilter
    if isinstance(field, ArrayField):
        return WordFilter
    return None


class WholeTextFilter(FormFilter):
    """Rows with exactly this text: Django's own filter reads the whole table for the texts there are."""

    lookups = {"exact": "Is"}
