"""Factories, one module an app, and how to find the one of a model.

A factory makes a row that stands on its own: what it refers to is made along with it, in the same
organization. ``make`` makes one in a given organization, whichever way the model leads there.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from django.db import IntegrityError, models, transaction
from factory.django import DjangoModelFactory


def factory_modules() -> Iterator[Any]:
    """Yield the modules of factories."""
    for module in iter_modules(__path__):
        yield import_module(f"{__name__}.{module.name}")


@cache
def factories() -> dict[type[models.Model], type[DjangoModelFactory]]:
    """Return the factory of each model: the one that is named for it, ``OrderFactory`` for Order."""
    return {
        thing._meta.model: thing
        for module in factory_modules()
        for name, thing in vars(module).items()
        if isinstance(thing, type)
        and issubclass(thing, DjangoModelFactory)
        and thing._meta.model
        and name == f"{thing._meta.model.__name__}Factory"
    }


def make(model: type[models.Model], organization: models.Model, **fields: Any) -> Any:
    """Make a row of ``model`` that belongs to ``organization``; an organization belongs to itself."""
    if isinstance(organization, model):
        return organization
    factory = factories()[model]
    path = getattr(model, "organization_path")  # noqa: B009 (a model outside of our apps has none)
    return factory(**{path: organization}, **fields)


def make_many(model: type[models.Model], organization: models.Model, count: int) -> list[Any]:
    """Make rows of ``model`` in the organization: ``count`` of them, or as many as it may have."""
    rows: list[Any] = []
    with suppress(IntegrityError):
        while len(rows) < count:
            with transaction.atomic():
                rows.append(make(model, organization))
    return rows
