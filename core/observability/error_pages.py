"""What DEBUG's error pages show: where the program failed, and nothing of what it held in its hands."""

import re
from collections.abc import ItemsView
from datetime import date, timedelta
from types import FrameType
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

PLAIN = (bool, int, float, UUID, date, timedelta, type(None))


class DiscreetReporterFilter(SafeExceptionReporterFilter):
    """Django hides settings and headers by their names; a variable may hold a secret under any name.

    So of variables and form fields the page shows what kind they are of and how long. Numbers, times and ids are shown.
    """

    hidden_settings = re.compile(SafeExceptionReporterFilter.hidden_settings.pattern + "|CACHE_URL", re.IGNORECASE)

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        """Return the names of the form's fields, their values hidden."""
        return dict.fromkeys(request.POST, self.cleansed_substitute) if request else {}

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> ItemsView[str, Any]:
        """Return the variables of a frame, told of by their kind."""
        return {name: kind_of(value) for name, value in tb_frame.f_locals.items()}.items()


class Kind(str):
    """Words that a page shows without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def kind_of(value: Any) -> Any:
    """Return a value that can't be secret, or in words what kind it is of."""
    if isinstance(value, PLAIN):
        return value
    length = f" of {len(value)}" if isinstance(value, str | bytes | list | tuple | dict | set | frozenset) else ""
    return Kind(f"({type(value).__name__}{length})")
