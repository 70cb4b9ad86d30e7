"""The base serializers of the API, and those of core's records."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers

from core.models import APIKey, AuditEvent, IdempotencyKey, Membership, Organization, Role, SoftDeletion, User


class OrganizationRelatedField(serializers.PrimaryKeyRelatedField):
    """A reference, looked up in the request's own organization: another's record, or a deleted one, doesn't exist."""

    def get_queryset(self) -> QuerySet | None:
        """Return the records that a request may refer to."""
        queryset = super().get_queryset()
        request = self.context.get("request")
        if queryset is None:
            return None
        if request is None or request.auth is None:
            return queryset.none()
        rows = queryset.for_organization(request.auth.organization_id)  # type: ignore[attr-defined]
        return rows.alive() if issubclass(rows.model, SoftDeletion) else rows

    def look_up(self, values: Iterable[Any]) -> None:
        """Fetch at once the records that many rows refer to, so that parsing each row asks no more."""
        queryset = self.get_queryset()
        assert queryset is not None, "A field that is written to has a queryset."
        keys = set()
        self.primary_key = queryset.model._meta.pk
        for value in values:
            with suppress(DjangoValidationError):
                keys.add(self.primary_key.to_python(value))
        self.known = queryset.in_bulk(keys)

    def to_internal_value(self, data: Any) -> Any:
        """Return the record that ``data`` refers to, among those looked up before, if any were."""
        known: dict[Any, Any] | None = getattr(self, "known", None)
        if known is None:
            return super().to_internal_value(data)
        record = known.get(self.primary_key.to_python(data))
        if record is None:
            self.fail("does_not_exist", pk_value=data)
        return record


class HexField(serializers.CharField):
    """Bytes that clients read and write as lower-case hexadecimal text: a bytea column, of ``size`` bytes."""

    default_error_messages = {"hex": "This must be {digits} hexadecimal digits."}

    def __init__(self, *, size: int, **options: Any) -> None:
        self.size = size
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        """Return the text in lower case; ValidationError when it is no such text."""
        text: str = super().to_internal_value(data).lower()
        if not re.fullmatch(f"[0-9a-f]{{{2 * self.size}}}", text):
            self.fail("hex", digits=2 * self.size)
        return text


class StrictMixin:
    """A body in which a misspelt field is an error, not a loss."""

    fields: Any

    def to_internal_value(self, data: Any) -> Any:
        """Parse the body, and refuse fields that it doesn't take."""
        values = super().to_internal_value(data)  # type: ignore[misc]
        if unknown := set(data) - set(self.fields):
            raise serializers.ValidationError(
                {name: serializers.ErrorDetail("There is no such field.", code="unknown") for name in sorted(unknown)}
            )
        return values


class StrictSerializer(StrictMixin, serializers.Serializer):
    """A body that is no record's."""


class RecordSerializer(StrictMixin, serializers.ModelSerializer):
    """What every record shows: its id and times; and ``?fields=``, which narrows the answer.

    Validation of one field is the serializer's; rules between records and uniqueness are the database's, whose
    refusal is told in the same form (see core.violations), so that no query is spent on asking first.
    """

    serializer_related_field = OrganizationRelatedField

    def __init__(self, *args: Any, only: Iterable[str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.only = frozenset(only) if only else None

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, as far as they are asked for."""
        fields = super().get_fields()
        return fields if self.only is None else {name: fields[name] for name in fields if name in self.only}

    def get_validators(self) -> list[Any]:
        """Return no validators of uniqueness: the database's constraints say it without a query."""
        return []

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        """Build a field without the validator of uniqueness, for the same reason."""
        field_class, kwargs = super().build_standard_field(field_name, model_field)
        if validators := kwargs.get("validators"):
            kwargs["validators"] = [v for v in validators if not hasattr(v, "queryset")]
        return field_class, kwargs


@cache
def field_names(serializer_class: type[RecordSerializer]) -> frozenset[str]:
    """Return the names of the fields that a serializer shows; REST framework would make them anew each time."""
    return frozenset(name for name, field in serializer_class().fields.items() if not field.write_only)


RECORD_FIELDS = ("id", "created_at", "updated_at")


class OrganizationSerializer(RecordSerializer):
    """The organization that the key or session acts in."""

    class Meta:
        model = Organization
        fields = (*RECORD_FIELDS, "name", "slug", "plan_tier", "settings", "is_active")
        read_only_fields = ("slug", "plan_tier", "is_active")


class UserSerializer(RecordSerializer):
    """A member of the organization, as colleagues see one."""

    class Meta:
        model = User
        fields = (*RECORD_FIELDS, "email", "username", "name", "email_verified", "is_active")
        read_only_fields = fields


class MembershipSerializer(RecordSerializer):
    """A user's role in the organization. New members are named by the email they log in with."""

    email = serializers.EmailField(source="user.email", read_only=True)

    class Meta:
        model = Membership
        fields = (*RECORD_FIELDS, "user", "email", "role")
        read_only_fields = ("user",)


class NewMembershipSerializer(StrictSerializer):
    """Who is to become a member, and in what role."""

    email = serializers.EmailField()
    name = serializers.CharField(max_length=200, required=False, default="")
    role = serializers.ChoiceField(choices=Role.choices, default=Role.MEMBER)


class APIKeySerializer(RecordSerializer):
    """An API key. Its secret is shown once, in the answer that makes it."""

    class Meta:
        model = APIKey
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "name",
            "prefix",
            "scopes",
            "user",
            "expires_at",
            "last_used_at",
            "revoked_at",
        )
        read_only_fields = ("prefix", "user", "last_used_at", "revoked_at")

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        """Refuse a time that has passed: what no longer works isn't made."""
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("This time has passed.", "passed")
        return value


class IssuedAPIKeySerializer(APIKeySerializer):
    """A key just made, with its text."""

    key = serializers.CharField(read_only=True, help_text="The key itself. It can't be shown again.")

    class Meta(APIKeySerializer.Meta):
        fields: tuple[str, ...] = (*APIKeySerializer.Meta.fields, "key")
        ordinary_fields = ("key",)


class IdempotencyKeySerializer(RecordSerializer):
    """A client's name for one request, and what came of it."""

    class Meta:
        model = IdempotencyKey
        fields = (*RECORD_FIELDS, "principal", "key", "status", "location")
        read_only_fields = fields


class AuditEventSerializer(RecordSerializer):
    """What happened, to what, by whom."""

    class Meta:
        model = AuditEvent
        fields = (
            "id",
            "timestamp",
            "event_type",
            "resource_type",
            "resource_id",
            "user",
            "user_email",
            "api_key",
            "request_id",
            "ip_address",
            "user_agent",
            "details",
            "old_value",
            "new_value",
            "success",
            "error_message",
        )
        read_only_fields = fields
