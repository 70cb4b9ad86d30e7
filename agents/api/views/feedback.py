"""Endpoints of feedback and insights."""

from typing import Any

from django.db import models, transaction
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from agents.api.filters.feedback import FeedbackFilterSet, LearningInsightFilterSet
from agents.api.serializers import feedback as serializers
from agents.models import Feedback, LearningInsight
from agents.services import insights
from core.api.renderers import RenderedJSON
from core.api.viewsets import FullViewSet
from core.models import Role


class FeedbackViewSet(FullViewSet):
    """What people think of the work. Members give it in their own name; its author changes it, or an admin."""

    scope = "agents"
    queryset = Feedback.objects.all()
    serializer_class = serializers.FeedbackSerializer
    filterset_class = FeedbackFilterSet
    ordering_fields = ("created_at", "rating")

    def stamps(self) -> dict[str, Any]:
        """Return the organization, and in whose name the feedback is given."""
        return {**super().stamps(), "user_id": self.principal.user_id}

    def check_change(self, feedback: Any) -> None:
        """Raise PermissionDenied to all but its author and admins."""
        if feedback.user_id != self.principal.user_id and not self.principal.role.includes(Role.ADMIN):
            raise PermissionDenied("Only its author or an admin changes feedback.", code="missing_role")

    @extend_schema(request=serializers.DraftInsightSerializer, responses={201: serializers.LearningInsightSerializer})
    @action(detail=True, methods=["post"], url_path="draft-insight")
    def draft_insight(self, request: Request, pk: Any) -> Response:
        """Draft an insight from the feedback, for somebody to accept."""
        body = serializers.DraftInsightSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        with transaction.atomic():
            insight = insights.draft_from_feedback(feedback=self.get_for_update(pk), **body.validated_data)
        shown = serializers.LearningInsightSerializer(context=self.get_serializer_context())
        text = self.read_one(LearningInsight.objects.filter(pk=insight.pk), shown)
        assert text is not None
        location = reverse("learninginsight-detail", args=[insight.pk], request=request)
        return Response(RenderedJSON(text.encode()), status.HTTP_201_CREATED, headers={"Location": location})


class LearningInsightViewSet(FullViewSet):
    """What was learned. A draft is accepted before it is applied, and only drafts are deleted."""

    scope = "agents"
    queryset = LearningInsight.objects.all()
    serializer_class = serializers.LearningInsightSerializer
    filterset_class = LearningInsightFilterSet
    ordering_fields = ("created_at", "confidence", "times_applied")

    def perform_destroy(self, instance: models.Model) -> None:
        """Delete the draft."""
        assert isinstance(instance, LearningInsight)
        insights.delete_draft(insight=instance)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: Any) -> Response:
        """Say that the insight holds."""
        return self.move(pk, "accept")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: Any) -> Response:
        """Say that the insight holds no more."""
        return self.move(pk, "retire")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def apply(self, request: Request, pk: Any) -> Response:
        """Count an application of the insight."""
        return self.act(pk, lambda insight: insights.apply_insight(insight=insight))
