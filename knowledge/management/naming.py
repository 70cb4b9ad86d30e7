"""How commands are told which collection is meant."""

from argparse import ArgumentParser
from uuid import UUID

from django.core.management.base import CommandError

from core.models import Organization
from knowledge.models import Collection


def add_collection(parser: ArgumentParser) -> None:
    """Declare the collection, and whose it is."""
    parser.add_argument("collection", metavar="COLLECTION", help="Its name or id.")
    parser.add_argument("--organization", metavar="SLUG", help="Whose collection, where several have one so named.")


def find_collection(named: str, slug: str | None) -> Collection | None:
    """Return the collection of a name or an id, of the organization ``slug`` if one is given; None: there is none.

    Raises CommandError when there is no such organization, or several collections.
    """
    known = Collection.objects.filter(organization__in=organizations_of(slug))
    key = _as_id(named)
    found = list(known.filter(pk=key) if key else known.filter(name=named))
    if len(found) > 1:
        raise CommandError(f"{len(found)} organizations have a collection {named}: say which by --organization.")
    return found[0] if found else None


def organizations_of(slug: str | None) -> list[Organization]:
    """Return the organization of a slug, or all; CommandError when there is none."""
    found = list(Organization.objects.filter(slug=slug) if slug else Organization.objects.all())
    if slug and not found:
        raise CommandError(f"There is no organization {slug}.")
    return found


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
