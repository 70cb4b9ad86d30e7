"""Usage."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from catalog.models import UsageRecord
from core.admin import RecordAdmin, WholeTextFilter


@admin.register(UsageRecord)
class UsageRecordAdmin(RecordAdmin):
    """Usage. It never changes: what was wrong is deleted, and recorded anew."""

    description = "What was consumed, by metric and month."
    list_display = ("metric", "organization", "quantity", "unit", "recorded_at", "period", "source")
    list_filter = ("organization", ("metric", WholeTextFilter), "subscription", "period", "recorded_at", "created_at")
    fields = ("subscription", "metric", "quantity", "unit", "recorded_at", "period", "source", "idempotency_key")
    readonly_fields = ("period",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: what was recorded stays as it is."""
        return False
