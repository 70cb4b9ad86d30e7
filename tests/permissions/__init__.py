"""Who gets what: one table an app, a row for each address and method, a column for each of the cast.

A module here states ``TABLE``; ``BODIES``, the valid bodies of its POST and PATCH rows; and ``TARGETS``, how to make
the record that a row is about where a plain one of the factory won't do. Keys of both are "METHOD address"; values
are functions of our organization (``BODIES`` also takes plain values).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from core.models import Organization
from tests.factories import make
from tests.kit.reflection import Route, api_routes

# "key" is the owner's with every scope, "reader" the owner's that may only read core's records.
CAST = ("anonymous", "owner", "admin", "teammate", "viewer", "customer", "stranger", "key", "reader")


@dataclass(frozen=True)
class Row:
    """One row of a table: what each of the cast gets for this method at this address."""

    method: str
    address: str
    statuses: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.method} {self.address}"

    @property
    def route(self) -> Route:
        """Return the address as the project has it."""
        return next(route for route in api_routes() if route.template == self.address)


def _modules() -> list[Any]:
    return [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]


def parse(table: str) -> list[Row]:
    """Return the rows of a table. Raises ValueError where a row hasn't a status for each of the cast."""
    lines = [line.split() for line in table.splitlines() if line.strip()]
    header, rows = lines[0], lines[1:]
    if tuple(header) != CAST:
        raise ValueError(f"The columns are {' '.join(CAST)}.")
    return [
        Row(method, address, dict(zip(CAST, map(int, statuses), strict=True))) for method, address, *statuses in rows
    ]


@cache
def all_rows() -> list[Row]:
    """Return the rows of all apps."""
    return [row for module in _modules() for row in parse(module.TABLE)]


def _stated(attribute: str, row: Row) -> Any:
    for module in _modules():
        if str(row) in getattr(module, attribute, {}):
            return getattr(module, attribute)[str(row)]
    return None


def has_body(row: Row) -> bool:
    """Tell whether a valid body for the request is stated."""
    return _stated("BODIES", row) is not None


def body_of(row: Row, organization: Organization) -> Any:
    """Return a valid body for the request, None where it takes none.

    That of a request about many records is an array: the body about one record, with its id.
    """
    if row.method in ("PATCH", "DELETE") and not row.route.is_detail:
        single = Row(row.method, f"{row.address}<uuid:pk>/", row.statuses)
        return [{"id": str(target_of(single, organization).pk), **(body_of(single, organization) or {})}]
    body = _stated("BODIES", row)
    return body(organization) if callable(body) else body


def target_of(row: Row, organization: Organization) -> Any:
    """Make the record that the request is about; None where the address names none."""
    if not row.route.is_detail:
        return None
    maker: Callable[[Organization], Any] | None = _stated("TARGETS", row)
    return maker(organization) if maker else make(row.route.model, organization)
