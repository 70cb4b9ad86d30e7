"""Tasks, their runs, and messages."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.models import AgentMessage, Task, TaskRun
from agents.services import claims, runs, tasks
from core.admin import ReadOnlyAdmin, RecordAction, RecordAdmin
from core.search import matching


class CompleteForm(forms.Form):
    """How something ends well."""

    result = forms.JSONField(required=False, help_text="JSON; empty for none.")


class FailForm(forms.Form):
    """How something ends badly."""

    error_message = forms.CharField(label="What went wrong", max_length=2000)


@admin.register(Task)
class TaskAdmin(RecordAdmin):
    """Tasks. They move by their buttons, as the API's actions do; one that has runs is cancelled, not deleted."""

    description = "What there is to do, how urgent it is, and what came of it."
    list_display = (
        "name",
        "organization",
        "status",
        "priority",
        "task_type",
        "squad",
        "assigned_agent",
        "total_runs",
        "success_rate",
        "due_at",
        "created_at",
    )
    list_filter = (
        "organization",
        "status",
        "priority",
        "project",
        "squad",
        "assigned_agent",
        "due_at",
        "created_at",
    )
    search_fields = ("name", "description")
    search_help_text = "Words of the name or the description."
    fieldsets = (
        (None, {"fields": ("name", "description", "task_type", "status", "priority", "due_at")}),
        ("Who and for what", {"fields": ("project", "squad", "assigned_agent")}),
        ("How", {"fields": ("payload", "config", "max_rounds", "memory_size", "external_id")}),
        ("Outcome", {"fields": ("result", "error_message", "started_at", "completed_at")}),
        ("Runs", {"fields": ("total_runs", "successful_runs", "failed_runs", "success_rate")}),
        ("Lease", {"fields": ("claimed_by", "lease_expires_at")}),
    )
    readonly_fields = (
        "status",
        "result",
        "error_message",
        "started_at",
        "completed_at",
        "total_runs",
        "successful_runs",
        "failed_runs",
        "success_rate",
        "claimed_by",
        "lease_expires_at",
    )
    related_lists = (("agents.TaskRun", "task__id__exact"),)
    record_actions = (
        RecordAction("start", lambda request, task: runs.start_task(task=task)),
        RecordAction(
            "complete", lambda request, task, result: tasks.complete_task(task=task, result=result), form=CompleteForm
        ),
        RecordAction(
            "fail",
            lambda request, task, error_message: tasks.fail_task(task=task, error_message=error_message),
            form=FailForm,
        ),
        RecordAction(
            "cancel",
            lambda request, task: tasks.cancel_task(task=task),
            confirm="Cancel the task, and its active runs?",
        ),
        RecordAction("retry", lambda request, task: tasks.retry_task(task=task)),
        RecordAction(
            "end_lease",
            lambda request, task: claims.release_task(task=task, lease_token=task.lease_token),
            confirm="Take the task from whoever holds it? Its active runs are cancelled, and others can claim it.",
            available=lambda task: task.lease_token is not None,
        ),
    )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[Any, bool]:
        """Return the rows whose name or description has each word, by the trigram index."""
        if len(search_term.strip()) in (32, 36) or "\0" in search_term:
            return super().get_search_results(request, queryset, search_term)
        return matching(queryset, search_term, self.search_fields), False

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the task, unless it has runs."""
        tasks.delete_task(task=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the tasks, unless one of them has runs."""
        for task in queryset.order_by("pk"):
            tasks.delete_task(task=task)


@admin.register(TaskRun)
class TaskRunAdmin(RecordAdmin):
    """Runs. They are made by their task's buttons, move by their own, and are never deleted."""

    description = "The attempts at tasks, with their plans, results and errors."
    list_display = (
        *("task", "run_number", "organization", "status", "started_at", "completed_at", "duration", "created_at"),
    )
    list_filter = ("organization", "status", "task", "created_at")
    fieldsets = (
        (None, {"fields": ("task", "run_number", "status", "plan")}),
        ("Outcome", {"fields": ("results", "error_message", "error_details")}),
        ("Times", {"fields": ("started_at", "completed_at", "duration")}),
    )
    readonly_fields = (
        *("task", "run_number", "status", "results", "error_message", "error_details"),
        *("started_at", "completed_at", "duration"),
    )
    related_lists = (("agents.AgentMessage", "task_run__id__exact"),)
    record_actions = (
        RecordAction("start", lambda request, run: runs.start_run(run=run)),
        RecordAction(
            "complete", lambda request, run, result: runs.complete_run(run=run, results=result), form=CompleteForm
        ),
        RecordAction(
            "fail",
            lambda request, run, error_message: runs.fail_run(run=run, error_message=error_message),
            form=FailForm,
        ),
        RecordAction("cancel", lambda request, run: runs.cancel_run(run=run), confirm="Cancel the run?"),
        RecordAction("retry", lambda request, run: runs.retry_run(run=run), available=lambda run: not run.is_active),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a run is made by starting its task."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: runs are history."""
        return False


@admin.register(AgentMessage)
class AgentMessageAdmin(ReadOnlyAdmin):
    """Messages, to read: they stand as they were said."""

    description = "What members of squads say to each other during runs."
    list_display = ("created_at", "organization", "message_type", "sender", "recipient", "task_run", "thread")
    list_filter = ("organization", "message_type", "task_run", "sender", "recipient", "created_at")
    list_select_related = ("sender__agent", "recipient__agent", "task_run__task")
    fields = ("task_run", "sender", "recipient", "message_type", "thread", "content", "metadata")
