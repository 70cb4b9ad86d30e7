"""Serializers of executions, model calls and tool executions, and of what their actions take."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar

import orjson
from django.utils import timezone
from rest_framework import serializers

from agents.models import AgentExecution, ModelCall, ToolExecution
from agents.prices import UNITS, price_of
from agents.services.spans import TimesError, settle
from core.api.serializers import RECORD_FIELDS, HexField, RecordSerializer, StrictSerializer

LONGEST = 10**12  # seconds; more than lies between any two times
MOST_TOKENS = 10**12  # of one call: so that no sum of them outgrows its column
NULL = rb"\u0000"  # as JSON writes the character that PostgreSQL takes in no text
TIMES = ("status", "started_at", "completed_at", "duration")
USAGE = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
IDENTITY = ("trace_id", "span_id", "parent_span_id")
TOKENS: dict[str, Any] = {name: {"max_value": MOST_TOKENS} for name in USAGE}
AROUND: dict[str, Any] = {"queryset": AgentExecution.objects.only("organization", "agent_name")}


def holds_null(value: Any) -> bool:
    """Tell whether a text inside a JSON value holds a null character."""
    return NULL in (text := orjson.dumps(value)) and NULL in text.replace(rb"\\", b"")


def refuse_null(values: dict[str, Any], *names: str) -> None:
    """Refuse documents with a null character in them: what is kept as json is kept unread."""
    errors = {name: "This holds a null character." for name in names if holds_null(values.get(name))}
    if errors:
        raise serializers.ValidationError(errors, "null_characters_not_allowed")


class SpanSerializer(RecordSerializer):
    """What every span shows and takes. Its ids are given once; its times follow from those given (see settle).

    A subclass gives ``default_name``: the name of a new span, from its attributes, where it came without one.
    """

    duration = serializers.FloatField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=LONGEST,
        help_text="Seconds from start to end. It may be given in place of “completed_at”.",
    )
    trace_id = HexField(size=16, required=False, allow_null=True, help_text="32 hexadecimal digits, with “span_id”.")
    span_id = HexField(size=8, required=False, allow_null=True, help_text="16 hexadecimal digits, with “trace_id”.")
    parent_span_id = HexField(
        size=8, required=False, allow_null=True, help_text="The span around this one, which may come later."
    )
    around: ClassVar[str]
    default_name: Callable[[dict[str, Any]], str]
    documents: ClassVar[tuple[str, ...]]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the values with what follows from them: times, and names where none are given."""
        refuse_null(attrs, *self.documents)
        attrs |= self._times(attrs)
        attrs.pop("duration", None)
        if self.instance is None:
            agent, around = attrs.get("agent"), attrs.get(self.around)
            if not attrs.get("agent_name"):
                attrs["agent_name"] = agent.name if agent else around.agent_name if around else ""
            attrs["name"] = attrs.get("name") or self.default_name(attrs)
        return attrs

    def _times(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None and not attrs.keys() & TIMES:
            return {}
        before = self.instance
        kept = {"status": getattr(before, "status", None), "started_at": getattr(before, "started_at", None)}
        given = kept | {name: attrs[name] for name in TIMES if name in attrs}
        if before is not None:
            before.lifecycle.check(before, given["status"])
            if given.get("duration") is None and before.status == given["status"]:
                given.setdefault("completed_at", before.completed_at)
        try:
            times = settle(
                status=given["status"],
                started_at=given["started_at"],
                completed_at=given.get("completed_at"),
                duration=given.get("duration"),
                now=timezone.now(),
            )
        except TimesError as error:
            raise serializers.ValidationError({error.field: str(error)}, "invalid") from error
        return {"status": times.status, "started_at": times.started_at, "completed_at": times.completed_at}


SPAN_FIELDS = (*RECORD_FIELDS, "name", *TIMES, *IDENTITY, "agent_name", "session_id", "correlation_id")
SPAN_OUTCOME = ("error_type", "error_message", "attributes")
OPTIONAL_NAME: dict[str, Any] = {"name": {"required": False, "help_text": "By default, what it is of, or by."}}


class AgentExecutionSerializer(SpanSerializer):
    """An agent at work, or a part of its work that is neither a model call nor a tool."""

    around = "parent_execution"
    documents = ("input", "output")

    class Meta:
        model = AgentExecution
        fields: tuple[str, ...] = (
            *SPAN_FIELDS,
            "execution_id",
            "agent",
            "agent_type",
            "parent_execution",
            "task_run",
            "squad",
            "user",
            "user_name",
            "input",
            "output",
            "result",
            "model_provider",
            "model_name",
            *USAGE,
            "cost",
            "usage_below",
            *SPAN_OUTCOME,
        )
        read_only_fields: tuple[str, ...] = ("user", "usage_below")
        extra_kwargs: ClassVar = (
            TOKENS
            | OPTIONAL_NAME
            | {
                "execution_id": {"required": False},
                "parent_execution": AROUND,
                "cost": {"min_value": 0},
            }
        )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the values with what follows from them. Who writes a new one is its user."""
        attrs = super().validate(attrs)
        if self.instance is None:
            attrs["user_id"] = self.context["request"].auth.user_id
        return attrs

    def default_name(self, attrs: dict[str, Any]) -> str:
        """Return the agent's name, or else what it is."""
        return attrs["agent_name"] or attrs.get("agent_type", "agent")


class AgentExecutionChangeSerializer(AgentExecutionSerializer):
    """What can be changed of an execution. Its status and times change by its actions."""

    class Meta(AgentExecutionSerializer.Meta):
        fields = (
            *("name", "agent", "agent_name", "task_run", "squad", "session_id", "correlation_id", "user_name"),
            *("input", "output", "result", "model_provider", "model_name", *USAGE, "cost", *SPAN_OUTCOME),
        )
        read_only_fields = ()

    duration = None  # type: ignore[assignment]
    trace_id = None  # type: ignore[assignment]
    span_id = None  # type: ignore[assignment]
    parent_span_id = None  # type: ignore[assignment]


class ModelCallSerializer(SpanSerializer):
    """One call of a model. Its cost follows from its usage by public prices; what the client says stands beside."""

    around = "execution"
    documents = ("parameters", "input_messages", "output_messages")
    priced: ClassVar = ("provider", "request_model", "response_model", "started_at", *USAGE)

    class Meta:
        model = ModelCall
        fields: tuple[str, ...] = (
            *SPAN_FIELDS,
            "execution",
            "operation",
            "provider",
            "request_model",
            "response_model",
            "model",
            "parameters",
            "input_messages",
            "output_messages",
            "finish_reason",
            *USAGE,
            "cost",
            "pricing",
            "reported_cost",
            "usage_below",
            "time_to_first_token",
            *SPAN_OUTCOME,
        )
        read_only_fields: tuple[str, ...] = ("model", "cost", "pricing", "usage_below")
        extra_kwargs: ClassVar = (
            TOKENS
            | OPTIONAL_NAME
            | {
                "execution": AROUND,
                "reported_cost": {"min_value": 0},
                "time_to_first_token": {"min_value": 0, "max_value": LONGEST},
            }
        )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the values with what follows from them, the price among it."""
        attrs = super().validate(attrs)
        if self.instance is None or attrs.keys() & set(self.priced):
            known = {name: attrs.get(name, getattr(self.instance, name, None)) for name in self.priced}
            when: datetime = known["started_at"] or timezone.now()
            units, attrs["pricing"] = price_of(
                SimpleNamespace(**{name: known[name] for name in USAGE}),
                provider=known["provider"] or "",
                model=known["response_model"] or known["request_model"] or "",
                when=when.timestamp(),
            )
            attrs["cost"] = None if units is None else Decimal(units) / UNITS
        return attrs

    def default_name(self, attrs: dict[str, Any]) -> str:
        """Return operation and model, as OpenTelemetry names such spans."""
        model = attrs.get("request_model") or attrs.get("response_model", "")
        return f"{attrs.get('operation', 'chat')} {model}".strip()


class ModelCallChangeSerializer(ModelCallSerializer):
    """What can be changed of a model call."""

    class Meta(ModelCallSerializer.Meta):
        fields = (
            *("name", *TIMES, "agent_name", "session_id", "correlation_id", "operation", "provider"),
            *("request_model", "response_model", "parameters", "input_messages", "output_messages", "finish_reason"),
            *(*USAGE, "reported_cost", "time_to_first_token", *SPAN_OUTCOME),
        )
        read_only_fields = ()

    trace_id = None  # type: ignore[assignment]
    span_id = None  # type: ignore[assignment]
    parent_span_id = None  # type: ignore[assignment]


class ToolExecutionSerializer(SpanSerializer):
    """One use of a tool."""

    around = "execution"
    documents = ("input", "output")

    class Meta:
        model = ToolExecution
        fields: tuple[str, ...] = (
            *SPAN_FIELDS,
            "execution",
            "user",
            "tool_name",
            "tool_type",
            "call_id",
            "permission",
            "input",
            "output",
            *SPAN_OUTCOME,
        )
        read_only_fields: tuple[str, ...] = ("user",)
        extra_kwargs: ClassVar = OPTIONAL_NAME | {"execution": AROUND}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the values with what follows from them. Who writes a new one is its user."""
        attrs = super().validate(attrs)
        if self.instance is None:
            attrs["user_id"] = self.context["request"].auth.user_id
        return attrs

    def default_name(self, attrs: dict[str, Any]) -> str:
        """Return the tool's name."""
        name: str = attrs["tool_name"]
        return name


class ToolExecutionChangeSerializer(ToolExecutionSerializer):
    """What can be changed of a tool execution."""

    class Meta(ToolExecutionSerializer.Meta):
        fields = (
            *("name", *TIMES, "agent_name", "session_id", "correlation_id"),
            *("tool_type", "call_id", "permission", "input", "output", *SPAN_OUTCOME),
        )
        read_only_fields = ()

    trace_id = None  # type: ignore[assignment]
    span_id = None  # type: ignore[assignment]
    parent_span_id = None  # type: ignore[assignment]


class CompleteExecutionSerializer(StrictSerializer):
    """How an execution ends well."""

    output = serializers.JSONField(required=False, allow_null=True)
    result = serializers.JSONField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what can't be stored."""
        refuse_null(attrs, "output")
        return attrs


class FailExecutionSerializer(StrictSerializer):
    """How an execution ends badly."""

    error_message = serializers.CharField()
    error_type = serializers.CharField(required=False, max_length=200)
