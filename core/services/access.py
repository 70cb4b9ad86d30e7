"""Who may act: members and keys."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from core.errors import ConflictError
from core.models import APIKey, Membership, Role, User


@transaction.atomic
def add_member(*, organization_id: UUID, email: str, role: Role, name: str = "") -> Membership:
    """Make the person with this email a member; one who is new to Muster gets a user without a password."""
    user = User.objects.filter(email__iexact=email).first() or User.objects.create_user(email, name=name)
    if Membership.objects.filter(organization_id=organization_id, user=user).exists():
        raise ConflictError(f"{email} is a member already.", code="already_a_member", field="email")
    return Membership.objects.create(organization_id=organization_id, user=user, role=role)


@transaction.atomic
def issue_key(
    *,
    user: User,
    organization_id: UUID,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
) -> tuple[APIKey, str]:
    """Make an API key, and return it with its text, which can't be had again."""
    return APIKey.issue(
        user=user, organization_id=organization_id, name=name, scopes=list(scopes), expires_at=expires_at
    )


def revoke_key(*, key: APIKey) -> APIKey:
    """Switch the key off for good. Revoking it again changes nothing."""
    APIKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=Now())
    key.refresh_from_db()
    return key
