"""Nobody overwrites with a form what they haven't seen: a page knows the last change of the record that it shows.

A change is what has an audit event. The version that the API's entity tags are made of counts more, such as an
agent's heartbeats, which no form writes and nobody needs to look at again.
"""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.dateparse import parse_datetime

from core.admin.history import visible
from core.models import Audited, AuditEvent
from core.violations import Violation

FIELD = "last_change"
NONE_YET = "none"
CHANGED = Violation(
    None, "changed", "This was changed since you opened it, as shown above. Look again, and save if it shall be so."
)
MOST_SHOWN = 20


class VersionsMixin(admin.ModelAdmin):
    """The part of RecordAdmin that refuses a form which is older than a change, and shows what changed since.

    The changes are looked for under the row's lock, which lasts until what is saved is committed. The page that
    refuses keeps what was entered, and knows of the changes that it tells of, so that it can be saved then. A form
    that doesn't say what it knows (of a script) is taken as it is, like a request without If-Match.
    """

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Show or save the form of a record."""
        request._muster_shows = object_id is not None  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, *args, **kwargs)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the record; for its form as it stands after the last change that is known, and locked to be saved."""
        record = super().get_object(request, object_id, from_field)
        if not isinstance(record, Audited) or not getattr(request, "_muster_shows", False):
            return record
        rows = self.get_queryset(request).filter(pk=record.pk)
        if request.method == "POST":
            record = rows.select_for_update(of=("self",)).first()
            self._note_last_change(request, record)
        else:
            self._note_last_change(request, record)
            record = rows.first()
        return record

    def _note_last_change(self, request: HttpRequest, record: Any) -> None:
        last = self._changes_of(record).values_list("timestamp", flat=True).first() if record else None
        request._muster_last_change = last  # type: ignore[attr-defined]

    def _changes_of(self, record: Any) -> QuerySet[AuditEvent]:
        return self.events_of(record).exclude(old_value=None).exclude(new_value=None)  # type: ignore[attr-defined]

    def refused_before(self, request: HttpRequest, record: Any) -> Violation | None:
        """Return what the form has to tell of besides its own: that the record was changed meanwhile."""
        refused = super().refused_before(request, record)  # type: ignore[misc]
        return CHANGED if refused is None and _is_late(request) else refused

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the last change to the form, and where it is late, those that it knew nothing of."""
        record = context.get("original")
        if isinstance(record, Audited):
            last = getattr(request, "_muster_last_change", None)
            context["last_change"] = last.isoformat() if last else NONE_YET
            if _is_late(request):
                seen = _moment(request.POST[FIELD])
                changes = visible(request, self._changes_of(record))
                context["changes_since"] = (changes.filter(timestamp__gt=seen) if seen else changes)[:MOST_SHOWN]
        return super().render_change_form(request, context, *args, **kwargs)


def _moment(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except ValueError:
        return None


def _is_late(request: HttpRequest) -> bool:
    """Tell whether the form that was sent is older than the record's last change."""
    last, seen = getattr(request, "_muster_last_change", None), request.POST.get(FIELD)
    return seen is not None and seen != (last.isoformat() if last else NONE_YET)
