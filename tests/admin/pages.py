"""The admin's pages by reflection: every registered model, and what a page must never contain."""

import re
from html.parser import HTMLParser
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.urls import reverse

ROW = re.compile(r'<th class="field-[^"]*"><a href="[^"]*/([0-9a-f-]{36})/change/')


def listed(html: str) -> list[str]:
    """Return the ids of the rows of a list, in order."""
    return ROW.findall(html)


def admins() -> list[Any]:
    """Return every registered ModelAdmin."""
    return [admin.site.get_model_admin(model) for model in admin.site._registry]


def names() -> list[str]:
    """Return the labels of the registered models, for parametrizing."""
    return [each.opts.label for each in admins()]


def admin_of(label: str) -> Any:
    """Return the ModelAdmin of a model."""
    return next(each for each in admins() if each.opts.label == label)


def url(page: str, model: type[Model], *args: Any) -> str:
    """Return the address of a page: changelist, add, change, history, delete, action."""
    options = model._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{page}", args=args)


class _Inline(HTMLParser):
    """Collects what a strict Content-Security-Policy refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.found.append("<script> without src")
        if tag == "style":
            self.found.append("<style>")
        self.found += [f"{name} on <{tag}>" for name in given if name == "style" or name.startswith("on")]
        self.found += [f"javascript: in {name}" for name, value in attrs if (value or "").startswith("javascript:")]


def inline_code(html: str) -> list[str]:
    """Return the inline scripts, styles and handlers of a page."""
    parser = _Inline()
    parser.feed(html)
    return parser.found
