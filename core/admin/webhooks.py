"""Webhooks and their deliveries. A secret is shown once, on the page that follows its making."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_variables

from core.admin.actions import RecordAction
from core.admin.base import ReadOnlyAdmin, RecordAdmin
from core.admin.filters import WholeTextFilter
from core.admin.forms import pretty_json
from core.admin.tenancy import Reach
from core.models import Webhook, WebhookDelivery
from core.services import webhooks


@sensitive_variables("secret")
def rotate(request: HttpRequest, webhook: Webhook) -> None:
    """Rotate the secret, and keep it until the answer is written."""
    secret = webhooks.rotate_secret(webhook=webhook)
    request._muster_secret = secret  # type: ignore[attr-defined]


@admin.register(Webhook)
class WebhookAdmin(RecordAdmin):
    """Webhooks."""

    description = "Addresses that are told of events."
    list_display = ("url", "organization", "event_types", "state", "failing_since", "created_at")
    list_filter = ("organization", "is_active", "pause_reason", "created_at")
    search_fields = ("^url",)
    fields = ("url", "description", "event_types", "state", "failing_since", "previous_secret_until")
    readonly_fields = ("state", "failing_since", "previous_secret_until")
    related_lists = (("core.WebhookDelivery", "webhook__id__exact"),)
    record_actions = (
        RecordAction("send_test", lambda request, webhook: webhooks.send_test(webhook=webhook), label="Send a test"),
        RecordAction(
            "pause",
            lambda request, webhook: webhooks.pause(webhook=webhook),
            available=lambda webhook: webhook.is_active,
        ),
        RecordAction(
            "resume",
            lambda request, webhook: webhooks.resume(webhook=webhook),
            available=lambda webhook: not webhook.is_active,
        ),
        RecordAction(
            "rotate_secret",
            rotate,
            confirm="Make a new secret? For a day, the present one signs every message too.",
            bulk=False,
        ),
    )

    @admin.display(description="State")
    def state(self, webhook: Webhook) -> str:
        """Return whether it is told of events, and why not."""
        if webhook.pause_reason:
            return f"paused: {webhook.get_pause_reason_display()}"
        return "active" if webhook.is_active else "paused"

    @sensitive_variables("secret")
    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        """Save a change; keep a new webhook's secret until the answer is written."""
        super().save_model(request, obj, form, change)
        if not change:
            request._muster_secret = obj.secret  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        """Show the secret. The page is the answer to the form itself, so that no session has to store it."""
        return self.show_secret(request, obj)

    def action_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Show the secret after a rotation, or else what follows an action."""
        response = super().action_view(request, object_id, name)
        if hasattr(request, "_muster_secret"):
            return self.show_secret(request, Webhook.objects.get(pk=object_id))
        return response

    def show_secret(self, request: HttpRequest, webhook: Webhook) -> TemplateResponse:
        """Return the page that shows a secret, once."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Secret made",
            "opts": self.opts,
            "record": webhook,
            "text": request._muster_secret,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/core/webhook/made.html", context)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Deliveries, with every try."""

    description = "What was sent to webhooks, and what they answered."
    list_display = (
        "event_type",
        "webhook",
        "status",
        "attempt_count",
        "response_code",
        "next_attempt_at",
        "created_at",
    )
    list_filter = ("webhook", "status", ("event_type", WholeTextFilter), "created_at")
    search_fields = ("=resource_id",)
    fields = (
        "webhook",
        "event",
        "event_type",
        "status",
        "attempt_count",
        "next_attempt_at",
        "delivered_at",
        "response_code",
        "duration_ms",
        "response_excerpt",
        "tries",
        "body",
    )
    record_actions = (
        RecordAction("redeliver", lambda request, delivery: webhooks.redeliver(delivery=delivery), permission="view"),
    )

    @admin.display(description="Tries")
    def tries(self, delivery: WebhookDelivery) -> str | SafeString:
        """Return every try."""
        return pretty_json(delivery.attempts)


def paused(reach: Reach) -> list[Webhook]:
    """Return the webhooks in reach that were paused by themselves, for the index page to tell."""
    rows = Webhook.objects.exclude(pause_reason="").select_related("organization").defer("secret", "previous_secret")
    return list(reach.root(rows).order_by("-updated_at")[:20])
