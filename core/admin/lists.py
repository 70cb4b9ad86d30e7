"""The list of a record: columns, filters, orders and search that stay quick on any number of rows."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from core.admin import filters, ordering
from core.admin.changelist import RecordChangeList, foreign_keys
from core.admin.tenancy import reach_of
from core.search import matching

QUERY_CANCELED = "57014"


class ListMixin(admin.ModelAdmin):
    """The part of RecordAdmin that serves the list. ``list_keep`` names large columns that the list does read."""

    list_keep: Sequence[str] = ()
    list_per_page = 100
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    date_hierarchy = None
    ordering: ClassVar[Any] = ("-pk",)
    empty_value_display = "-"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RecordChangeList]:
        """Return the list with keyset pages."""
        return RecordChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list. A filter that takes longer than the statement timeout becomes a message."""
        try:
            return super().changelist_view(request, extra_context)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != QUERY_CANCELED or not request.GET:
                raise
        self.message_user(
            request, "That takes too long. Narrow it, say to one organization or to some days.", messages.ERROR
        )
        return HttpResponseRedirect(request.path)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns. Who sees one organization only needs no column to tell it."""
        columns = super().get_list_display(request)
        reach = reach_of(request)
        if reach.everything or len(reach.seen) != 1 or len(columns) < 2:
            return columns
        return [column for column in columns if column != "organization"]

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        """Return the foreign keys among the columns, and those that ``list_select_related`` names."""
        named = self.list_select_related if isinstance(self.list_select_related, list | tuple) else ()
        return list(dict.fromkeys([*foreign_keys(self.model, self.get_list_display(request)), *named]))

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Return the filters, with our own for the kinds of fields whose usual ones read a table."""
        return [self._filter(item) for item in super().get_list_filter(request)]

    def _filter(self, item: Any) -> Any:
        if not isinstance(item, str):
            return item
        try:
            field = self.opts.get_field(item)
        except FieldDoesNotExist:
            return item
        suited = filters.for_field(field)  # type: ignore[arg-type]
        return (item, suited) if suited else item

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only what the filters set: an address must not become a question about hidden columns."""
        if request is None:
            return False
        names = [item[0] if isinstance(item, list | tuple) else item for item in self.get_list_filter(request)]
        simple = {item.parameter_name for item in names if hasattr(item, "parameter_name")}
        if lookup in simple:
            return True
        suffixes = ("", "__exact", "__id__exact", "__isnull", "__gte", "__lt", "__lte", "__contains")
        return any(lookup == f"{name}{suffix}" for name in names if isinstance(name, str) for suffix in suffixes)

    def get_orders(self, request: HttpRequest) -> dict[str, tuple[str, ...]]:
        """Return the orders in which the list can be read at once, by the field that leads each."""
        reach = reach_of(request)
        one = len(reach.seen) == 1 or bool(request.GET.get("organization__id__exact"))
        model: Any = self.model
        return ordering.orders(model, in_one_organization=one)

    def order_field(self, column: Any) -> str | None:
        """Return the field by which a column is ordered."""
        if isinstance(column, str) and column in {field.name for field in self.opts.concrete_fields}:
            return column
        holder = column if callable(column) else getattr(self, column, None) or getattr(self.model, column, None)
        return getattr(holder, "admin_order_field", None)

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        """Return the columns whose order an index keeps."""
        orders = self.get_orders(request)
        return [column for column in self.get_list_display(request) if self.order_field(column) in orders]

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[Any, bool]:
        """Return the rows that match, infixes by their trigram index; an id finds its row."""
        term = search_term.strip()
        if "\0" in term:
            return queryset.none(), False
        try:
            key = self.opts.pk.to_python(term) if len(term) in (32, 36) else None
        except ValidationError:
            key = None
        if key is not None:
            return queryset.filter(pk=key), False
        if any(name[0] in "^=" for name in self.search_fields):
            return super().get_search_results(request, queryset, term)
        return matching(queryset, term, self.search_fields), False
