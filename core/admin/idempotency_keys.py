"""The keys of requests that were to be done once, to read."""

from django.contrib import admin

from core.admin.base import ReadOnlyAdmin
from core.models import IdempotencyKey


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    """Requests that clients named, so that they are done once, and what came of them. They are kept for a day."""

    description = "Which requests clients asked to be done once."
    list_display = ("key", "status", "location", "organization", "created_at")
    list_filter = ("organization", "created_at")
    search_fields = ("=key",)
    fields = ("key", "principal", "status", "location")
