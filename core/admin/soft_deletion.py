"""Records that are deleted softly: listed apart, deleted by a mark, restored by a button."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from core.admin.actions import RecordAction
from core.errors import ConflictError
from core.models import SoftDeletion


class DeletedFilter(admin.SimpleListFilter):
    """Leaves the deleted records out, unless they are asked for."""

    title = "deletion"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return what can be asked for."""
        return [("yes", "Deleted"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return what the template draws."""
        first, *others = super().choices(changelist)
        yield {**first, "display": "Not deleted"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Return the rows asked for."""
        match self.value():
            case "yes":
                return queryset.exclude(deleted_at=None)
            case "all":
                return queryset
        return queryset.filter(deleted_at=None)


def restore(request: HttpRequest, record: Any) -> None:
    """Bring a record back. IntegrityError when its unique name was taken meanwhile."""
    if not type(record).objects.filter(pk=record.pk).restore():
        raise ConflictError("It isn't deleted.")


RESTORE = RecordAction("restore", restore, available=lambda record: record.is_deleted, permission="delete")


class SoftDeletionMixin(admin.ModelAdmin):
    """The part of RecordAdmin that deals with soft deletion, where the model has it."""

    def is_soft(self) -> bool:
        """Tell whether the model's records are deleted softly."""
        return issubclass(self.model, SoftDeletion)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Return the filters, that of deleted records first."""
        filters = list(super().get_list_filter(request))
        return [DeletedFilter, *filters] if self.is_soft() else filters

    def all_record_actions(self) -> list[RecordAction]:
        """Return the declared actions, and the one that restores."""
        declared = list(super().all_record_actions())  # type: ignore[misc]
        return [*declared, RESTORE] if self.is_soft() else declared

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may change it: not while it is deleted."""
        if obj is not None and self.is_soft() and obj.is_deleted:
            return False
        return super().has_change_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return the records alone where they are only marked: nothing goes with them."""
        if not self.is_soft():
            return super().get_deleted_objects(objs, request)
        records = list(objs)
        allowed = all(self.has_delete_permission(request, record) for record in records)
        forbidden = set() if allowed else {str(self.opts.verbose_name)}
        return [str(record) for record in records], {self.opts.verbose_name_plural: len(records)}, forbidden, []

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Delete the record, or mark it as deleted."""
        if self.is_soft():
            self.model.objects.filter(pk=obj.pk).soft_delete()
        else:
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the records, or mark them as deleted."""
        if self.is_soft():
            self.model.objects.filter(pk__in=queryset.values("pk")).soft_delete()
        else:
            super().delete_queryset(request, queryset)
