"""Failed logins, to look at and to unlock. Superusers see them: they belong to no organization."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from core.admin import ReadOnlyAdmin, RecordAction
from core.limits import logins
from core.limits.models import LoginFailures
from core.models import AuditEvent


def unlock(request: HttpRequest, row: LoginFailures) -> None:
    """Forget the failures."""
    logins.forget(LoginFailures.objects.filter(pk=row.pk))


@admin.register(LoginFailures)
class LoginFailuresAdmin(ReadOnlyAdmin):
    """Failed logins of late, by email and address."""

    description = "Which logins failed of late, and what is locked."
    list_display = ("id", "email", "address", "failures", "last_failed_at", "locked_until")
    list_filter = ("last_failed_at", "locked_until")
    search_fields = ("=email", "=address")
    fields = ("email", "address", "failures", "last_failed_at", "locked_until")
    record_actions = (RecordAction("unlock", unlock, available=logins.is_locked, permission="view"),)

    def events_of(self, record: Any) -> Any:
        """Return when it was locked and unlocked."""
        details = {"email": record.email, "address": record.address}
        return AuditEvent.objects.filter(resource_type="user", details__contains=details)
