"""Columns of times and money, told as on every page."""

from typing import Any

from django.contrib import admin

from agents.services.figures import dollars, told


class Figures:
    """Lists with ``took`` and ``costs``: the fields ``duration`` and ``cost`` as people read them."""

    @admin.display(description="Duration", ordering="duration", empty_value="-")
    def took(self, row: Any) -> str | None:
        """Return how long it took, once it has ended."""
        return None if row.duration is None else told(row.duration)

    @admin.display(description="Cost", ordering="cost", empty_value="-")
    def costs(self, row: Any) -> str | None:
        """Return what it cost, where that is known."""
        return None if row.cost is None else dollars(row.cost)
