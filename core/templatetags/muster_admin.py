"""Filters of the admin's templates."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.admin.forms import pretty_json

register = template.Library()


@register.filter
def readable(value: Any) -> str | SafeString:
    """Return a value of an event as people read it."""
    if value is None:
        return "-"
    if isinstance(value, dict | list):
        return format_html("<pre>{}</pre>", pretty_json(value))
    return str(value)
