"""Organizations and their members."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from core.admin.base import RecordAdmin
from core.admin.forms import RecordForm
from core.models import Membership, Organization, Role
from core.services import access


@admin.register(Organization)
class OrganizationAdmin(RecordAdmin):
    """Organizations. Only a superuser makes one, and nobody deletes one: it is deactivated."""

    description = "The tenants: each other record belongs to one."
    list_display = ("name", "slug", "plan_tier", "is_active", "created_at")
    list_filter = ("plan_tier", "is_active", "created_at")
    search_fields = ("^name", "^slug")
    prepopulated_fields = {"slug": ("name",)}
    fields = ("name", "slug", "plan_tier", "is_active", "settings")
    related_lists = (
        ("core.Membership", "organization__id__exact"),
        ("core.APIKey", "organization__id__exact"),
        ("core.AuditEvent", "organization__id__exact"),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user is a superuser: others would not be members of what they made."""
        return super().has_add_permission(request) and request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False


class MembershipAddForm(RecordForm):
    """Makes a person a member by email, since the people of other organizations are not to be searched."""

    email = forms.EmailField(help_text="A person who is new to Muster gets a user without a password.")
    name = forms.CharField(max_length=200, required=False, help_text="For a person who is new to Muster.")

    def clean(self) -> dict[str, Any]:
        """Refuse who is a member already."""
        cleaned = super().clean()
        email, organization = cleaned.get("email"), cleaned.get("organization")
        if email and Membership.objects.filter(organization=organization, user__email__iexact=email).exists():
            self.add_error("email", f"{email} is a member already.")
        return cleaned


@admin.register(Membership)
class MembershipAdmin(RecordAdmin):
    """Memberships."""

    description = "Who is in which organization, and in what role."
    list_display = ("user", "organization", "role", "created_at")
    list_filter = ("organization", "user", "role", "created_at")
    search_fields = ("=user__email",)
    search_help_text = "A whole email address."

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Return the person by email for a new membership, and the user afterwards."""
        return ["user", "role"] if obj else ["email", "name", "role"]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Return the user besides: another person is another membership."""
        return [*super().get_readonly_fields(request, obj), *(["user"] if obj else [])]

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form that takes an email for a new membership."""
        if obj is None:
            kwargs.setdefault("form", MembershipAddForm)
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        """Save a change; make a new member as the API does."""
        if change:
            super().save_model(request, obj, form, change)
            return
        made = access.add_member(
            organization_id=obj.organization_id,
            email=form.cleaned_data["email"],
            role=Role(obj.role),
            name=form.cleaned_data["name"],
        )
        obj.__dict__.update(made.__dict__)
