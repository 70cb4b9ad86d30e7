"""Modifications, with the page on which they are reviewed."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from agents.models import Modification, ModificationStatus
from agents.services import comparison, modifications
from core.admin import RecordAction, RecordAdmin
from core.admin.actions import attempt
from core.admin.forms import ReadableJSONField

ASKED = ("title", "request", "impact_analysis", "risk_level", "affected_files")
DECISIONS = {"approve": modifications.approve, "reject": modifications.reject}


class ResultForm(forms.Form):
    """What came of applying a modification."""

    result = ReadableJSONField(required=False, help_text="As JSON, such as a commit and its checks.")


class FailureForm(ResultForm):
    """Why applying a modification failed."""

    error = forms.CharField(max_length=10_000, widget=forms.Textarea({"rows": 4, "cols": 80}))
    field_order = ("error", "result")


class ReviewForm(forms.Form):
    """What a reviewer says. ``as_of`` is the time of what the page showed."""

    comment = forms.CharField(max_length=10_000, widget=forms.Textarea({"rows": 6, "cols": 80}))
    as_of = forms.CharField(widget=forms.HiddenInput)

    def clean_as_of(self) -> datetime:
        """Return the time, to the microsecond, which Django's own field would drop."""
        try:
            moment = datetime.fromisoformat(self.cleaned_data["as_of"])
        except ValueError as error:
            raise ValidationError("This is no time.") from error
        if moment.tzinfo is None:
            raise ValidationError("This time has no zone.")
        return moment


@admin.register(Modification)
class ModificationAdmin(RecordAdmin):
    """Modifications. Who asked can change them until the review, and somebody else reviews."""

    description = "Changes that are asked for, reviewed by somebody else, and applied."
    list_display = ("title", "organization", "context", "status", "risk_level", "requested_by", "created_at")
    list_filter = ("organization", "status", "risk_level", "context", "affected_files", "requested_by", "created_at")
    list_select_related = ("context__project",)
    search_fields = ("^title",)
    fieldsets = (
        (None, {"fields": ("context", *ASKED)}),
        ("Review", {"fields": ("status", "requested_by", "reviewed_by", "review_comment", "reviewed_at")}),
        ("Application", {"fields": ("result", "error_message", "applied_at", "failed_at")}),
    )
    readonly_fields = (
        "status",
        "requested_by",
        "reviewed_by",
        "review_comment",
        "reviewed_at",
        "result",
        "error_message",
        "applied_at",
        "failed_at",
    )
    record_actions = (
        RecordAction(
            "apply",
            lambda request, modification, result: modifications.apply(modification=modification, result=result),
            label="Note as applied",
            form=ResultForm,
        ),
        RecordAction(
            "fail",
            lambda request, modification, error, result: modifications.fail(
                modification=modification, error=error, result=result
            ),
            label="Note as failed",
            form=FailureForm,
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return what was asked for besides, unless the user asked for it and it isn't reviewed yet."""
        fields = super().get_readonly_fields(request, obj)
        if obj is None:
            return fields
        own = obj.requested_by_id == request.user.pk and obj.status == ModificationStatus.PENDING
        return [*fields, "context"] if own else [*fields, "context", *ASKED]

    def save_model(self, request: HttpRequest, obj: Modification, form: Any, change: bool) -> None:
        """Save what is asked for, and who asks."""
        if change:
            changes = {name: form.cleaned_data[name] for name in form.changed_data if name in ASKED}
            modifications.amend(modification=obj, user=request.user, **changes)  # type: ignore[arg-type]
        else:
            obj.requested_by = request.user  # type: ignore[assignment]
            super().save_model(request, obj, form, change)

    # --- The review --------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Return the kit's addresses and that of the review."""
        review = path(
            "<path:object_id>/review/",
            self.admin_site.admin_view(self.review_view),
            name="agents_modification_review",
        )
        return [review, *super().get_urls()]

    def action_buttons(self, request: HttpRequest, record: Any) -> list[dict[str, Any]]:
        """Return the kit's buttons, and the one that leads to the review."""
        url = reverse("admin:agents_modification_review", args=(record.pk,), current_app=self.admin_site.name)
        pending = record.status == ModificationStatus.PENDING
        review = [{"title": "Review", "url": url, "asks": True}] if pending else []
        return [*review, *super().action_buttons(request, record)]

    def review_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show all that a reviewer needs; on POST, approve or reject."""
        modification = self.get_object(request, unquote(object_id))
        if modification is None:
            raise Http404
        if not self.has_view_permission(request, modification):
            raise PermissionDenied
        if request.method == "POST":
            if not self.has_change_permission(request, modification):
                raise PermissionDenied
            form = ReviewForm(request.POST)
            decide = DECISIONS.get(request.POST.get("decision", ""))
            if decide is None:
                form.add_error(None, "Choose one of the two buttons.")
            if form.is_valid() and decide:
                return self._decide(request, modification, decide, form.cleaned_data)
        else:
            form = ReviewForm(initial={"as_of": modification.updated_at.isoformat()})
        return TemplateResponse(
            request, "admin/agents/modification/review.html", self._review_context(request, modification, form)
        )

    def _decide(
        self, request: HttpRequest, modification: Modification, decide: Any, data: dict[str, Any]
    ) -> HttpResponse:
        refusal = attempt(decide, modification=modification, reviewer=request.user, **data)
        if refusal:
            self.message_user(request, refusal, messages.ERROR)
            return HttpResponseRedirect(request.path)
        modification.refresh_from_db()
        told = f"“{modification}” is {modification.get_status_display().lower()}."
        self.message_user(request, told, messages.SUCCESS)
        back = reverse("admin:agents_modification_change", args=(modification.pk,), current_app=self.admin_site.name)
        return HttpResponseRedirect(back)

    def _review_context(self, request: HttpRequest, modification: Modification, form: ReviewForm) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": f"Review: {modification}",
            "opts": self.opts,
            "media": self.media,
            "modification": modification,
            "form": form,
            "hindrance": self._hindrance(request, modification),
            "changes": comparison.since_previous(context=modification.context),
        }

    def _hindrance(self, request: HttpRequest, modification: Modification) -> str:
        """Return why the user can't review it; empty when nothing keeps the user from it."""
        if modification.status != ModificationStatus.PENDING:
            return f"It is {modification.get_status_display().lower()} already."
        if not self.has_change_permission(request, modification):
            return "You may only look at it."
        if not modifications.may_review(modification=modification, user_id=request.user.pk):
            return "You asked for this modification, so somebody else reviews it."
        return ""
