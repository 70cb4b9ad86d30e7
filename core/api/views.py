"""Endpoints of core's records."""

from typing import Any, ClassVar

import django_filters
from django.db import models, transaction
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import serializers
from core.api.filters import CharInFilter, RecordFilterSet
from core.api.viewsets import (
    CreateMixin,
    DestroyMixin,
    ListMixin,
    ReadOnlyViewSet,
    RecordViewSet,
    RetrieveMixin,
    UpdateMixin,
)
from core.models import APIKey, AuditEvent, IdempotencyKey, Membership, Organization, Role, User
from core.services import access


class OrganizationViewSet(UpdateMixin, ReadOnlyViewSet):
    """The organization that the request acts in; there is never another one in the answer."""

    scope = "core"
    write_role = Role.ADMIN
    queryset = Organization.objects.all()
    serializer_class = serializers.OrganizationSerializer
    ordering_fields = ("created_at", "name")


class UserFilterSet(RecordFilterSet):
    """Filters of users."""

    email = django_filters.CharFilter(lookup_expr="iexact")

    class Meta:
        model = User
        fields = ["is_active"]


class UserViewSet(ReadOnlyViewSet):
    """The members of the organization."""

    scope = "core"
    queryset = User.objects.all()
    serializer_class = serializers.UserSerializer
    filterset_class = UserFilterSet
    ordering_fields = ("created_at", "email", "name")


class MembershipFilterSet(RecordFilterSet):
    """Filters of memberships."""

    role = CharInFilter(lookup_expr="in")
    user = django_filters.UUIDFilter(field_name="user_id")

    class Meta:
        model = Membership
        fields: ClassVar[list[str]] = []


class MembershipViewSet(CreateMixin, UpdateMixin, DestroyMixin, ReadOnlyViewSet):
    """Who is a member, in what role. Only an owner makes or unmakes owners."""

    scope = "core"
    write_role = Role.ADMIN
    queryset = Membership.objects.all()
    serializer_class = serializers.MembershipSerializer
    filterset_class = MembershipFilterSet

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return serializers.NewMembershipSerializer if self.action == "create" else self.serializer_class

    def perform_create(self, serializer: Any) -> Membership:
        """Add the member."""
        self._check_rank(serializer.validated_data["role"])
        return access.add_member(organization_id=self.principal.organization_id, **serializer.validated_data)

    def perform_update(self, serializer: Any) -> models.Model:
        """Change the role."""
        self._check_rank(serializer.instance.role, serializer.validated_data.get("role", Role.VIEWER))
        return serializer.save()

    def perform_destroy(self, instance: Any) -> None:
        """Take the member out of the organization."""
        self._check_rank(instance.role)
        instance.delete()

    def _check_rank(self, *roles: str) -> None:
        if Role.OWNER in roles and self.principal.role != Role.OWNER:
            raise PermissionDenied("Only an owner makes or unmakes owners.", code="missing_role")


class APIKeyFilterSet(RecordFilterSet):
    """Filters of API keys."""

    user = django_filters.UUIDFilter(field_name="user_id")
    revoked = django_filters.BooleanFilter(field_name="revoked_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = APIKey
        fields = ["prefix"]


class APIKeyViewSet(CreateMixin, ListMixin, RetrieveMixin, RecordViewSet):
    """The organization's keys. A key made by a key never has scopes that its maker lacks."""

    scope = "core"
    read_role = Role.ADMIN
    write_role = Role.ADMIN
    queryset = APIKey.objects.all()
    serializer_class = serializers.APIKeySerializer
    filterset_class = APIKeyFilterSet
    secret_actions = ("create",)
    ordering_fields = ("created_at", "name")

    @extend_schema(responses={201: serializers.IssuedAPIKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key, and answer it with its text, which can't be had again."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        missing = [scope for scope in serializer.validated_data["scopes"] if not self.principal.has_scope(scope)]
        if missing:
            raise PermissionDenied(f"This key lacks the scope “{missing[0]}” itself.", code="missing_scope")
        with transaction.atomic():
            key, text = access.issue_key(
                user=request.user,  # type: ignore[arg-type]
                organization_id=self.principal.organization_id,
                **serializer.validated_data,
            )
        key.key = text  # type: ignore[attr-defined]
        answer = serializers.IssuedAPIKeySerializer(key, context=self.get_serializer_context())
        location = request.build_absolute_uri(f"{request.path}{key.pk}/")
        return Response(answer.data, status.HTTP_201_CREATED, headers={"Location": location})

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: Any) -> Response:
        """Switch the key off for good."""
        return self.act(pk, lambda key: access.revoke_key(key=key))


class AuditEventFilterSet(django_filters.rest_framework.FilterSet):
    """Filters of the event stream."""

    timestamp = django_filters.IsoDateTimeFromToRangeFilter()
    event_type = CharInFilter(lookup_expr="in")
    user = django_filters.UUIDFilter(field_name="user_id")
    api_key = django_filters.UUIDFilter(field_name="api_key_id")

    class Meta:
        model = AuditEvent
        fields = ["resource_type", "resource_id", "request_id", "success"]


class AuditEventViewSet(ReadOnlyViewSet):
    """What happened in the organization, to what, by whom."""

    scope = "audit"
    read_role = Role.ADMIN
    queryset = AuditEvent.objects.all()
    serializer_class = serializers.AuditEventSerializer
    filterset_class = AuditEventFilterSet
    ordering = ("-timestamp",)
    ordering_fields = ("timestamp",)


class IdempotencyKeyFilterSet(RecordFilterSet):
    """Filters of idempotency keys."""

    class Meta:
        model = IdempotencyKey
        fields = ["key", "principal"]


class IdempotencyKeyViewSet(ReadOnlyViewSet):
    """The keys of requests that were to be done once. Each is kept for a day."""

    scope = "audit"
    read_role = Role.ADMIN
    queryset = IdempotencyKey.objects.all()
    serializer_class = serializers.IdempotencyKeySerializer
    filterset_class = IdempotencyKeyFilterSet
