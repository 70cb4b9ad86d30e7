"""Executions, model calls and tool executions, to read: they come by the API and by telemetry."""

from typing import Any

import orjson
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from agents.admin.figures import Figures
from agents.models import AgentExecution, ModelCall, ToolExecution, Trace
from agents.services import workspans
from agents.services.figures import dollars
from core.admin import RecordAdmin, WholeTextFilter
from core.admin.downloads import beginning


def shown(value: Any) -> str:
    """Return the beginning of a document, indented."""
    if value is None:
        return "-"
    return beginning(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def counted(number: int, word: str) -> str:
    """Return how many there are of what the word names."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


class SpanAdmin(Figures, RecordAdmin):
    """What the three kinds of spans share. They are a log, which nobody writes here."""

    @admin.display(description="Trace")
    def trace(self, span: Any) -> str:
        """Return the links to the trace's executions, and to its waterfall."""
        if span.trace_id is None:
            return "-"
        address = reverse("admin:agents_agentexecution_changelist", current_app=self.admin_site.name)
        executions = format_html('<a href="{}?trace_id__exact={}">{}</a>', address, span.trace_id, span.trace_id)
        found = Trace.objects.filter(organization_id=span.organization_id, trace_id=span.trace_id)
        key = found.order_by().values_list("pk", flat=True).first()
        if key is None:
            return executions
        waterfall = reverse("admin:agents_trace_waterfall", args=(key,), current_app=self.admin_site.name)
        return format_html('{} · <a href="{}">Waterfall</a>', executions, waterfall)

    @admin.display(description="Input")
    def input_shown(self, span: Any) -> str:
        """Return what it was given."""
        return shown(span.input)

    @admin.display(description="Output")
    def output_shown(self, span: Any) -> str:
        """Return what came of it."""
        return shown(span.output)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: spans come by the API."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a span stands as it was reported."""
        return False


TIMES: tuple[str, Any] = ("Times", {"fields": ("started_at", "completed_at", "duration")})
OUTCOME: tuple[str, Any] = ("Outcome", {"fields": ("error_type", "error_message", "attributes")})
TRACING: Any = {"fields": ("trace", "span_id", "parent_span_id", "session_id", "correlation_id")}
MOST_SUMMED = 50_000  # spans of a trace: to add up more would hold the page up
USAGE = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


@admin.register(AgentExecution)
class AgentExecutionAdmin(SpanAdmin):
    """Executions."""

    description = "Agents at work: what they were given, what came of it, and what it took."
    list_display = (
        *("name", "organization", "agent_name", "agent_type", "status", "took", "input_tokens", "output_tokens"),
        *("costs", "created_at"),
    )
    list_filter = (
        *("organization", "status", "agent_type", ("agent_name", WholeTextFilter), "agent", "squad", "task_run"),
        *(("session_id", WholeTextFilter), ("user_name", WholeTextFilter), ("trace_id", WholeTextFilter)),
        *("parent_execution", "started_at"),
        "created_at",
    )
    search_fields = ("=execution_id",)
    search_help_text = "The whole execution id, or the id of the record."
    fieldsets = (
        (None, {"fields": ("name", "execution_id", "status", "agent_type", "agent", "agent_name")}),
        ("Of what", {"fields": ("parent_execution", "task_run", "squad", "user", "user_name")}),
        ("Input and output", {"fields": ("input_shown", "output_shown", "result")}),
        ("Usage", {"fields": ("in_all", "model_provider", "model_name", *USAGE, "cost", "usage_below")}),
        TIMES,
        OUTCOME,
        ("Tracing", TRACING),
    )
    readonly_fields = ("trace", "input_shown", "output_shown", "usage_below", "in_all")
    related_lists = (
        ("agents.AgentExecution", "parent_execution__id__exact"),
        ("agents.ModelCall", "execution__id__exact"),
        ("agents.ToolExecution", "execution__id__exact"),
        ("agents.Feedback", "execution__id__exact"),
    )

    @admin.display(description="With what is inside")
    def in_all(self, execution: AgentExecution) -> str:
        """Return what it and all inside it consumed, each call once: what it reports itself may be only its own."""
        around = Trace.objects.filter(organization_id=execution.organization_id, trace_id=execution.trace_id)
        spans = around.order_by().values_list("spans", flat=True).first()
        if spans is not None and spans > MOST_SUMMED:
            return f"Not added up here, for its trace has {spans:,} spans. The trace's own page has the sums of all."
        used = workspans.usage_of_execution(organization_id=execution.organization_id, record_id=execution.pk)
        parts = [
            f"{used['input_tokens']:,} tokens in ({used['cached_tokens']:,} of them cached)",
            f"{used['output_tokens']:,} out ({used['reasoning_tokens']:,} of them reasoning)",
            dollars(used["cost"])
            + (f" and {counted(used['unpriced'], 'span')} of unknown cost" if used["unpriced"] else ""),
            counted(used["model_calls"], "model call"),
            counted(used["tool_executions"], "tool execution"),
            f"{used['failures']:,} failed",
        ]
        return ", ".join(parts)


@admin.register(ModelCall)
class ModelCallAdmin(SpanAdmin):
    """Model calls."""

    description = "Calls of models, with their usage and cost."
    list_display = (
        *("name", "organization", "model", "provider", "status", "took", "input_tokens", "output_tokens", "costs"),
        *("execution", "created_at"),
    )
    list_filter = (
        *("organization", "status", ("model", WholeTextFilter), ("provider", WholeTextFilter), "execution"),
        *(("trace_id", WholeTextFilter), "started_at", "created_at"),
    )
    fieldsets = (
        (None, {"fields": ("name", "status", "operation", "execution", "agent_name")}),
        ("Model", {"fields": ("provider", "request_model", "response_model", "parameters_shown", "finish_reason")}),
        ("Messages", {"fields": ("messages_in", "messages_out")}),
        ("Usage", {"fields": (*USAGE, "cost", "pricing", "reported_cost", "usage_below")}),
        ("Times", {"fields": ("started_at", "completed_at", "duration", "time_to_first_token")}),
        OUTCOME,
        ("Tracing", TRACING),
    )
    readonly_fields = ("trace", "parameters_shown", "messages_in", "messages_out", "pricing", "usage_below")

    @admin.display(description="Parameters")
    def parameters_shown(self, call: ModelCall) -> str:
        """Return how the model was asked."""
        return shown(call.parameters)

    @admin.display(description="In")
    def messages_in(self, call: ModelCall) -> str:
        """Return what the model was told."""
        return shown(call.input_messages)

    @admin.display(description="Out")
    def messages_out(self, call: ModelCall) -> str:
        """Return what the model said."""
        return shown(call.output_messages)


@admin.register(ToolExecution)
class ToolExecutionAdmin(SpanAdmin):
    """Tool executions."""

    description = "Uses of tools: what they were asked, and what they answered."
    list_display = (*("name", "organization", "tool_name", "status", "permission", "took", "execution", "created_at"),)
    list_filter = (
        *("organization", "status", ("tool_name", WholeTextFilter), "execution", ("trace_id", WholeTextFilter)),
        *("started_at", "created_at"),
    )
    fieldsets = (
        (None, {"fields": ("name", "status", "tool_name", "tool_type", "call_id", "permission")}),
        ("Of what", {"fields": ("execution", "agent_name", "user")}),
        ("Input and output", {"fields": ("input_shown", "output_shown")}),
        TIMES,
        OUTCOME,
        ("Tracing", TRACING),
    )
    readonly_fields = ("trace", "input_shown", "output_shown")
