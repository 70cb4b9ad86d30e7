"""Who asks: by API key or by session, and for which organization."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from core import audit
from core.api import throttling
from core.connections import prepared_cursor
from core.models import APIKey, Membership, Organization, PlanTier, Role, User
from core.models.api_keys import matches, parse_key
from core.observability.context import identify

LAST_USED_PRECISION = timedelta(minutes=1)
ORGANIZATION_HEADER = "Muster-Organization"


@dataclass(frozen=True, slots=True)
class Principal:
    """On whose behalf a request acts. ``scopes`` is None for a session, which only the role limits."""

    organization_id: UUID
    role: Role
    user_id: UUID
    scopes: frozenset[str] | None = None
    api_key_id: UUID | None = None
    plan_tier: str = PlanTier.FREE.value

    def has_scope(self, scope: str) -> bool:
        """Tell whether the key, if there is one, was made for this."""
        return self.scopes is None or scope in self.scopes


class KeyAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer mst_<prefix>_<secret>``. ``budget`` is what its requests count against."""

    budget = throttling.API

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401 answer."""
        return 'Bearer realm="Muster"'

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        """Return user and principal of the key; None when the request carries no bearer token."""
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        parsed = parse_key(text.strip())
        identify(key_prefix=parsed[0] if parsed else "")
        key = _find_key(parsed[0]) if parsed else None
        if parsed is None or key is None or not matches(parsed[1], key["digest"]):
            raise exceptions.AuthenticationFailed(
                "The API key is unknown, revoked or expired, or its user may no longer act here.", code="invalid_key"
            )
        _note_use(key)
        principal = Principal(
            organization_id=key["organization_id"],
            role=Role(key["role"]),
            user_id=key["user_id"],
            scopes=frozenset(key["scopes"]),
            api_key_id=key["id"],
            plan_tier=key["plan_tier"],
        )
        user = User.from_db("default", USER_FIELDS, [key["user_id"], key["email"], True])
        audit.amend(
            user=principal.user_id, email=key["email"], api_key=key["id"], organization=principal.organization_id
        )
        identify(organization=principal.organization_id)
        throttling.admit(request._request, principal, self.budget, key["digest"])
        return user, principal


USER_FIELDS = ["id", "email", "is_active"]
PREFIX_HERE = f"<prefix {uuid4()}>"
KEY_COLUMNS = ("id", "digest", "scopes", "last_used_at", "organization_id", "user_id", "email", "role", "plan_tier")


def _find_key(prefix: str) -> Mapping[str, Any] | None:
    """Return what authentication needs of a usable key, in one query: the key, its user's email and role."""
    sql, parameters = key_query()
    with prepared_cursor() as cursor:
        cursor.execute(sql, [prefix if value == PREFIX_HERE else value for value in parameters])
        row = cursor.fetchone()
    key = dict(zip(KEY_COLUMNS, row, strict=True)) if row else None
    return key if key and key["email"] and key["role"] and key["plan_tier"] else None


@cache
def key_query() -> tuple[str, tuple[Any, ...]]:
    """Return the query of a usable key's ``KEY_COLUMNS``, by ``PREFIX_HERE``; translated once, as all requests make it.

    Email, role and plan tier are null where the user is inactive, no member, or the organization inactive.
    Subqueries, since PostgreSQL plans them in half the time of joins, which takes longer than to answer.
    """
    user = User.objects.filter(pk=OuterRef("user_id"), is_active=True)
    membership = Membership.objects.filter(organization_id=OuterRef("organization_id"), user_id=OuterRef("user_id"))
    organization = Organization.objects.filter(pk=OuterRef("organization_id"), is_active=True)
    keys = APIKey.objects.usable().filter(prefix=PREFIX_HERE).order_by()
    columns = keys.values_list(
        *KEY_COLUMNS[:6],
        Subquery(user.order_by().values("email")),
        Subquery(membership.order_by().values("role")),
        Subquery(organization.order_by().values("plan_tier")),
    )
    return columns.query.sql_with_params()


def _note_use(key: Mapping[str, Any]) -> None:
    now = timezone.now()
    if key["last_used_at"] is None or key["last_used_at"] < now - LAST_USED_PRECISION:
        APIKey.objects.filter(pk=key["id"]).update(last_used_at=Now())


class SessionAuthentication(authentication.SessionAuthentication):
    """The admin's session. ``Muster-Organization: <slug>`` chooses among several memberships."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return user and principal of the session; None when nobody is logged in."""
        found = super().authenticate(request)
        if found is None:
            return None
        user = found[0]
        memberships = Membership.objects.filter(user=user, organization__is_active=True).order_by("created_at", "id")
        if slug := request.headers.get(ORGANIZATION_HEADER):
            memberships = memberships.filter(organization__slug=slug)
        membership = memberships.select_related("organization").first()
        if membership is None:
            raise exceptions.PermissionDenied(
                "You are not a member of that organization." if slug else "You are a member of no organization."
            )
        audit.amend(organization=membership.organization_id)
        identify(organization=membership.organization_id)
        organization = membership.organization
        principal = Principal(organization.pk, Role(membership.role), user.pk, plan_tier=organization.plan_tier)
        throttling.admit(request._request, principal)
        return user, principal
