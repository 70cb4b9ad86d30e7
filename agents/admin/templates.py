"""Templates."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from agents.models import Template
from agents.services import templates
from core.admin import RecordAdmin
from core.admin.forms import RecordForm
from core.admin.tenancy import reach_of

CHECKED = ("files", "required_variables", "optional_variables")


class TemplateForm(RecordForm):
    """A template whose files parse, and use only the variables that it declares."""

    def clean(self) -> dict[str, Any]:
        """Refuse files that don't parse, and variables that aren't declared."""
        cleaned = super().clean()
        if all(name in cleaned for name in CHECKED):
            try:
                templates.check(**{name: cleaned[name] for name in CHECKED})
            except ValidationError as error:
                self.add_error(None, error)
        return cleaned


@admin.register(Template)
class TemplateAdmin(RecordAdmin):
    """Templates. Staff see those of their organizations and those shared with all, which only superusers change."""

    description = "Files to begin projects with; without an organization they are shared with all."
    form = TemplateForm
    list_display = ("name", "version", "organization", "complexity", "setup_minutes", "usage_count", "created_at")
    list_filter = ("organization", "complexity", "tags", "tech_stack", "created_at")
    search_fields = ("name", "description")
    fieldsets = (
        (None, {"fields": ("name", "version", "description", "complexity", "setup_minutes")}),
        ("Content", {"fields": ("files", "required_variables", "optional_variables")}),
        ("More", {"fields": ("tech_stack", "tags", "usage_count")}),
    )
    readonly_fields = ("usage_count",)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Return the rows in reach, and those shared with all."""
        reach = reach_of(request)
        rows = Template.objects.order_by(*self.get_ordering(request))
        return rows if reach.everything else rows.filter(Q(organization__in=reach.seen) | Q(organization=None))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form; only a superuser leaves the organization out, and so shares with all."""
        form = super().get_form(request, obj, change, **kwargs)
        if "organization" in form.base_fields:
            form.base_fields["organization"].required = not reach_of(request).everything
        return form
