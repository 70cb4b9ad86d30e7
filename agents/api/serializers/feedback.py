"""Serializers of feedback and insights."""

from typing import Any, ClassVar

from rest_framework import serializers

from agents.models import Feedback, LearningInsight
from core.api.serializers import RECORD_FIELDS, RecordSerializer


class FeedbackSerializer(RecordSerializer):
    """What somebody thinks of a run or a message. Its author is who sends it."""

    class Meta:
        model = Feedback
        fields: ClassVar = (
            *RECORD_FIELDS,
            "task_run",
            "message",
            "user",
            "rating",
            "thumbs_up",
            "category",
            "comment",
            "tags",
        )
        read_only_fields = ("user",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse none or two targets."""
        if self.instance is None and bool(attrs.get("task_run")) == bool(attrs.get("message")):
            raise serializers.ValidationError("Feedback has exactly one target: a run or a message.", "invalid")
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
