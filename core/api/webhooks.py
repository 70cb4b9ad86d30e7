"""Endpoints of webhooks and of their deliveries."""

from typing import Any, ClassVar

import django_filters
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.filters import CharInFilter, RecordFilterSet
from core.api.serializers import RECORD_FIELDS, RecordSerializer
from core.api.viewsets import (
    CreateMixin,
    DestroyMixin,
    ListMixin,
    ReadOnlyViewSet,
    RecordViewSet,
    RetrieveMixin,
    UpdateMixin,
)
from core.models import Role, Webhook, WebhookDelivery
from core.services import webhooks


class WebhookSerializer(RecordSerializer):
    """Who is told of which events. The secret is shown once, in the answer that makes it."""

    class Meta:
        model = Webhook
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "url",
            "description",
            "event_types",
            "is_active",
            "pause_reason",
            "failing_since",
            "previous_secret_until",
        )
        read_only_fields = ("is_active", "pause_reason", "failing_since", "previous_secret_until")


class WebhookWithSecretSerializer(WebhookSerializer):
    """A webhook with a secret just made."""

    secret = serializers.CharField(read_only=True, help_text="What messages are signed with. It isn't shown again.")

    class Meta(WebhookSerializer.Meta):
        fields: tuple[str, ...] = (*WebhookSerializer.Meta.fields, "secret")
        ordinary_fields = ("secret",)


class WebhookDeliverySerializer(RecordSerializer):
    """An event on its way to a webhook, with every try."""

    class Meta:
        model = WebhookDelivery
        fields = (
            *RECORD_FIELDS,
            "webhook",
            "event",
            "event_type",
            "resource_id",
            "status",
            "attempt_count",
            "next_attempt_at",
            "delivered_at",
            "response_code",
            "response_excerpt",
            "duration_ms",
            "attempts",
            "body",
        )
        read_only_fields = fields


class WebhookFilterSet(RecordFilterSet):
    """Filters of webhooks."""

    class Meta:
        model = Webhook
        fields = ["is_active"]


class WebhookViewSet(CreateMixin, UpdateMixin, DestroyMixin, ListMixin, RetrieveMixin, RecordViewSet):
    """Addresses that are told of the organization's events, signed as the Standard Webhooks specification says."""

    scope = "core"
    read_role = Role.ADMIN
    write_role = Role.ADMIN
    queryset = Webhook.objects.all()
    serializer_class = WebhookSerializer
    filterset_class = WebhookFilterSet
    secret_actions = ("create", "rotate_secret")

    @extend_schema(responses={201: WebhookWithSecretSerializer})
    def create(self, request: Request) -> Response:
        """Make a webhook, and answer it with its secret, which isn't shown again."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        webhook, secret = webhooks.register(organization_id=self.principal.organization_id, **serializer.validated_data)
        location = request.build_absolute_uri(f"{request.path}{webhook.pk}/")
        return Response(self._with_secret(webhook, secret), status.HTTP_201_CREATED, headers={"Location": location})

    @extend_schema(request=None, responses=WebhookWithSecretSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: Any) -> Response:
        """Answer the webhook with a new secret. For a day, the previous one signs every message too."""
        with transaction.atomic():
            webhook = self.get_for_update(pk)
            secret = webhooks.rotate_secret(webhook=webhook)
        return Response(self._with_secret(webhook, secret))

    @extend_schema(request=None, responses={202: WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: Any) -> Response:
        """Send the event ``webhook.test`` to this webhook alone, and answer its delivery."""
        with transaction.atomic():
            delivery = webhooks.send_test(webhook=self.get_for_update(pk))
        delivery.refresh_from_db()
        return Response(WebhookDeliverySerializer(delivery).data, status.HTTP_202_ACCEPTED)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: Any) -> Response:
        """Switch the webhook off. Events that happen meanwhile aren't delivered, also not later."""
        return self.act(pk, lambda webhook: webhooks.pause(webhook=webhook))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: Any) -> Response:
        """Switch the webhook on again. What waited when it was switched off is delivered first."""
        return self.act(pk, lambda webhook: webhooks.resume(webhook=webhook))

    def _with_secret(self, webhook: Webhook, secret: str) -> Any:
        webhook.refresh_from_db()
        webhook.secret = secret
        return WebhookWithSecretSerializer(webhook, context=self.get_serializer_context()).data


class WebhookDeliveryFilterSet(RecordFilterSet):
    """Filters of deliveries."""

    status = CharInFilter(lookup_expr="in")
    webhook = django_filters.UUIDFilter(field_name="webhook_id")
    event = django_filters.UUIDFilter(field_name="event_id")

    class Meta:
        model = WebhookDelivery
        fields: ClassVar[list[str]] = ["event_type", "resource_id"]


class WebhookDeliveryViewSet(ReadOnlyViewSet):
    """What was sent to whom, and what came of it."""

    scope = "core"
    read_role = Role.ADMIN
    write_role = Role.ADMIN
    queryset = WebhookDelivery.objects.all()
    serializer_class = WebhookDeliverySerializer
    filterset_class = WebhookDeliveryFilterSet
    list_leaves_out = ("attempts", "body")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, pk: Any) -> Response:
        """Try once more what is delivered or given up, ten times if need be. The message keeps its id."""
        return self.act(pk, lambda delivery: webhooks.redeliver(delivery=delivery))
