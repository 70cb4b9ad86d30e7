"""Users, and the groups that say what staff may do.

A person may belong to several organizations, so a user is none of theirs to change: that takes a superuser, as
does whatever grants permissions. Other staff see the users of their organizations.
"""

from typing import Any

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.forms import (
    AdminUserCreationForm,
    ReadOnlyPasswordHashField,
    ReadOnlyPasswordHashWidget,
    UserChangeForm,
)
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from core import audit
from core.admin.base import RecordAdmin
from core.admin.forms import RecordForm
from core.admin.history import HistoryMixin
from core.models import AuditEvent, User

admin.site.unregister(Group)


class PasswordState(ReadOnlyPasswordHashWidget):
    """Tells whether there is a password, and nothing of its hash."""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        """Return what the template draws."""
        context = super().get_context(name, value, attrs)
        algorithm = str(value or "").partition("$")[0]
        usable = bool(algorithm) and not algorithm.startswith("!")
        told = f"Set; kept as {algorithm} hash." if usable else "None: can't log in by password."
        context["summary"] = [{"label": told}]
        return context


class UserForm(RecordForm, UserChangeForm):
    """Changes a user."""

    password = ReadOnlyPasswordHashField(widget=PasswordState, help_text="Nobody can read it.")


class UserAddForm(RecordForm, AdminUserCreationForm):
    """Makes a user, with a password or without one."""

    class Meta:
        model = User
        fields = ("email", "username", "name")

    def clean_username(self) -> str:
        """Accept a username that others have: people log in by email."""
        return self.cleaned_data["username"]


class SuperuserWrites:
    """Lets superusers only add, change and delete."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user is a superuser."""
        return request.user.is_active and request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user is a superuser."""
        return request.user.is_active and request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user is a superuser."""
        return request.user.is_active and request.user.is_superuser


@admin.register(User)
class UserAdmin(SuperuserWrites, RecordAdmin, auth_admin.UserAdmin):
    """Users."""

    description = "People who log in, or for whom API keys act."
    list_display = ("email", "name", "is_active", "is_staff", "is_superuser", "last_login", "created_at")
    list_filter = ("is_active", "is_staff", "is_superuser", "email_verified", "created_at")
    search_fields = ("^email", "^username", "^name")
    ordering = ("-pk",)
    form = UserForm
    add_form = UserAddForm
    fieldsets = (
        (None, {"fields": ("email", "username", "name", "password", "email_verified", "is_active")}),
        ("Staff", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Logins", {"fields": ("last_login",)}),
    )
    add_fieldsets = ((None, {"fields": ("email", "username", "name", "usable_password", "password1", "password2")}),)
    readonly_fields = ("last_login",)
    related_lists = (("core.Membership", "user__id__exact"), ("core.AuditEvent", "user__id__exact"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return less to those who only look."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return fieldsets
        return [(None, {"fields": ("email", "username", "name", "is_active")})]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form; that of a new user takes a password."""
        if obj is None:
            kwargs.setdefault("form", self.add_form)
        return super().get_form(request, obj, change, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save what is granted, and record it: the tables that hold it have no audit trigger."""
        user: User = form.instance
        before = granted(user)
        super().save_related(request, form, formsets, change)
        record_change("user", before, granted(user), resource_id=user.pk)


class GroupAdmin(SuperuserWrites, HistoryMixin, auth_admin.GroupAdmin):
    """Groups of permissions."""

    description = "What staff who aren't superusers may do."
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    action_buttons = None

    def events_of(self, record: Model) -> QuerySet[AuditEvent]:
        """Return the events of a group, which has no UUID to be found by."""
        return AuditEvent.objects.filter(resource_type="group", details__contains={"group": record.pk})

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the permissions, and record them: the tables of groups have no audit trigger."""
        group: Group = form.instance
        before = permissions(group) if change else {}
        super().save_related(request, form, formsets, change)
        verb = "update" if change else "create"
        record_change("group", before, permissions(group), verb=verb, details={"group": group.pk, "name": group.name})

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        """Delete the group, and record it."""
        details, before = {"group": obj.pk, "name": obj.name}, permissions(obj)
        super().delete_model(request, obj)
        record_change("group", before, {}, verb="delete", details=details)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the groups one by one, and record it."""
        for group in queryset:
            self.delete_model(request, group)


admin.site.register(Group, GroupAdmin)


def permissions(group: Group) -> dict[str, list[str]]:
    """Return what the group grants, as events tell it."""
    return {"permissions": [f"{label}.{code}" for label, code in _codes(group.permissions)]}


def granted(user: User) -> dict[str, list[str]]:
    """Return what is granted to a user by groups and by name, as events tell it."""
    return {
        "groups": sorted(user.groups.values_list("name", flat=True)),
        "user_permissions": [f"{label}.{code}" for label, code in _codes(user.user_permissions)],
    }


def record_change(
    resource: str, before: dict[str, Any], after: dict[str, Any], verb: str = "update", **fields: Any
) -> None:
    """Record what changed between two accounts, if anything did."""
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if not changed and verb == "update":
        return
    audit.record(
        f"{resource}.{verb}",
        resource_type=resource,
        old_value={key: before[key] for key in sorted(changed & before.keys())} or None,
        new_value={key: after[key] for key in sorted(changed & after.keys())} or None,
        **fields,
    )


def _codes(relation: Any) -> list[tuple[str, str]]:
    return sorted(relation.values_list("content_type__app_label", "codename"))
