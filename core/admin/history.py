"""The history of a record, read from the event stream; Django's own log isn't written."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from rest_framework.exceptions import ValidationError

from core.admin import ordering
from core.admin.tenancy import reach_of
from core.api.pagination import Cursor, after
from core.models import AuditEvent

EVENTS_A_PAGE = 50
RECENT = 10


class HistoryMixin(admin.ModelAdmin):
    """The part of RecordAdmin that shows histories."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """Write nothing: the database has written the event."""

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """Write nothing: the database has written the event."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Write nothing: the database writes the events."""

    def events_of(self, record: Any) -> QuerySet[AuditEvent]:
        """Return all events of a record."""
        return AuditEvent.objects.about(record)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what happened to the record, newest first."""
        record = self.get_object(request, unquote(object_id))
        if record is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        if not self.has_view_or_change_permission(request, record):
            raise PermissionDenied
        events, older = page(request, visible(request, self.events_of(record)))
        context = {
            **self.admin_site.each_context(request),
            "title": f"History: {record}",
            "subtitle": None,
            "events": events,
            "older": older,
            "module_name": str(self.opts.verbose_name_plural).capitalize(),
            "object": record,
            "opts": self.opts,
            "preserved_filters": self.get_preserved_filters(request),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/object_history.html", context)


def visible(request: HttpRequest, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    """Return those of the events that the user may know of: of organizations in reach, and the user's own deeds."""
    reach = reach_of(request)
    if reach.everything:
        return events
    return events.filter(Q(organization__in=reach.seen) | Q(organization=None, user=request.user))


def page(request: HttpRequest, events: QuerySet[AuditEvent]) -> tuple[list[AuditEvent], str | None]:
    """Return a page of events, and the address of the older ones."""
    keys = ordering.keys(AuditEvent, ("-timestamp", "-pk"))
    events = events.order_by(*(key.order_by() for key in keys))
    if text := request.GET.get("cursor"):
        try:
            events = events.filter(after(keys, Cursor.decode(text, keys).values))
        except ValidationError:
            return [], None
    rows = list(events[: EVENTS_A_PAGE + 1])
    more, rows = len(rows) > EVENTS_A_PAGE, rows[:EVENTS_A_PAGE]
    if not more:
        return rows, None
    last = rows[-1]
    return rows, f"?cursor={Cursor([last.timestamp, last.pk], backwards=False).encode(keys)}"


def recent(request: HttpRequest, admin_site: Any) -> list[dict[str, Any]]:
    """Return what the user did last, each with the address of the record where there is one."""
    places = {model.resource(): model._meta for model in admin_site._registry if hasattr(model, "resource")}
    events = visible(request, AuditEvent.objects.filter(user=request.user.pk).exclude(event_type__startswith="login."))
    events = events.only("event_type", "resource_type", "resource_id", "timestamp")
    return [
        {"event": event, "url": _address(places.get(event.resource_type), event)}
        for event in events.order_by("-timestamp", "-id")[:RECENT]
    ]


def _address(options: Any, event: AuditEvent) -> str | None:
    if options is None or event.resource_id is None or event.event_type.endswith(".delete"):
        return None
    try:
        return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=(event.resource_id,))
    except NoReverseMatch:
        return None
