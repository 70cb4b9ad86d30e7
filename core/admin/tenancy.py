"""Which organizations a member of staff reaches, and querysets that begin there.

A superuser reaches all. Other staff see the organizations they are members of (customers are no staff there),
and write in those where their role is member or more. What they may do is for Django's permissions to say.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from core.models import Membership, Organization, Role

SEEING = (Role.OWNER, Role.ADMIN, Role.MEMBER, Role.VIEWER)
WRITING = (Role.OWNER, Role.ADMIN, Role.MEMBER)

Rows = TypeVar("Rows", bound=QuerySet)


@dataclass(frozen=True)
class Reach:
    """The ids of the organizations that a request may see and write; ``everything`` stands for all of them."""

    everything: bool
    seen: frozenset[UUID] = frozenset()
    written: frozenset[UUID] = frozenset()

    def root(self, queryset: Rows) -> Rows:
        """Return only the rows of organizations that may be seen."""
        return queryset if self.everything else within(queryset, self.seen)

    def writes_in(self, organization_id: UUID | None) -> bool:
        """Tell whether the records of the organization may be written."""
        return self.everything or organization_id in self.written


def reach_of(request: HttpRequest) -> Reach:
    """Return what the request's user reaches, read once a request."""
    known: Reach | None = getattr(request, "_muster_reach", None)
    if known is None:
        known = request._muster_reach = _read_reach(request.user)  # type: ignore[attr-defined]
    return known


def _read_reach(user: Any) -> Reach:
    if user.is_active and user.is_superuser:
        return Reach(everything=True)
    if not user.is_active or not user.is_staff:
        return Reach(everything=False)
    roles = dict(
        Membership.objects.filter(user=user, organization__is_active=True, role__in=SEEING).values_list(
            "organization_id", "role"
        )
    )
    writing = frozenset(organization for organization, role in roles.items() if role in WRITING)
    return Reach(everything=False, seen=frozenset(roles), written=writing)


def within(queryset: Rows, organizations: Collection[UUID]) -> Rows:
    """Return only the rows that belong to one of the organizations, each row once.

    Rows of a model without ``organization_path`` belong to none.
    """
    model = queryset.model
    if model is Organization:
        return queryset.filter(pk__in=organizations)
    path: str | None = getattr(model, "organization_path", None)
    if path is None:
        return queryset.none()
    condition = {f"{path}__in": organizations}
    if _leads_to_many(model, path):
        return queryset.filter(pk__in=model._base_manager.filter(**condition).values("pk"))
    return queryset.filter(**condition)


def organization_of(record: Model) -> UUID | None:
    """Return the id of the organization that a record belongs to, or None where it belongs to none, or to many."""
    if isinstance(record, Organization):
        return record.pk
    path: str | None = getattr(record, "organization_path", None)
    if path is None or _leads_to_many(type(record), path):
        return None
    *parents, last = path.split("__")
    holder: Any = record
    for parent in parents:
        holder = getattr(holder, parent)
        if holder is None:
            return None
    return getattr(holder, f"{last}_id")


def has_organization(model: type[Model]) -> bool:
    """Tell whether the model's rows name their organization themselves."""
    try:
        return bool(model._meta.get_field("organization").concrete)
    except FieldDoesNotExist:
        return False


def _leads_to_many(model: type[Model], path: str) -> bool:
    for part in path.split("__"):
        field = model._meta.get_field(part)
        if field.one_to_many or field.many_to_many:
            return True
        model = field.related_model  # type: ignore[assignment]
    return False
