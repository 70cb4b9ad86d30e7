"""Serializers of traces."""

from rest_framework import serializers

from agents.models import SpanKind, SpanStatus, Trace
from core.api.serializers import HexField, RecordSerializer


class TraceSerializer(RecordSerializer):
    """A trace as a whole. Its name, agent and status are its root's, or, until that has come, its earliest span's."""

    trace_id = HexField(size=16, read_only=True)

    class Meta:
        model = Trace
        fields = (
            "id",
            "trace_id",
            "root_name",
            "root_agent_name",
            "root_status",
            "has_root",
            "session_id",
            "task_run",
            "squad",
            "started_at",
            "completed_at",
            "duration",
            "spans",
            "model_calls",
            "tool_executions",
            "errors",
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "reasoning_tokens",
            "cost",
            "unpriced",
        )
        read_only_fields = fields


class SpansQuestionSerializer(serializers.Serializer):
    """Which spans of a trace are asked for."""

    limit = serializers.IntegerField(min_value=1, max_value=1_000, default=200, help_text="Spans a page.")
    cursor = serializers.UUIDField(required=False, help_text="Where the page begins; taken from “next” or “previous”.")
    under = serializers.RegexField(
        "^[0-9a-fA-F]{16}$", required=False, help_text="A span's id: only that one and what is inside it."
    )
    max_depth = serializers.IntegerField(
        min_value=0, max_value=1_000_000, required=False, help_text="How deep to go; roots are at depth 0."
    )


class TraceSpanSerializer(serializers.Serializer):
    """A span of a trace, at its place in the tree."""

    id = serializers.UUIDField(help_text="Of the execution, model call or tool execution.")
    kind = serializers.ChoiceField(choices=SpanKind.choices)
    type = serializers.CharField(help_text="An execution's type, a model call's operation, a tool's name.")
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=SpanStatus.choices)
    depth = serializers.IntegerField()
    spans_below = serializers.IntegerField(help_text="How many spans are inside, at whatever depth.")
    span_id = serializers.CharField()
    parent_span_id = serializers.CharField(allow_null=True)
    execution = serializers.UUIDField(allow_null=True, help_text="The execution that it is in.")
    agent_name = serializers.CharField()
    model = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    duration = serializers.FloatField(allow_null=True)
    input_tokens = serializers.IntegerField(allow_null=True)
    output_tokens = serializers.IntegerField(allow_null=True)
    cached_tokens = serializers.IntegerField(allow_null=True)
    reasoning_tokens = serializers.IntegerField(allow_null=True)
    cost = serializers.DecimalField(max_digits=None, decimal_places=10, allow_null=True)
    counted = serializers.BooleanField(
        help_text="False where an execution repeats what spans inside it report, so that it isn't added up."
    )
    error_type = serializers.CharField()


class TraceSpansSerializer(serializers.Serializer):
    """A page of a trace's spans, depth-first, by start."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = TraceSpanSerializer(many=True)
