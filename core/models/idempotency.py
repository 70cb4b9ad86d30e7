"""What was answered to requests that are to be done once."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from core.models.base import OrganizationLog, RecordQuerySet

KEPT = timedelta(hours=24)
KEY_LENGTH = 255


class IdempotencyKeyQuerySet(RecordQuerySet):
    """Reads of idempotency keys."""

    def outdated(self) -> "IdempotencyKeyQuerySet":
        """Return the keys that may be used again, and needn't be kept."""
        return self.filter(created_at__lte=Now() - KEPT)


class IdempotencyKey(OrganizationLog):
    """A client's name for one request, and what it was answered, written in the request's own transaction.

    After the IETF draft “The Idempotency-Key HTTP Header Field”: who sends the key again with the same request gets
    the same answer, and nothing is done twice. ``principal`` is the API key that sent it, or the user of a session.
    """

    principal = models.UUIDField()
    key = models.CharField(max_length=KEY_LENGTH)
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of method, address and body.")
    status = models.PositiveSmallIntegerField()
    location = models.TextField(blank=True)
    body = models.BinaryField()

    objects: ClassVar = IdempotencyKeyQuerySet.as_manager()

    class Meta(OrganizationLog.Meta):
        constraints = [
            *OrganizationLog.Meta.constraints,
            models.UniqueConstraint(
                fields=["organization", "principal", "key"],
                name="core_idempotencykey_unique",
                violation_error_message="This key was used before.",
            ),
            models.CheckConstraint(
                name="core_idempotencykey_success",
                condition=models.Q(status__gte=200, status__lt=300),
                violation_error_message="“status” must be a success: what failed may be tried again.",
            ),
            models.CheckConstraint(
                name="core_idempotencykey_key",
                condition=models.Q(key__regex=r"^[\x21-\x7e]+$"),
                violation_error_message="“key” takes visible ASCII characters.",
            ),
        ]
        indexes = [
            *OrganizationLog.Meta.indexes,
            models.Index(fields=["created_at"], name="core_idempotencykey_age"),
        ]

    def __str__(self) -> str:
        return self.key
