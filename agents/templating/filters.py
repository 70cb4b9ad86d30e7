"""The filters of templates. Each does a bounded amount of work: what grows a text says by how much, beforehand."""

import json
import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from jinja2.filters import do_default

from agents.templating.limits import Budget, TemplateError, check_text

MAX_INDENT = 40


def bounded(filters: dict[str, Callable[..., Any]], budget: Budget) -> dict[str, Callable[..., Any]]:
    """Return the filters, each of which draws on the budget and gives no text that is too long."""

    def bind(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            budget.tick()
            value = function(*args, **kwargs)
            check_text(value)
            return value

        return call

    return {name: bind(function) for name, function in filters.items()}


def replace(value: Any, old: str, new: str) -> str:
    """Return the text with each ``old`` replaced."""
    text = str(value)
    check_text(text, len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def join(value: Iterable[Any], separator: str = "") -> str:
    """Return the items as one text."""
    texts = [str(item) for item in value]
    check_text(None, sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def indent(value: Any, width: int = 4, first: bool = False) -> str:
    """Return the text with each line but the first (or with it, too) moved right by ``width`` spaces."""
    if not (isinstance(width, int) and 0 <= width <= MAX_INDENT):
        raise TemplateError(f"“indent” takes a width of 0 to {MAX_INDENT}")
    text = str(value)
    check_text(None, len(text) + width * (text.count("\n") + 1))
    moved = text.replace("\n", "\n" + " " * width)
    return " " * width + moved if first else moved


def tojson(value: Any, indent: int | None = None) -> str:
    """Return the value as JSON."""
    if indent is not None and not (isinstance(indent, int) and 0 <= indent <= 8):
        raise TemplateError("“tojson” takes an indent of 0 to 8")
    return json.dumps(value, ensure_ascii=False, indent=indent)


def words(value: Any) -> list[str]:
    """Return the words of a name, however it is written: ``MyProject``, ``my-project``, ``my project``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", str(value))
    return re.findall(r"[^\W_]+", parted)


def first(value: Any) -> Any:
    """Return the first item or character."""
    if not value:
        raise TemplateError("there is no first of nothing")
    return next(iter(value))


def last(value: Any) -> Any:
    """Return the last item or character."""
    if not value:
        raise TemplateError("there is no last of nothing")
    return value[-1]


def items(value: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of key and value of an object."""
    if not isinstance(value, dict):
        raise TemplateError("“items” takes an object")
    return list(value.items())


FILTERS: dict[str, Callable[..., Any]] = {
    "camel_case": lambda value: "".join(w.title() if i else w.lower() for i, w in enumerate(words(value))),
    "capitalize": lambda value: str(value).capitalize(),
    "default": do_default,
    "first": first,
    "indent": indent,
    "items": items,
    "join": join,
    "kebab_case": lambda value: "-".join(word.lower() for word in words(value)),
    "last": last,
    "length": len,
    "lower": lambda value: str(value).lower(),
    "pascal_case": lambda value: "".join(word.title() for word in words(value)),
    "replace": replace,
    "snake_case": lambda value: "_".join(word.lower() for word in words(value)),
    "sort": sorted,
    "title": lambda value: str(value).title(),
    "tojson": tojson,
    "trim": lambda value: str(value).strip(),
    "unique": lambda value: list(dict.fromkeys(value)),
    "upper": lambda value: str(value).upper(),
}
