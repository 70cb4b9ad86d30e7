"""The queue of background jobs, to look at; jobs can be retried and cancelled. Superusers see it: jobs belong to no
organization.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.formats import localize
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from procrastinate.contrib.django import admin as library_pages
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob

from core import audit
from core.admin.actions import RecordAction
from core.admin.base import ReadOnlyAdmin
from core.admin.filters import WholeTextFilter
from core.admin.forms import pretty_json
from core.jobs import control
from core.models import AuditEvent

# The library's own page, which its module has registered by now, reads all queues and tasks to draw its filters.
admin.site.unregister(library_pages.models.ProcrastinateJob)


def retry(request: HttpRequest, job: ProcrastinateJob) -> None:
    """Start a failed job again."""
    control.retry(job.pk)
    _record("job.retry", job)


def cancel(request: HttpRequest, job: ProcrastinateJob) -> None:
    """Take a waiting job out of the queue."""
    control.cancel(job.pk)
    _record("job.cancel", job)


def _record(event_type: str, job: ProcrastinateJob) -> None:
    audit.record(event_type, details={"job": job.pk, "task": job.task_name})


@admin.register(ProcrastinateJob)
class JobAdmin(ReadOnlyAdmin):
    """The queue."""

    description = "What workers do, did and will do."
    list_display = ("id", "task_name", "status", "queue_name", "attempts", "scheduled_at", "priority")
    list_filter = ("status", ("queue_name", WholeTextFilter), ("task_name", WholeTextFilter), "scheduled_at")
    list_keep = ("args", "lock", "queueing_lock")  # by which a job calls itself
    fields = (
        "id",
        "task_name",
        "status",
        "arguments",
        "queue_name",
        "attempts",
        "scheduled_at",
        "priority",
        "lock",
        "queueing_lock",
        "what_happened",
    )
    record_actions = (
        RecordAction("retry", retry, available=lambda job: job.status == "failed", permission="view"),
        RecordAction("cancel", cancel, available=lambda job: job.status == "todo", permission="view"),
    )

    def events_of(self, record: Any) -> Any:
        """Return the deeds of staff; what workers did stands on the job's page."""
        return AuditEvent.objects.filter(resource_type="job", details__contains={"job": record.pk})

    @admin.display(description="Arguments")
    def arguments(self, job: ProcrastinateJob) -> str:
        """Return what the task is called with."""
        return pretty_json(job.args)

    @admin.display(description="What happened")
    def what_happened(self, job: ProcrastinateJob) -> SafeString:
        """Return the job's steps, oldest first."""
        events = ProcrastinateEvent.objects.filter(job=job).order_by("pk").values_list("at", "type")
        lines = ((localize(localtime(at)) if at else "", kind.replace("_", " ")) for at, kind in events)
        return format_html_join("", "<div>{} {}</div>", lines)
