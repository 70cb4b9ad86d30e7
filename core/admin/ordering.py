"""The orders in which a table of any size can be read at once: those that an index keeps."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.contrib.postgres.indexes import PostgresIndex
from django.db.models import Model, UniqueConstraint

from core.api.pagination import Key


@cache
def orders(model: type[Model], *, in_one_organization: bool) -> dict[str, tuple[str, ...]]:
    """Return, by the field that leads it, each order that an index keeps, as terms for ``keys``.

    Indexes that begin with the organization keep an order only among the rows of one organization.
    """
    found: dict[str, tuple[str, ...]] = {}
    for terms in _indexed(model):
        if terms[0] == "organization" and in_one_organization:
            terms = terms[1:]
        if terms:
            leader = terms[0].removeprefix("-")
            found[leader] = max(found.get(leader, ()), terms, key=len)
    return found


def keys(model: type[Model], terms: Iterable[str], *, reverse: bool = False) -> list[Key]:
    """Return the ordering's keys, with the primary key as the last, so that no two rows tie."""
    primary: Any = model._meta.pk
    result: list[Key] = []
    for term in terms:
        name = term.removeprefix("-")
        field: Any = primary if name == "pk" else model._meta.get_field(name)
        descending = term.startswith("-") != reverse
        result.append(Key(field.attname, field, descending))
        if field == primary:
            return result
    result.append(Key(primary.attname, primary, result[-1].descending if result else True))
    return result


def _indexed(model: type[Model]) -> Iterable[tuple[str, ...]]:
    field: Any
    for field in model._meta.concrete_fields:
        if field.unique or field.db_index:
            yield (field.name,)
    for index in model._meta.indexes:
        if not isinstance(index, PostgresIndex) and index.fields_orders and index.condition is None:
            yield tuple(f"{'-' * bool(order)}{name}" for name, order in index.fields_orders)
    for constraint in model._meta.constraints:
        if isinstance(constraint, UniqueConstraint) and constraint.fields and constraint.condition is None:
            yield tuple(constraint.fields)
