"""API keys. The page after the form shows the key's text, once; nothing keeps it."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from core.admin.actions import RecordAction
from core.admin.base import RecordAdmin
from core.models import APIKey, User
from core.services import access


@admin.register(APIKey)
class APIKeyAdmin(RecordAdmin):
    """API keys. A superuser makes keys for anyone; others only for themselves, since a key acts for its user."""

    description = "By which clients act for a user in one organization."
    list_display = ("name", "shown_prefix", "user", "organization", "state", "last_used_at", "expires_at")
    list_filter = ("organization", "user", "expires_at", "last_used_at", "created_at")
    search_fields = ("^name", "^prefix")
    fields = ("user", "name", "scopes", "expires_at", "shown_prefix", "state", "last_used_at", "revoked_at")
    readonly_fields = ("shown_prefix", "state", "last_used_at", "revoked_at")
    record_actions = (
        RecordAction(
            "revoke",
            lambda request, key: access.revoke_key(key=key),
            confirm="Revoke it for good? Clients that use it are refused at once.",
            available=lambda key: not key.is_revoked,
        ),
    )

    @admin.display(description="Prefix")
    def shown_prefix(self, key: APIKey) -> str:
        """Return the part of the key that may be shown."""
        return f"mst_{key.prefix}_…"

    @admin.display(description="State")
    def state(self, key: APIKey) -> str:
        """Return whether the key can be used."""
        if key.is_revoked:
            return "revoked"
        return "expired" if key.expires_at and key.expires_at <= timezone.now() else "usable"

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Return what can be said of a new key, or all that is known of one."""
        if obj is not None:
            return list(self.fields)
        return [*(["user"] if self._chooses_user(request) else []), "name", "scopes", "expires_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Return the user besides: a key acts for one person."""
        return [*super().get_readonly_fields(request, obj), *(["user"] if obj else [])]

    def _chooses_user(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    @sensitive_variables("text")
    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        """Save a change; issue a new key, and keep its text until the answer is written."""
        if change:
            super().save_model(request, obj, form, change)
            return
        user = obj.user if self._chooses_user(request) else request.user
        assert isinstance(user, User)
        made, text = access.issue_key(
            user=user,
            organization_id=obj.organization_id,
            name=obj.name,
            scopes=obj.scopes,
            expires_at=obj.expires_at,
        )
        obj.__dict__.update(made.__dict__)
        request._muster_key_text = text  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: APIKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key's text. The page is the answer to the form itself, so that no session has to store it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key made",
            "opts": self.opts,
            "record": obj,
            "text": request._muster_key_text,  # type: ignore[attr-defined]
        }
        # The admin has browsers store none of its pages.
        return TemplateResponse(request, "admin/core/apikey/made.html", context)
