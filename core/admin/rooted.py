"""What pages and inlines of records share: rows, choices and permissions end where the user's reach ends."""

from typing import Any

from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.widgets import ForeignKeyRawIdWidget
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest

from core.admin.forms import ReadableJSONField, array_formfield
from core.admin.tenancy import organization_of, reach_of
from core.admin.widgets import RecordSelect


class Rooted(BaseModelAdmin):
    """The part of RecordAdmin and RecordInline that keeps to the organizations in reach."""

    formfield_overrides = {models.JSONField: {"form_class": ReadableJSONField}}

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Return the rows in reach."""
        return reach_of(request).root(super().get_queryset(request))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether Django's permissions and the role in the record's organization let the user change it."""
        return super().has_change_permission(request, obj) and self.may_write(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether Django's permissions and the role in the record's organization let the user delete it."""
        return super().has_delete_permission(request, obj) and self.may_write(request, obj)

    def may_write(self, request: HttpRequest, obj: Any) -> bool:
        """Tell whether the user's role in the record's organization lets the user write it."""
        if obj is None or obj._state.adding:
            return True
        return reach_of(request).writes_in(organization_of(obj))

    def formfield_for_dbfield(self, db_field: models.Field, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the form field; lists are boxes to tick, or text with commas."""
        if isinstance(db_field, ArrayField):
            return array_formfield(db_field)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def formfield_for_foreignkey(self, db_field: models.ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        """Return a field that draws no list of rows, and accepts only those in reach."""
        site = self.admin_site
        remote = db_field.remote_field.model
        rows = reach_of(request).root(remote._default_manager.all())
        searchable = False
        try:
            remote_admin = site.get_model_admin(remote)
        except NotRegistered:
            pass
        else:
            rows, searchable = remote_admin.get_queryset(request), bool(remote_admin.search_fields)
        kwargs.setdefault("queryset", rows)
        widget = RecordSelect(db_field, site) if searchable else ForeignKeyRawIdWidget(db_field.remote_field, site)
        kwargs.setdefault("widget", widget)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
