"""API keys: who a client is, and what it may do."""

import hashlib
import hmac
import secrets
import string
from typing import Any, ClassVar, Self
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from core.models.base import OrganizationRecord, RecordQuerySet
from core.models.identity import User

ALPHABET = string.ascii_letters + string.digits
PREFIX_LENGTH = 8
SECRET_LENGTH = 43  # characters of 62: 256 bits


class Scope(models.TextChoices):
    """What a key may be used for."""

    CORE_READ = "core:read", "Read people, keys and organization"
    CORE_WRITE = "core:write", "Change people, keys and organization"
    AUDIT_READ = "audit:read", "Read the audit log"
    CATALOG_READ = "catalog:read", "Read products, orders, subscriptions and usage"
    CATALOG_WRITE = "catalog:write", "Change products, orders, subscriptions and usage"
    AGENTS_READ = "agents:read", "Read agents, work, projects and evidence"
    AGENTS_WRITE = "agents:write", "Change agents, work, projects and evidence"
    KNOWLEDGE_READ = "knowledge:read", "Read collections and documents, and search them"
    KNOWLEDGE_WRITE = "knowledge:write", "Change collections and documents"
    TELEMETRY_WRITE = "telemetry:write", "Report traces"


class APIKeyQuerySet(RecordQuerySet):
    """Reads of API keys."""

    def usable(self) -> Self:
        """Return the keys that are neither revoked nor expired."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=Now()), revoked_at=None)


class APIKey(OrganizationRecord):
    """A key by which a client acts for a user in one organization.

    A key reads ``mst_<prefix>_<secret>``. The prefix finds the row; the secret is stored only as its SHA-256
    digest (it has 256 random bits, so a slow password hash would add nothing but time) and compared in
    constant time. A key never may do more than its user's role allows.
    """

    audit_redact = ("digest",)
    audit_ignore = ("last_used_at",)

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="api_keys", help_text="Who made the key and answers for it."
    )
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=PREFIX_LENGTH, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=40, choices=Scope))
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar = APIKeyQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        verbose_name = "API key"
        constraints = [
            *OrganizationRecord.Meta.constraints,
            models.CheckConstraint(
                name="core_apikey_scopes",
                condition=models.Q(scopes__contained_by=Scope.values) & models.Q(scopes__len__gt=0),
                violation_error_message="“scopes” takes at least one scope, and only known ones.",
            ),
            models.CheckConstraint(
                name="core_apikey_digest_shape",
                condition=models.Q(digest__regex=r"^[0-9a-f]{64}$"),
                violation_error_message="“digest” must be a SHA-256 digest in hexadecimal.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} (mst_{self.prefix}_…)"

    @classmethod
    def issue(
        cls, *, user: User, organization_id: UUID, name: str, scopes: list[str], **fields: Any
    ) -> tuple["APIKey", str]:
        """Make a key. Return it with its text, which can't be had again."""
        prefix, secret = _random(PREFIX_LENGTH), _random(SECRET_LENGTH)
        key = cls.objects.create(
            user=user,
            organization_id=organization_id,
            name=name,
            scopes=sorted(set(scopes)),
            prefix=prefix,
            digest=digest_of(secret),
            **fields,
        )
        return key, f"mst_{prefix}_{secret}"

    @property
    def is_revoked(self) -> bool:
        """Tell whether the key was revoked."""
        return self.revoked_at is not None


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def digest_of(secret: str) -> str:
    """Return what is stored of a key's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse_key(text: str) -> tuple[str, str] | None:
    """Return the prefix and the secret of a key's text, or None if it isn't one."""
    match text.split("_"):
        case ["mst", prefix, secret] if len(prefix) == PREFIX_LENGTH and prefix.isalnum() and secret.isalnum():
            return prefix, secret
    return None


def matches(secret: str, digest: str) -> bool:
    """Tell, in constant time, whether ``digest`` was made of ``secret``."""
    return hmac.compare_digest(digest_of(secret), digest)
