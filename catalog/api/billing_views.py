"""Endpoints of subscriptions and usage."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api import filters, serializers
from catalog.models import Subscription, UsageRecord
from catalog.models.usage import Period
from catalog.services import subscriptions, usage
from core.api.viewsets import CreateMixin, ReadOnlyViewSet, UpdateMixin
from core.models import Role

MAX_DAYS = 366
MAX_MONTHS = 120


class SubscriptionViewSet(CreateMixin, UpdateMixin, ReadOnlyViewSet):
    """The organization's plan, present and past. Admins change it."""

    scope = "catalog"
    write_role = Role.ADMIN
    queryset = Subscription.objects.all()
    serializer_class = serializers.SubscriptionSerializer
    read_serializer_class = serializers.SubscriptionSerializer
    filterset_class = filters.SubscriptionFilterSet

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return serializers.NewSubscriptionSerializer if self.action == "create" else self.serializer_class

    def perform_create(self, serializer: Any) -> Subscription:
        """Begin the subscription."""
        return subscriptions.start_subscription(
            organization_id=self.principal.organization_id, **serializer.validated_data
        )

    def _do(self, pk: Any, service: Any, **arguments: Any) -> Response:
        """Call the service for the subscription, and answer it as it then stands."""
        return self.act(pk, lambda subscription: service(subscription=subscription, **arguments))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: Any) -> Response:
        """Note that the subscription is paid for."""
        return self._do(pk, subscriptions.activate_subscription)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"], url_path="mark-past-due")
    def mark_past_due(self, request: Request, pk: Any) -> Response:
        """Note that a payment is missing."""
        return self._do(pk, subscriptions.mark_past_due)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def renew(self, request: Request, pk: Any) -> Response:
        """Begin the next period; or end the subscription, if it was to end with the present one."""
        return self._do(pk, subscriptions.renew_subscription)

    @extend_schema(request=serializers.CancelSubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any) -> Response:
        """End the subscription, at once or with its period."""
        body = serializers.CancelSubscriptionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return self._do(pk, subscriptions.cancel_subscription, **body.validated_data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def expire(self, request: Request, pk: Any) -> Response:
        """Note that the subscription ran out."""
        return self._do(pk, subscriptions.expire_subscription)


ONE_OR_MANY = PolymorphicProxySerializer(
    component_name="NewUsage",
    serializers=[serializers.NewUsageRecordSerializer, serializers.NewUsageRecordSerializer(many=True)],
    resource_type_field_name=None,
    many=False,
)
STORED_ONE_OR_MANY = PolymorphicProxySerializer(
    component_name="RecordedUsage",
    serializers=[serializers.UsageRecordSerializer, serializers.UsageRecordSerializer(many=True)],
    resource_type_field_name=None,
    many=False,
)


class UsageRecordViewSet(CreateMixin, ReadOnlyViewSet):
    """What was consumed. It is recorded once, and never changes."""

    scope = "catalog"
    queryset = UsageRecord.objects.all()
    serializer_class = serializers.UsageRecordSerializer
    read_serializer_class = serializers.UsageRecordSerializer
    filterset_class = filters.UsageRecordFilterSet
    ordering_fields = ("created_at", "recorded_at")

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return serializers.NewUsageRecordSerializer if self.action == "create" else self.serializer_class

    @extend_schema(request=ONE_OR_MANY, responses={200: STORED_ONE_OR_MANY, 201: STORED_ONE_OR_MANY})
    def create(self, request: Request) -> Response:
        """Record usage: one object, or an array of up to 1,000, all or nothing.

        A record whose idempotency key is known isn't stored again: the answer has the first one. It is 200, and not
        201, when nothing at all was new.
        """
        return super().create(request)

    def perform_create(self, serializer: Any) -> UsageRecord:
        """Record one."""
        return self._record([serializer.validated_data])[0]

    def perform_bulk_create(self, rows: Any) -> list[Any]:
        """Record all."""
        return self._record([row.validated_data for row in rows])

    nothing_new = False  # what an idempotency key answers again was new the first time

    def _record(self, values: list[dict[str, Any]]) -> list[UsageRecord]:
        entries = [usage.UsageEntry(**each) for each in values]
        recorded = usage.record_usage(organization_id=self.principal.organization_id, entries=entries)
        self.nothing_new = not any(each.is_new for each in recorded)
        return [each.record for each in recorded]

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer 200 in place of 201 when nothing was new."""
        if response.status_code == status.HTTP_201_CREATED and self.nothing_new:
            response.status_code = status.HTTP_200_OK
        return super().finalize_response(request, response, *args, **kwargs)

    @extend_schema(
        parameters=[serializers.UsageQuestionSerializer], responses=serializers.UsageSummarySerializer, filters=False
    )
    @action(detail=False, methods=["get"], pagination_class=None)
    def summary(self, request: Request) -> Response:
        """Sum usage by metric, unit and period of UTC: the last 12 months, or 31 days, unless told otherwise."""
        question = serializers.UsageQuestionSerializer(data=request.query_params)
        if unknown := set(request.query_params) - set(question.fields) - {"format"}:
            raise ValidationError(dict.fromkeys(sorted(unknown), "There is no such parameter."), "unknown")
        question.is_valid(raise_exception=True)
        asked = question.validated_data
        period = Period(asked["period"])
        end = asked.get("to") or timezone.now()
        try:
            start = asked.get("from") or _default_start(period, end)
        except (ValueError, OverflowError) as error:
            raise ValidationError({"to": "That is before all periods."}, "range") from error
        if not timedelta(0) < end - start <= timedelta(days=MAX_DAYS if period == Period.DAY else MAX_MONTHS * 31):
            limit = f"{MAX_DAYS} days" if period == Period.DAY else f"{MAX_MONTHS} months"
            raise ValidationError({"from": f"“from” is before “to”, and by no more than {limit}."}, "range")
        rows = self.get_queryset().between(start, end)  # type: ignore[attr-defined]
        if metric := asked.get("metric"):
            rows = rows.filter(metric=metric)
        answer = {"period": period, "from": start, "to": end, "results": rows.summary(period)}
        return Response(serializers.UsageSummarySerializer(answer).data)


def _default_start(period: Period, end: datetime) -> datetime:
    """Return the beginning of the day 31 days before, or of the month 11 months before."""
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == Period.DAY:
        return midnight - timedelta(days=31)
    year, month = divmod(midnight.year * 12 + midnight.month - 12, 12)
    return midnight.replace(year=year, month=month + 1, day=1)
