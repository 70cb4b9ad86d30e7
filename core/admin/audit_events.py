"""The audit log, to read."""

from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.admin.base import ReadOnlyAdmin
from core.admin.filters import WholeTextFilter
from core.admin.forms import pretty_json
from core.models import AuditEvent


class ResourceFilter(admin.SimpleListFilter):
    """Events of one kind of record."""

    title = "resource type"
    parameter_name = "resource_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the kinds of records that have events."""
        kinds = {model.resource() for model in apps.get_models() if hasattr(model, "resource")}
        return [(kind, kind.replace("_", " ")) for kind in sorted(kinds | {"group", "request"})]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Return the events of the kind."""
        return queryset.filter(resource_type=self.value()) if self.value() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """The audit log. It can only be read."""

    description = "Who did what, when, from where; what it was before and after."
    list_display = ("timestamp", "event_type", "short_resource", "who", "source", "organization", "success")
    list_filter = (
        ("event_type", WholeTextFilter),
        ResourceFilter,
        "organization",
        "user",
        "timestamp",
        "success",
        ("request_id", WholeTextFilter),
    )
    list_keep = ("details",)
    ordering = ("-timestamp", "-pk")
    search_fields = ("=resource_id",)
    search_help_text = "The id of an event or of a record."
    list_select_related = ("organization",)
    fields = (
        "timestamp",
        "event_type",
        "resource",
        "organization",
        "who",
        "api_key",
        "success",
        "error_message",
        "what_changed",
        "source",
        "request_id",
        "ip_address",
        "user_agent",
        "shown_details",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        """Return the events in reach. What they refer to may be gone."""
        return super().get_queryset(request).select_related("organization", "user", "api_key")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[Any, bool]:
        """Return the event with this id, or the events of the record with this id."""
        if not search_term.strip():
            return queryset, False
        try:
            key = UUID(search_term.strip())
        except ValueError:
            return queryset.none(), False
        return queryset.filter(Q(pk=key) | Q(resource_id=key)), False

    @admin.display(description="By")
    def who(self, event: AuditEvent) -> str:
        """Return the email as it was."""
        return event.user_email or "-"

    @admin.display(description="Source")
    def source(self, event: AuditEvent) -> str:
        """Return by which way it came: admin, api, command, job, or the database client."""
        return str(event.details.get("source", "-"))

    @admin.display(description="Record")
    def short_resource(self, event: AuditEvent) -> str | SafeString:
        """Return the record's kind and the end of its id, as a link where it has a page."""
        return self._resource(event, f"{event.resource_type} …{str(event.resource_id)[-8:]}")

    @admin.display(description="Record")
    def resource(self, event: AuditEvent) -> str | SafeString:
        """Return the record's kind and id, as a link where it has a page."""
        return self._resource(event, f"{event.resource_type} {event.resource_id}")

    def _resource(self, event: AuditEvent, text: str) -> str | SafeString:
        if event.resource_id is None:
            return event.resource_type
        for model in self.admin_site._registry:
            if hasattr(model, "resource") and model.resource() == event.resource_type:
                options = model._meta
                try:
                    url = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=(event.resource_id,))
                except NoReverseMatch:
                    return text
                return format_html('<a href="{}">{}</a>', url, text)
        return text

    @admin.display(description="What changed")
    def what_changed(self, event: AuditEvent) -> str | SafeString:
        """Return the changed fields as a table."""
        if not event.changes():
            return "-"
        return render_to_string("admin/event_changes.html", {"event": event})

    @admin.display(description="Details")
    def shown_details(self, event: AuditEvent) -> SafeString:
        """Return the details as people read them."""
        return format_html('<pre class="muster-json">{}</pre>', pretty_json(event.details))
