"""Filters of catalog's lists."""

from core.admin.filters import FormFilter


class WholeTextFilter(FormFilter):
    """Rows with exactly this text: Django's own filter reads the whole table for the texts there are."""

    lookups = {"exact": "Is"}
