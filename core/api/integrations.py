"""Endpoints of integrations, of what services tell us, and the one where they tell it."""

import logging
from typing import Any, ClassVar

import django_filters
from django.http import Http404
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from core import audit
from core.api.filters import CharInFilter, RecordFilterSet
from core.api.problems import PayloadTooLarge, Unavailable
from core.api.serializers import RECORD_FIELDS, RecordSerializer
from core.api.viewsets import FullViewSet, ReadOnlyViewSet
from core.encryption import UnreadableSecretError, refuse_encrypted, reveal
from core.integrations.receivers import RECEIVERS, BadSignatureError, UnreadableMessageError
from core.models import Integration, IntegrationEvent, IntegrationStatus, Role
from core.services import integrations

logger = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024


class BadSignature(APIException):
    """401: a message that isn't signed by the service, or was signed too long ago."""

    status_code = status.HTTP_401_UNAUTHORIZED
    default_code = "bad_signature"
    default_detail = "The message isn't signed with the integration's secret, or was signed too long ago."


class IntegrationSerializer(RecordSerializer):
    """Another company's service. Credentials are taken, and never shown."""

    token = serializers.CharField(
        write_only=True,
        required=False,
        allow_blank=True,
        max_length=1000,
        validators=[refuse_encrypted],
        help_text="What we log in with: a token of GitHub, Slack (a bot's) or Jira, or a secret key of Stripe.",
    )
    webhook_secret = serializers.CharField(
        write_only=True,
        required=False,
        allow_blank=True,
        max_length=200,
        validators=[refuse_encrypted],
        help_text="What GitHub or Stripe signs its messages with.",
    )

    class Meta:
        model = Integration
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "provider",
            "name",
            "config",
            "token",
            "webhook_secret",
            "has_token",
            "has_webhook_secret",
            "status",
            "last_checked_at",
            "last_synced_at",
            "last_error",
        )
        read_only_fields = (
            "has_token",
            "has_webhook_secret",
            "status",
            "last_checked_at",
            "last_synced_at",
            "last_error",
        )

    def validate_provider(self, provider: str) -> str:
        """Refuse another provider than before: settings and credentials are the one's."""
        if self.instance is not None and provider != self.instance.provider:
            raise serializers.ValidationError("“provider” never changes: make another integration.", code="invalid")
        return provider


class IntegrationEventSerializer(RecordSerializer):
    """Something that a service told us, and what it led to."""

    class Meta:
        model = IntegrationEvent
        fields = (
            *RECORD_FIELDS,
            "integration",
            "delivery_id",
            "event_type",
            "subject",
            "occurred_at",
            "status",
            "outcome",
            "handled_at",
            "payload",
        )
        read_only_fields = fields


class IntegrationFilterSet(RecordFilterSet):
    """Filters of integrations."""

    provider = CharInFilter(lookup_expr="in")
    status = CharInFilter(lookup_expr="in")

    class Meta:
        model = Integration
        fields: ClassVar[list[str]] = ["name"]


class IntegrationViewSet(FullViewSet):
    """Services of others that the organization works with: GitHub, Slack, Jira, Stripe, or one of its own."""

    scope = "core"
    read_role = Role.ADMIN
    write_role = Role.ADMIN
    queryset = Integration.objects.all()
    serializer_class = IntegrationSerializer
    filterset_class = IntegrationFilterSet
    ordering_fields = ("created_at", "name")
    unguarded_actions = ("check", "receive")

    @sensitive_variables("serializer")
    def perform_create(self, serializer: Any) -> Integration:
        """Make the integration."""
        return integrations.create(organization_id=self.principal.organization_id, **serializer.validated_data)

    @sensitive_variables("serializer")
    def perform_update(self, serializer: Any) -> Integration:
        """Change the integration."""
        return integrations.change(integration=serializer.instance, **serializer.validated_data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, pk: Any) -> Response:
        """Ask the service whether the integration works, and answer the integration, which says it."""
        integration = self.get_queryset().filter(pk=pk).first()
        if integration is None:
            raise Http404
        return self.answer(integrations.check(integration=integration))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: Any) -> Response:
        """Switch the integration off: it is told nothing, and what it tells us is refused."""
        return self.act(pk, lambda integration: integrations.disable(integration=integration))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: Any) -> Response:
        """Switch the integration on again."""
        return self.act(pk, lambda integration: integrations.enable(integration=integration))

    @sensitive_variables("secret")
    @extend_schema(
        request=OpenApiTypes.OBJECT,
        responses={
            200: OpenApiResponse(description="It came before, or nothing would follow from it."),
            202: OpenApiResponse(description="It is kept, and will be dealt with."),
        },
        auth=[],
    )
    @action(detail=True, methods=["post"], authentication_classes=[], permission_classes=[])
    def receive(self, request: Request, pk: Any) -> Response:
        """Take an event that GitHub or Stripe sends. Its signature stands in for a key."""
        integration = Integration.objects.filter(pk=pk, has_webhook_secret=True, organization__is_active=True).first()
        receiver = RECEIVERS.get(integration.provider) if integration else None
        if integration is None or receiver is None or integration.status == IntegrationStatus.DISABLED:
            raise Http404
        audit.amend(organization=integration.organization_id)
        body = _body(request)
        try:
            secret = reveal(integration.webhook_secret)
        except UnreadableSecretError as error:
            logger.exception("What integration %s is told can't be verified.", integration.pk)
            raise Unavailable("The signature can't be verified for now.") from error
        try:
            message = receiver.read(body=body, headers=request.headers, secret=secret)
        except BadSignatureError as error:
            reason = str(error) or BadSignature.default_detail
            audit.record("integration.refuse", success=False, resource_id=integration.pk, error_message=reason)
            raise BadSignature(reason) from error
        except UnreadableMessageError as error:
            raise ParseError(str(error)) from error
        if message is None:
            return Response(status=status.HTTP_200_OK)
        _, is_new = integrations.receive(integration=integration, message=message)
        return Response(status=status.HTTP_202_ACCEPTED if is_new else status.HTTP_200_OK)


def _body(request: Request) -> bytes:
    """Return the body as it came, which is what was signed."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MOST_BYTES:
        raise PayloadTooLarge(MOST_BYTES)
    return request._request.body


class IntegrationEventFilterSet(RecordFilterSet):
    """Filters of what services told us."""

    integration = django_filters.UUIDFilter(field_name="integration_id")
    status = CharInFilter(lookup_expr="in")

    class Meta:
        model = IntegrationEvent
        fields: ClassVar[list[str]] = ["delivery_id", "event_type", "subject"]


class IntegrationEventViewSet(ReadOnlyViewSet):
    """What services told us, and what it led to. Kept for 30 days."""

    scope = "core"
    read_role = Role.ADMIN
    write_role = Role.ADMIN
    queryset = IntegrationEvent.objects.all()
    serializer_class = IntegrationEventSerializer
    filterset_class = IntegrationEventFilterSet
    list_leaves_out = ("payload",)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: Any) -> Response:
        """Deal once more with an event that failed."""
        return self.act(pk, lambda event: integrations.retry(event=event))
