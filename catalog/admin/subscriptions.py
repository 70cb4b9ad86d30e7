"""Subscriptions."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from catalog.models import Subscription
from catalog.services import subscriptions
from core.admin import RecordAction, RecordAdmin


class CancelForm(forms.Form):
    """When a subscription ends."""

    at_period_end = forms.BooleanField(required=False, help_text="It lasts until its period ends.")


@admin.register(Subscription)
class SubscriptionAdmin(RecordAdmin):
    """Subscriptions. The status moves by the buttons."""

    description = "What organizations pay for again and again."
    list_display = ("plan_tier", "organization", "status", "seats", "price", "currency", "current_period_end")
    list_filter = ("organization", "status", "plan_tier", "billing_interval", "current_period_end", "created_at")
    fieldsets = (
        (None, {"fields": ("plan_tier", "status", "seats", "external_id")}),
        ("Price", {"fields": ("price", "currency", "billing_interval")}),
        ("Period", {"fields": ("current_period_start", "current_period_end", "cancel_at_period_end")}),
        ("Times", {"fields": ("cancelled_at", "expired_at")}),
    )
    readonly_fields = ("cancelled_at", "expired_at")
    related_lists = (("catalog.UsageRecord", "subscription__id__exact"),)
    record_actions = (
        RecordAction("activate", lambda request, record: subscriptions.activate_subscription(subscription=record)),
        RecordAction(
            "fall_due",
            lambda request, record: subscriptions.mark_past_due(subscription=record),
            label="Mark past due",
        ),
        RecordAction(
            "renew",
            lambda request, record: subscriptions.renew_subscription(subscription=record),
            confirm="Begin the next period? A subscription that was to end with the present one is cancelled.",
            available=lambda record: record.is_live,
        ),
        RecordAction(
            "cancel",
            lambda request, record, at_period_end: subscriptions.cancel_subscription(
                subscription=record, at_period_end=at_period_end
            ),
            form=CancelForm,
        ),
        RecordAction(
            "expire",
            lambda request, record: subscriptions.expire_subscription(subscription=record),
            confirm="End the subscription as expired?",
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the status besides, once the subscription stands."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "status"] if obj else fields
