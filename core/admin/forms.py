"""Forms of records: one organization throughout, what the database refuses as errors, readable JSON and lists."""

import json
from typing import Any, ClassVar

from django import forms
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.forms.models import ModelChoiceField
from django.http import HttpRequest
from django.utils.text import capfirst

from core.admin.tenancy import has_organization, organization_of, reach_of, within
from core.admin.widgets import RecordSelect
from core.models import Organization
from core.violations import Violation


class RecordForm(forms.ModelForm):
    """A form whose references stay within the record's organization.

    ``violation`` is what the database refused when the form was saved the first time; the form then shows it.
    """

    violation: ClassVar[Violation | None] = None

    def _post_clean(self) -> None:
        # The model's field is not editable, since a record never leaves its organization.
        if organization := self.cleaned_data.get("organization"):
            self.instance.organization = organization
        super()._post_clean()  # type: ignore[misc]

    def _get_validation_exclusions(self) -> set[str]:
        # Uniqueness within the organization can be told before the database does.
        exclude: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        if getattr(self.instance, "organization_id", None):
            exclude.discard("organization")
        return exclude

    def clean(self) -> dict[str, Any]:
        """Refuse references to other organizations, and repeat what the database refused."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self._refuse_foreign_references(cleaned)
        if self.violation:
            field = self.violation.field if self.violation.field in self.fields else None
            self.add_error(field, forms.ValidationError(self.violation.message, code=self.violation.code))
        return cleaned

    def _refuse_foreign_references(self, cleaned: dict[str, Any]) -> None:
        organization = cleaned.get("organization")
        organization_id = organization.pk if organization else organization_of_unsaved(self.instance, cleaned)
        if organization_id is None:
            return
        for name, value in list(cleaned.items()):
            if not isinstance(value, models.Model) or isinstance(value, Organization):
                continue
            model = type(value)
            if not hasattr(model, "organization_path"):
                continue
            if name not in self.changed_data and not self.instance._state.adding:
                continue
            owner = organization_of(value)
            if owner == organization_id:
                continue
            if owner is None and within(model._base_manager.filter(pk=value.pk), {organization_id}).exists():
                continue
            noun = model._meta.verbose_name
            self.add_error(
                name, forms.ValidationError(f"This {noun} belongs to another organization.", code="does_not_exist")
            )


class RecordInlineFormSet(forms.BaseInlineFormSet):
    """Puts new rows in the organization of the record that they hang on."""

    def _construct_form(self, i: int, **kwargs: Any) -> forms.ModelForm:
        form = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        self._adopt(form.instance)
        return form

    def save_new(self, form: forms.ModelForm, commit: bool = True) -> models.Model:
        """Save a new row. On the page of a new record, the organization is known by now."""
        self._adopt(form.instance)
        return super().save_new(form, commit=commit)

    def _adopt(self, row: models.Model) -> None:
        if has_organization(type(row)) and row._state.adding:
            row.organization_id = organization_of(self.instance)  # type: ignore[attr-defined]


def organization_of_unsaved(instance: models.Model, cleaned: dict[str, Any]) -> Any:
    """Return the id of the organization a form's record belongs to, by what is posted or else by what stands."""
    path = getattr(instance, "organization_path", "")
    first, _, rest = path.partition("__")
    parent = cleaned.get(first) if rest else None
    if isinstance(parent, models.Model):
        return organization_of(parent)
    try:
        return organization_of(instance)
    except (AttributeError, models.ObjectDoesNotExist):
        return None


def organization_field(request: HttpRequest, model: type[models.Model], admin_site: Any) -> ModelChoiceField:
    """Return the field that chooses a new record's organization, among those that the user may write in."""
    reach = reach_of(request)
    choices = Organization.objects.all() if reach.everything else Organization.objects.filter(pk__in=reach.written)
    field = model._meta.get_field("organization")
    return ModelChoiceField(
        queryset=choices,
        widget=RecordSelect(field, admin_site),
        required=not field.null,
        help_text="A record stays in its organization for good.",
    )


class JSONWidget(forms.Textarea):
    """A text area that is wide enough for JSON, in a fixed-width font."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"rows": 10, "cols": 80, "spellcheck": "false", "class": "muster-json"} | (attrs or {}))


class ReadableJSONField(forms.JSONField):
    """Shows JSON with indents."""

    widget = JSONWidget

    def prepare_value(self, value: Any) -> Any:
        """Return the text to edit."""
        if isinstance(value, forms.fields.InvalidJSONInput):
            return value
        return pretty_json(value, self.encoder)


def pretty_json(value: Any, encoder: Any = None) -> str:
    """Return JSON as people read it."""
    return json.dumps(value, ensure_ascii=False, indent=2, cls=encoder)


def array_formfield(field: ArrayField) -> forms.Field:
    """Return the form field of a list: boxes to tick where its words are given, else text with commas."""
    base = field.base_field
    common: dict[str, Any] = {
        "required": not field.blank,
        "label": capfirst(field.verbose_name),
        "help_text": field.help_text,
    }
    if base.choices:
        return forms.MultipleChoiceField(choices=base.choices, widget=forms.CheckboxSelectMultiple, **common)
    common["help_text"] = common["help_text"] or "Separated by commas."
    form_field = field.formfield(widget=forms.TextInput({"class": "vTextField"}), **common)
    assert form_field is not None
    return form_field
