"""What an autocomplete offers: rows in reach, of the form's organization, read page by page without a count."""

from typing import Any
from uuid import UUID

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

from core.admin.changelist import heavy_fields
from core.admin.tenancy import within
from core.models import SoftDeletion

LAST_PAGE = 50


class UncountedPaginator(Paginator):
    """Pages that find out whether there is another one by reading one row more. The first 50 are to be had."""

    @cached_property
    def count(self) -> int:
        """Return as many as can be leafed through."""
        return self.per_page * LAST_PAGE

    def page(self, number: Any) -> Page:
        """Return a page."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows = list(self.object_list[first : first + self.per_page + 1])
        page = _UncountedPage(rows[: self.per_page], number, self)
        page.more = len(rows) > self.per_page and number < LAST_PAGE
        return page


class _UncountedPage(Page):
    more = False

    def has_next(self) -> bool:
        return self.more


class RecordAutocomplete(AutocompleteJsonView):
    """Django's view, in bounds. ``organization`` narrows the rows to those that a record there may refer to."""

    def get_paginator(self, *args: Any, **kwargs: Any) -> Paginator:
        """Return pages without a count."""
        return UncountedPaginator(*args, **kwargs)

    def get_queryset(self) -> QuerySet:
        """Return the rows in reach that match the term, newest first."""
        queryset = super().get_queryset()
        model = queryset.model
        if organization := self.request.GET.get("organization"):
            try:
                queryset = within(queryset, {UUID(organization)}) if hasattr(model, "organization_path") else queryset
            except ValueError as error:
                raise PermissionDenied from error
        if issubclass(model, SoftDeletion):
            queryset = queryset.filter(deleted_at=None)
        return queryset.order_by("-pk").defer(*heavy_fields(model, ()))
