"""Metrics, artifacts and their contents, feedback and insights."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase

from agents.models import Artifact, Feedback, InsightStatus, LearningInsight, MetricSnapshot, StoredContent
from agents.models.feedback import TARGETS
from agents.services import artifacts, insights
from core.admin import DownloadMixin, ReadOnlyAdmin, RecordAction, RecordAdmin, WholeTextFilter
from core.api.downloads import download


@admin.register(MetricSnapshot)
class MetricSnapshotAdmin(RecordAdmin):
    """Metrics, to read: they stand as they were measured."""

    description = "What agents measured: latencies, counts, costs."
    list_display = ("name", "organization", "metric_type", "value", "unit", "task", "task_run", "timestamp")
    list_filter = ("organization", ("name", WholeTextFilter), "metric_type", "task", "timestamp")
    list_select_related = ("organization", "task", "task_run__task")
    fields = ("name", "metric_type", "value", "unit", "labels", "timestamp", "task", "task_run")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: metrics come by the API."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a metric stands as it was measured."""
        return False


@admin.register(StoredContent)
class StoredContentAdmin(ReadOnlyAdmin):
    """What lies in storage, to read: a content goes with the last artifact that has it."""

    description = "The files in storage, once for each content."
    list_display = ("sha256", "organization", "size", "created_at")
    list_filter = ("organization", "size", "created_at")
    search_fields = ("=sha256",)
    fields = ("sha256", "size", "location")
    related_lists = (("agents.Artifact", "stored__id__exact"),)


@admin.register(Artifact)
class ArtifactAdmin(DownloadMixin, RecordAdmin):
    """Artifacts, and what each holds."""

    description = "What work left behind: reports, data, logs, code."
    list_display = ("name", "organization", "artifact_type", "content_type", "size", "task", "created_at")
    list_filter = ("organization", "artifact_type", "task", "created_at")
    search_fields = ("=sha256",)
    fieldsets = (
        (None, {"fields": ("name", "artifact_type", "metadata", "task", "task_run")}),
        ("Content", {"fields": ("content_link", "content_type", "size", "sha256", "stored", "text_shown")}),
    )
    readonly_fields = (*("task", "task_run", "content_link", "content_type", "size", "sha256", "stored", "text_shown"),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: artifacts come by the API."""
        return False

    def send(self, request: HttpRequest, record: Artifact) -> HttpResponseBase:
        """Answer with the artifact's content."""
        return download(
            request,
            name=record.name,
            size=record.size,
            sha256=record.sha256,
            content_type=record.content_type,
            open_at=partial(artifacts.open_artifact, record),
        )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the artifact, and its content with it if no other artifact has it."""
        artifacts.delete_artifact(artifact=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the artifacts likewise."""
        for artifact in queryset.order_by("pk"):
            artifacts.delete_artifact(artifact=artifact)


class DraftForm(forms.Form):
    """What is to be learned."""

    insight = forms.CharField(
        required=False, widget=forms.Textarea, help_text="Empty: what the feedback's comment says."
    )


@admin.register(Feedback)
class FeedbackAdmin(RecordAdmin):
    """Feedback. Who adds it here gives it in their own name."""

    description = "What people think of runs, messages, executions and round tables' entries."
    list_display = ("__str__", "organization", "user", "rating", "thumbs_up", "category", "created_at")
    list_filter = ("organization", "rating", ("category", WholeTextFilter), "tags", "user", *TARGETS[2:], "created_at")
    list_keep = ("comment",)
    fields = (*TARGETS, "user", "rating", "thumbs_up", "category", "comment", "tags")
    readonly_fields = ("user",)
    related_lists = (("agents.LearningInsight", "source_feedback__id__exact"),)
    record_actions = (
        RecordAction(
            "draft_insight",
            lambda request, feedback, insight: insights.draft_from_feedback(feedback=feedback, insight=insight),
            form=DraftForm,
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the target besides, once it is given: feedback stays with it."""
        given = super().get_readonly_fields(request, obj)
        return (*given, *TARGETS) if obj else given

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the feedback, a new one in the name of who gives it."""
        if not change:
            obj.user = request.user
        super().save_model(request, obj, form, change)


@admin.register(LearningInsight)
class LearningInsightAdmin(RecordAdmin):
    """Insights. They move by their buttons; only drafts are deleted, and only a draft's text changes."""

    description = "What was learned from feedback and runs, and how often it was applied."
    list_display = ("__str__", "organization", "squad", "category", "confidence", "times_applied", "status")
    list_filter = ("organization", "status", ("category", WholeTextFilter), "squad", "confidence", "created_at")
    list_keep = ("insight",)
    fieldsets = (
        (None, {"fields": ("insight", "category", "squad", "confidence", "status", "times_applied")}),
        ("Where it comes from", {"fields": ("source_feedback", "source_run", "evidence")}),
    )
    readonly_fields = ("status", "times_applied")
    record_actions = (
        RecordAction("accept", lambda request, insight: LearningInsight.lifecycle.move(insight, "accept")),
        RecordAction(
            "apply",
            lambda request, insight: insights.apply_insight(insight=insight),
            label="Count an application",
            available=lambda insight: insight.status == InsightStatus.ACCEPTED,
        ),
        RecordAction(
            "retire",
            lambda request, insight: LearningInsight.lifecycle.move(insight, "retire"),
            confirm="Retire the insight? It is not applied any more.",
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the text besides, once it was accepted."""
        fixed = super().get_readonly_fields(request, obj)
        return (*fixed, "insight") if obj and obj.status != InsightStatus.DRAFT else fixed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for what was accepted: it is retired instead."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.status == InsightStatus.DRAFT)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the drafts; ConflictError when one is none."""
        for insight in queryset.order_by("pk"):
            insights.delete_draft(insight=insight)
