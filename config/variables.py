"""Typed environment variables: how one is declared, read and refused.

`config.env` holds the table of Muster's variables; this module holds what a row of it can do.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")
S = TypeVar("S", bool, None)

BASE_DIR = Path(__file__).resolve().parent.parent
"""The project's root: the folder of manage.py."""

_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"0", "false", "no", "off"})


class ConfigurationError(ImproperlyConfigured):
    """A variable has a wrong value, or lacks one. The message is one line fit for a terminal.

    Args:
        variable: the variable's name.
        got: what it holds, fit to be shown (never a secret).
        wants: what it should hold.
    """

    def __init__(self, variable: str, got: str, wants: str) -> None:
        self.variable = variable
        super().__init__(f"{variable}: got {got}; wants {wants}")


@dataclass(frozen=True)
class Variable(Generic[T]):
    """One environment variable.

    Args:
        name: its name in the environment and in `.env`.
        parse: makes its value of its text; raises ValueError for a wrong text.
        default: its value when it is unset or empty.
        wants: what a right value is, to end the sentence "NAME: got …; wants …".
        help: what it is for, as the documentation shows it.
        shown_default: the default in words, where `default` doesn't tell (None: show `default`).
        example: a right value, for `.env.example`, where the default is none.
        show: renders a wrong value for an error message; for secrets, masks it.
    """

    name: str
    parse: Callable[[str], T]
    default: T
    wants: str
    help: str
    shown_default: str | None = None
    example: str = ""
    show: Callable[[str], str] = repr

    def text(self) -> str:
        """Its text in the environment, without blanks around it; empty when unset."""
        return os.environ.get(self.name, "").strip()

    def is_set(self) -> bool:
        """Whether it is there. An empty variable counts as unset, as compose files leave them."""
        return bool(self.text())

    def get(self) -> T:
        """Its value, or its default.

        Raises:
            ConfigurationError: its text is wrong.
        """
        text = self.text()
        if not text:
            return self.default
        try:
            return self.parse(text)
        except ValueError:
            # Without the cause, which says less and might show a secret.
            raise self.refusal() from None

    def refusal(self, wants: str | None = None) -> ConfigurationError:
        """The error that refuses its present value, or its absence.

        Args:
            wants: what it should hold here, when that is more than `self.wants`.
        """
        text = self.text()
        return ConfigurationError(self.name, self.show(text) if text else "nothing", wants or self.wants)

    def default_text(self) -> str:
        """Its default as documentation shows it."""
        if self.shown_default is not None:
            return self.shown_default
        if isinstance(self.default, bool):
            return "1" if self.default else "0"
        if isinstance(self.default, list):
            return ",".join(self.default)
        if isinstance(self.default, dict):
            return ",".join(f"{name}={value}" for name, value in self.default.items())
        return "" if self.default is None else str(self.default)


def flag(text: str) -> bool:
    """Parse a switch. Strict: django-environ takes any unknown word for "off"."""
    if text.lower() in _ON:
        return True
    if text.lower() in _OFF:
        return False
    raise ValueError("not a switch")


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers from `least` to `most`, both allowed."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]+", text) or not least <= int(text) <= most:
            raise ValueError("not a whole number in range")
        return int(text)

    return parse


def number(
    name: str,
    least: int,
    most: int,
    default: int,
    purpose: str,
    *,
    noun: str = "whole number",
    unit: str = "",
    zero: str = "",
) -> Variable[int]:
    """Declare the variable of a whole number from `least` to `most`, of `unit`; `zero` says what 0 means."""
    of_unit = f" of {unit}" if unit else ""
    meaning = f" ({zero})" if zero else ""
    wants = f"a {noun}{of_unit} from {least}{meaning} to {most}"
    return Variable(name, whole_number(least, most), default, wants, purpose)


def switch(
    name: str, default: S, purpose: str, *, shown_default: str | None = None, example: str = ""
) -> "Variable[bool | S]":
    """Declare the variable of a switch; without a `default`, what else is configured decides."""
    return Variable(name, flag, default, "1 or 0", purpose, shown_default, example)


def one_of(*choices: str) -> Callable[[str], str]:
    """A parser of one word out of `choices`, given in any letter case."""
    by_folded = {choice.casefold(): choice for choice in choices}

    def parse(text: str) -> str:
        if text.casefold() not in by_folded:
            raise ValueError("not one of the choices")
        return by_folded[text.casefold()]

    return parse


def for_each(names: tuple[str, ...], least: int, most: int) -> Callable[[str], dict[str, int]]:
    """A parser of a whole number for each of ``names``: `free=60,pro=600`, or `600` for all of them."""
    number = whole_number(least, most)

    def parse(text: str) -> dict[str, int]:
        if "=" not in text:
            return dict.fromkeys(names, number(text))
        pairs = [[part.strip() for part in item.split("=")] for item in text.split(",")]
        if sorted(pair[0] for pair in pairs) != sorted(names):
            raise ValueError("not each of the names once")
        return {name: number(value) for name, value in pairs}

    return parse


def words(pattern: str) -> Callable[[str], list[str]]:
    """A parser of a comma-separated list, each item of which matches the regular expression `pattern`."""

    def parse(text: str) -> list[str]:
        items = [item.strip() for item in text.split(",") if item.strip()]
        if not all(re.fullmatch(pattern, item) for item in items):
            raise ValueError("an item doesn't fit")
        return items

    return parse


def networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Parse a comma-separated list of IP networks; an address is a network of one."""
    return [ipaddress.ip_network(item.strip()) for item in text.split(",") if item.strip()]


def matching(pattern: str) -> Callable[[str], str]:
    """A parser of text that matches the regular expression `pattern`."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError("doesn't fit")
        return text

    return parse


def folder(base: Path) -> Callable[[str], Path]:
    """A parser of folder paths; `~` is the home folder, a relative path starts at `base`."""

    def parse(text: str) -> Path:
        try:
            return (base / Path(text).expanduser()).resolve()
        except (RuntimeError, OSError) as error:  # no home folder, a loop of links
            raise ValueError("no such path can be") from error

    return parse


def hidden(text: str) -> str:
    """Show of a secret only how long it is."""
    return f"a text of {len(text)} characters"


def masked_url(url: str) -> str:
    """Show a database URL without its password.

    Greedy up to the last `@`, because a password that wasn't percent-encoded is a likely reason for
    the URL to be wrong.
    """
    if "://" not in url:
        return hidden(url)
    scheme, rest = url.split("://", 1)
    if "@" in rest:
        user, host = rest.rsplit("@", 1)
        rest = f"{user.split(':', 1)[0]}:***@{host}" if ":" in user else rest
    else:
        # No `@`: after a colon stands a port, or the password of somebody who forgot the host.
        rest = re.sub(r"^([^:/?]*):(?![0-9]{1,5}(?:[/?]|$))[^/?]*", r"\1:***", rest)
    rest = re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", r"\1***", rest)
    return repr(f"{scheme}://{rest}")
