"""An app of one model that is deleted softly, outside the registry, with an admin site of its own."""

from django import forms
from django.apps.registry import Apps
from django.db import models
from django.db.models import Q
from django.urls import path

from core.admin import RecordAction, RecordAdmin, RecordInline
from core.admin.forms import RecordForm
from core.admin_site import MusterAdminSite
from core.errors import ConflictError
from core.lifecycle import Lifecycle, Transition
from core.models import Organization, OrganizationRecord, SoftDeletion, SoftDeletionQuerySet, User


class Note(SoftDeletion, OrganizationRecord):
    """A note, whose name is unique among those that aren't deleted."""

    lifecycle = Lifecycle(Transition("publish", {"draft"}, "public"), Transition("retract", {"public"}, "draft"))

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", editable=False)
    name = models.CharField(max_length=50)
    status = models.CharField(max_length=10, default="draft", editable=False)
    rank = models.IntegerField(default=0)
    tags = models.JSONField(default=dict, blank=True)

    objects = SoftDeletionQuerySet.as_manager()

    class Meta:
        app_label = "core"
        apps = Apps()
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], condition=Q(deleted_at=None), name="note_name"),
        ]

    def __str__(self) -> str:
        return self.name


class Remark(OrganizationRecord):
    """Something that a user said of a note."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", editable=False)
    note = models.ForeignKey(Note, on_delete=models.CASCADE)
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        app_label = "core"
        apps = Note._meta.apps

    def __str__(self) -> str:
        return f"{self.author} of {self.note}"


class RemarkInline(RecordInline):
    """Remarks."""

    model = Remark
    fields = ("author",)


def rename(request: object, note: Note, *, name: str) -> None:
    """Rename a note; “taken” never is free."""
    Note.objects.filter(pk=note.pk).update(name=name)
    if name == "taken":
        raise ConflictError("That name is taken.")


class NameForm(forms.Form):
    """Asks for a name."""

    name = forms.CharField(max_length=50)


class NoteForm(RecordForm):
    """Leaves all rules to the database."""

    def validate_constraints(self) -> None:
        """Look at nothing."""

    def validate_unique(self) -> None:
        """Look at nothing."""


class NoteAdmin(RecordAdmin):
    """Notes."""

    form = NoteForm
    inlines = (RemarkInline,)
    list_display = ("name", "status")
    search_fields = ("^name",)
    fields = ("name", "status", "rank", "tags")
    readonly_fields = ("status",)
    record_actions = (
        RecordAction("publish", lambda request, note: note.lifecycle.move(note, "publish")),
        RecordAction("retract", lambda request, note: note.lifecycle.move(note, "retract"), confirm="Retract it?"),
        RecordAction("rename", rename, form=NameForm),
    )


site = MusterAdminSite()
site.register(Note, NoteAdmin)
urlpatterns = [path("admin/", site.urls)]
