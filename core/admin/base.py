"""The base classes of the admin: what DESIGN.md asks of it, so that a ModelAdmin says only its own.

Quick on any number of rows: keyset pages, estimated counts, orders that an index keeps, no list of all rows of
another table, large columns left in the database. Rooted in the organizations that the user is a member of. What
the database refuses is an error on the page. History is the event stream.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.widgets import AutocompleteSelect
from django.forms import Media
from django.http import HttpRequest
from django.urls import URLPattern

from core.admin.actions import RecordActionsMixin
from core.admin.editing import EditingMixin
from core.admin.forms import RecordForm, RecordInlineFormSet
from core.admin.history import HistoryMixin
from core.admin.lists import ListMixin
from core.admin.rooted import Rooted
from core.admin.soft_deletion import SoftDeletionMixin
from core.admin.versions import VersionsMixin
from core.models import Membership


class PageActionForm(ActionForm):
    """The choice of a list's action. It acts on the rows that were ticked, never on all rows there are."""

    def clean_select_across(self) -> bool:
        """Return False, whatever was posted."""
        return False


class RecordAdmin(
    SoftDeletionMixin,
    HistoryMixin,
    RecordActionsMixin,
    Rooted,
    ListMixin,
    VersionsMixin,
    EditingMixin,
    admin.ModelAdmin,
):
    """The pages of a record.

    A subclass gives ``description`` (a line for the index page), ``list_display``, ``list_filter`` (names of fields,
    whose kind decides the filter; or Django's other forms), ``search_fields`` (each begins with ``^`` or ``=``, or
    has a trigram index), ``fieldsets`` or ``fields``, ``inlines``, and ``record_actions``. ``list_keep`` names large
    columns that the list does read. Organization and timestamps come by themselves.
    """

    description = ""
    action_form = PageActionForm

    @property
    def media(self) -> Media:
        """Return Django's scripts and ours."""
        widget = AutocompleteSelect(Membership._meta.get_field("user"), self.admin_site)
        return super().media + widget.media + Media(js=["core/admin.js"])

    def get_urls(self) -> list[URLPattern]:
        """Return Django's addresses and those of the record's actions."""
        return self.action_urls() + super().get_urls()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the actions of the list: Django's deletion, and the record's own."""
        actions: dict[str, Any] = super().get_actions(request)
        for action in self.get_record_actions(request):
            if action.bulk:
                actions[action.name] = (self.bulk_action(action), action.name, action.title)
        return actions


class RecordInline(Rooted, admin.TabularInline):
    """Rows of another table on a record's page: few ones, since all of them are drawn.

    They belong to the organization of the record, and so does what they refer to.
    """

    form = RecordForm
    formset = RecordInlineFormSet
    extra = 0
    show_change_link = True
    view_on_site = False


class ReadOnlyAdmin(RecordAdmin):
    """The pages of a record that something else writes: staff look at it."""

    goes_along = True  # with what it was made for, since nobody deletes it by itself

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False
