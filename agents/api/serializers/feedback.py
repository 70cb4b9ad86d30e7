"""Serializers of feedback and insights."""

from typing import Any, ClassVar

from rest_framework import serializers

from agents.models import AgentExecution, Feedback, LearningInsight
from agents.models.feedback import ONE_TARGET, TARGETS
from core.api.serializers import RECORD_FIELDS, RecordSerializer


class FeedbackSerializer(RecordSerializer):
    """What somebody thinks of a run, a message, an execution or a round table's entry. Its author is who sends it."""

    class Meta:
        model = Feedback
        fields: ClassVar = (
            *RECORD_FIELDS,
            *TARGETS,
            "user",
            "rating",
            "thumbs_up",
            "category",
            "comment",
            "tags",
        )
        read_only_fields = ("user",)
        extra_kwargs: ClassVar = {"execution": {"queryset": AgentExecution.objects.only("organization")}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse none or several targets."""
        if self.instance is None and sum(attrs.get(target) is not None for target in TARGETS) != 1:
            raise serializers.ValidationError(ONE_TARGET, "invalid")
        return attrs


class LearningInsightSerializer(RecordSerializer):
    """Something learned. It moves by its actions; its text changes only while it is a draft."""

    class Meta:
        model = LearningInsight
        fields = (
            *RECORD_FIELDS,
            "squad",
            "source_feedback",
            "source_run",
            "category",
            "insight",
            "evidence",
            "confidence",
            "times_applied",
            "status",
        )
        read_only_fields = ("times_applied", "status")


class DraftInsightSerializer(RecordSerializer):
    """What an insight says beyond its feedback; unless given, it says what the feedback's comment says."""

    insight = serializers.CharField(required=False, help_text="Default: the comment.")

    class Meta:
        model = LearningInsight
        fields = ("squad", "category", "insight", "evidence", "confidence")
        extra_kwargs: ClassVar = {
            "squad": {"help_text": "Default: the squad of the task."},
            "category": {"help_text": "Default: the feedback's."},
            "evidence": {"help_text": "Default: what the feedback says."},
        }
