"""The page of one record: its form, what the database refuses, and its deletion."""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.db import DatabaseError, connection, models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.text import capfirst

from core.admin.actions import attempt, refusal
from core.admin.deletion import deleted_objects
from core.admin.forms import RecordForm, organization_field
from core.admin.tenancy import has_organization, organization_of, reach_of
from core.violations import Violation, explain

STAMPS = ("id", "created_at", "updated_at", "deleted_at")


class EditingMixin(admin.ModelAdmin):
    """The part of RecordAdmin that serves the page of one record.

    ``related_lists`` are the lists to offer on the page, as (model, parameter that the record's id fills):
    ``("core.Membership", "organization__id__exact")``.
    """

    related_lists: Sequence[tuple[str, str]] = ()
    form = RecordForm
    view_on_site = False

    # --- The form ----------------------------------------------------------------------------------

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return what can't be edited: the stamps, and the organization once chosen."""
        fields = [*super().get_readonly_fields(request, obj), *self._stamps(obj)]
        if obj is not None and has_organization(self.model):
            fields.append("organization")
        return list(dict.fromkeys(fields))

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields that the form leaves to us."""
        exclude = super().get_exclude(request, obj)
        if obj is None and has_organization(self.model):
            return [*(exclude or ()), "organization"]
        return exclude

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the fieldsets, with the organization first and the stamps last."""
        fieldsets: list[Any] = [(title, dict(options)) for title, options in super().get_fieldsets(request, obj)]
        ours = {"organization", *STAMPS}
        for _, options in fieldsets:
            options["fields"] = [field for field in options["fields"] if field not in ours]
        if has_organization(self.model) and fieldsets:
            fieldsets[0][1]["fields"].insert(0, "organization")
        if obj is not None:
            fieldsets.append(("Record", {"fields": self._stamps(obj), "classes": ["collapse"]}))
        return fieldsets

    def _stamps(self, obj: Any) -> list[str]:
        known = {field.name for field in self.opts.concrete_fields}
        return [name for name in STAMPS if name in known] if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form, with the choice of organization for a new record, and with what was refused before."""
        base = kwargs.pop("form", self.form)
        extra: dict[str, Any] = {"violation": self.refused_before(request, obj)}
        if obj is None and has_organization(self.model):
            extra["organization"] = organization_field(request, self.model, self.admin_site)
        return super().get_form(request, obj, change=change, form=type(base.__name__, (base,), extra), **kwargs)

    def refused_before(self, request: HttpRequest, record: Any) -> Violation | None:
        """Return what the database refused when the form was saved the first time."""
        violation: Violation | None = getattr(request, "_muster_violation", None)
        return violation

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what a new record begins with: the organization, where there is but one to choose."""
        initial = dict(super().get_changeform_initial_data(request))
        written = reach_of(request).written
        if len(written) == 1 and has_organization(self.model):
            initial.setdefault("organization", str(next(iter(written))))
        return initial

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may add one, in some organization."""
        reach = reach_of(request)
        return super().has_add_permission(request) and (reach.everything or bool(reach.written))

    # --- Saving ------------------------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form. What the database refuses comes back as an error of the form, nothing saved."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except DatabaseError as error:
            violation = explain(error)
            if violation is None:
                raise
        request._muster_violation = violation  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save what hangs on the record, and have the deferred constraints checked while the form can still tell."""
        super().save_related(request, form, formsets, change)
        connection.check_constraints()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the buttons of the record's actions, and where related records are listed."""
        record = context.get("original")
        if record is not None and not context.get("is_popup"):
            context["record_buttons"] = self.action_buttons(request, record)  # type: ignore[attr-defined]
            context["record_organization"] = organization_of(record)
            context["related_links"] = self._related_links(request, record)
        return super().render_change_form(request, context, *args, **kwargs)

    def _related_links(self, request: HttpRequest, record: models.Model) -> list[dict[str, Any]]:
        links = []
        for label, lookup in self.related_lists:
            related = self.admin_site.get_model_admin(apps.get_model(label))
            if related.has_view_permission(request):
                options = related.opts
                address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
                links.append({"title": capfirst(options.verbose_name_plural), "url": f"{address}?{lookup}={record.pk}"})
        return links

    # --- Deleting ----------------------------------------------------------------------------------

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return what goes with the records, and what holds them, without reading more of it than a page shows."""
        return deleted_objects(list(objs), request, self.admin_site)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, and delete. What the database refuses becomes a message."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except Exception as error:
            message = refusal(error)
            if message is None:
                raise
        self.message_user(request, message, messages.ERROR)
        return HttpResponseRedirect(request.path.removesuffix("delete/") + "change/")

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        """Delete the record, with the deferred constraints checked."""
        super().delete_model(request, obj)
        connection.check_constraints()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the records, with the deferred constraints checked."""
        super().delete_queryset(request, queryset)
        connection.check_constraints()

    def response_action(self, request: HttpRequest, queryset: QuerySet, *args: Any) -> HttpResponse | None:
        """Run an action of the list on the rows that were ticked. What is refused becomes a message."""
        responses: list[HttpResponse | None] = []
        message = attempt(lambda: responses.append(super(EditingMixin, self).response_action(request, queryset, *args)))
        if message is not None:
            self.message_user(request, message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return responses[0]
