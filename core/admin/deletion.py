"""What a deletion takes along, told without reading more of it than a page shows."""

from collections import Counter
from typing import Any

from django.contrib.admin.exceptions import NotRegistered
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

SHOWN = 20
DEPTH = 4


def deleted_objects(
    records: list[Any], request: HttpRequest, site: Any
) -> tuple[list[Any], dict[str, Any], set[str], list[str]]:
    """Return what Django's ``get_deleted_objects`` does: the tree, counts, kinds not permitted, what holds it all.

    Of each relation at most ``SHOWN`` rows are read; of rows beyond, the page says that there are more.
    """
    walk = _Walk(request, site)
    tree = walk.visit(records, 0)
    return tree, walk.counts, walk.forbidden, walk.protected


class _Walk:
    def __init__(self, request: HttpRequest, site: Any) -> None:
        self.request, self.site = request, site
        self.counts: Counter[str] = Counter()
        self.forbidden: set[str] = set()
        self.protected: list[str] = []

    def visit(self, records: list[Any], depth: int) -> list[Any]:
        """Return the records with what hangs on each, as ``unordered_list`` draws it."""
        tree: list[Any] = []
        for record in records:
            self._permit(record, depth)
            self.counts[str(record._meta.verbose_name_plural)] += 1
            tree.append(self._link(record))
            if branches := self._branches(record, depth):
                tree.append(branches)
        return tree

    def _branches(self, record: Any, depth: int) -> list[Any]:
        branches: list[Any] = []
        for relation in record._meta.related_objects:
            rule = relation.on_delete
            if rule not in (models.CASCADE, models.PROTECT, models.RESTRICT) or not relation.field.concrete:
                continue
            rows = relation.related_model._base_manager.filter(**{relation.field.name: record})
            found = list(rows.order_by("pk")[: SHOWN + 1])
            more, found = len(found) > SHOWN, found[:SHOWN]
            if not found:
                continue
            if rule is not models.CASCADE:
                self.protected += [self._link(each) for each in found] + ["…and more"] * more
            elif depth < DEPTH:
                branches += self.visit(found, depth + 1) + ["…and more"] * more
        return branches

    def _permit(self, record: Any, depth: int) -> None:
        try:
            admin = self.site.get_model_admin(type(record))
        except NotRegistered:
            return
        if depth and getattr(admin, "goes_along", False):
            return
        if not admin.has_delete_permission(self.request, record):
            self.forbidden.add(str(record._meta.verbose_name))

    def _link(self, record: Any) -> str:
        options = record._meta
        noun = capfirst(options.verbose_name)
        try:
            admin = self.site.get_model_admin(type(record))
        except NotRegistered:
            return format_html("{}: {}", noun, record)
        if not admin.has_view_permission(self.request, record):
            return str(noun)
        url = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=(record.pk,))
        return format_html('{}: <a href="{}">{}</a>', noun, url, record)
