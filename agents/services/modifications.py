"""Modifications: asked for by one, reviewed by another, applied at last."""

from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from agents.models import Modification, ModificationStatus
from core.errors import ConflictError
from core.models import Organization, User


def may_review(*, modification: Modification, user_id: Any) -> bool:
    """Tell whether the user may review the modification: anyone but who asked, unless the organization allows it.

    The organization's settings allow it by ``{"modifications": {"self_review": true}}``.
    """
    if user_id != modification.requested_by_id:
        return True
    settings = Organization.objects.values_list("settings", flat=True).get(pk=modification.organization_id)
    section = settings.get("modifications") if isinstance(settings, dict) else None
    return isinstance(section, dict) and section.get("self_review") is True


@transaction.atomic
def amend(*, modification: Modification, user: User, **changes: Any) -> Modification:
    """Change what was asked for. Only who asked may: a reviewer would else approve a request of their own.

    Raises PermissionDenied for others, ConflictError once it was reviewed.
    """
    modification = Modification.objects.select_for_update(of=("self",)).get(pk=modification.pk)
    if user.pk != modification.requested_by_id:
        raise PermissionDenied("Only who asked for a modification can change what is asked for.")
    if modification.status != ModificationStatus.PENDING:
        raise ConflictError(f"It is “{modification.status}”: what was asked for stays as it was reviewed.")
    for name, value in changes.items():
        setattr(modification, name, value)
    modification.save(update_fields=list(changes))
    modification.refresh_from_db()
    return modification


def approve(*, modification: Modification, reviewer: User, comment: str, as_of: datetime | None = None) -> Modification:
    """Approve the modification.

    ``as_of`` is the ``updated_at`` of what the reviewer read. Raises PermissionDenied for whoever asked,
    ValidationError without a comment, TransitionConflictError unless it is pending, ConflictError when it was
    changed since it was read.
    """
    return _review("approve", modification, reviewer, comment, as_of)


def reject(*, modification: Modification, reviewer: User, comment: str, as_of: datetime | None = None) -> Modification:
    """Reject the modification, for good. Arguments and errors are those of ``approve``."""
    return _review("reject", modification, reviewer, comment, as_of)


def apply(*, modification: Modification, result: Any = None) -> Modification:
    """Note that the modification was applied, and what came of it.

    Raises TransitionConflictError unless it is approved.
    """
    return Modification.lifecycle.move(modification, "apply", result=result)


def fail(*, modification: Modification, error: str, result: Any = None) -> Modification:
    """Note that applying the modification failed. Raises TransitionConflictError unless it is approved."""
    if not error.strip():
        raise ValidationError({"error": ValidationError("Say what went wrong.", "required")})
    return Modification.lifecycle.move(modification, "fail", error_message=error, result=result)


@transaction.atomic
def _review(
    move: str, modification: Modification, reviewer: User, comment: str, as_of: datetime | None
) -> Modification:
    modification = Modification.objects.select_for_update(of=("self",)).get(pk=modification.pk)
    if not may_review(modification=modification, user_id=reviewer.pk):
        raise PermissionDenied(
            f"Whoever asked for a modification can't {move} it; your organization's settings may allow it."
        )
    if not comment.strip():
        raise ValidationError({"comment": ValidationError("A review needs a comment.", "required")})
    if as_of is not None and as_of != modification.updated_at:
        raise ConflictError("The request was changed since you read it. Read it again.", field="updated_at")
    return Modification.lifecycle.move(modification, move, reviewed_by=reviewer, review_comment=comment)
