"""What agents did: executions, and the model calls and tool executions inside them."""

from django.db import models
from django.db.models import Case, F, Q, When
from django.db.models.functions import Cast

from agents.models.fields import JSONDocumentField
from agents.models.roster import Agent, Squad
from agents.models.runs import TaskRun
from agents.models.spans import Span, SpanStatus, Usage, kept, span_constraints, span_indexes
from core.constraints import SameOrganization, amount, given, one_of, seconds
from core.ids import DatabaseUUID7
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationLog, User
from core.triggers import Immutable


class AgentType(models.TextChoices):
    """What an execution is, in the words of OpenTelemetry's and OpenInference's conventions."""

    AGENT = "agent", "Agent"
    WORKFLOW = "workflow", "Workflow"
    CHAIN = "chain", "Chain"
    RETRIEVER = "retriever", "Retriever"
    RERANKER = "reranker", "Reranker"
    GUARDRAIL = "guardrail", "Guardrail"
    EVALUATOR = "evaluator", "Evaluator"
    STEP = "step", "Step"


class Permission(models.TextChoices):
    """Whether a tool was allowed to run."""

    ALLOWED = "allowed", "Allowed"
    DENIED = "denied", "Denied"
    NEEDS_APPROVAL = "needs_approval", "Needs approval"


class Pricing(models.TextChoices):
    """Where a model call's computed cost comes from, or why there is none."""

    COMPUTED = "computed", "Computed"
    UNKNOWN_MODEL = "unknown_model", "Unknown model"
    NO_USAGE = "no_usage", "No usage reported"


OPEN = {SpanStatus.PENDING.value, SpanStatus.RUNNING.value}
START = Transition("start", {"pending"}, "running", stamp="started_at")
ENDINGS = (
    Transition("fail", OPEN, "failed", stamp="completed_at"),
    Transition("cancel", OPEN, "cancelled", stamp="completed_at"),
    Transition("time_out", OPEN, "timeout", stamp="completed_at"),
)
# Nobody has to tell that a call goes on before telling what came of it.
CALL = Lifecycle(START, Transition("complete", OPEN, "completed", stamp="completed_at"), *ENDINGS)


class AgentExecution(Usage, Span):
    """An agent at work, or a part of its work that is neither a model call nor a tool."""

    lifecycle = Lifecycle(START, Transition("complete", {"running"}, "completed", stamp="completed_at"), *ENDINGS)

    execution_id = models.CharField(
        max_length=200, db_default=Cast(DatabaseUUID7(), models.CharField()), help_text="The client's own name for it."
    )
    agent = models.ForeignKey(
        Agent,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="executions",
        db_constraint=False,
        db_index=False,
    )
    agent_type = models.CharField(max_length=20, choices=AgentType, default=AgentType.AGENT)
    parent_execution = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="children",
        db_constraint=False,
        db_index=False,
    )
    task_run = models.ForeignKey(
        TaskRun,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="executions",
        db_constraint=False,
        db_index=False,
    )
    squad = models.ForeignKey(
        Squad,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="executions",
        db_constraint=False,
        db_index=False,
    )
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False)
    user_name = models.CharField(max_length=200, blank=True, help_text="Whom the agent served, as the client says.")
    input = JSONDocumentField(null=True, blank=True)
    output = JSONDocumentField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    model_provider = models.CharField(max_length=200, blank=True)
    model_name = models.CharField(max_length=200, blank=True)

    class Meta(OrganizationLog.Meta):
        constraints = [
            *OrganizationLog.Meta.constraints,
            *span_constraints("execution", "parent_execution"),
            SameOrganization("agent", name="agents_execution_agent"),
            SameOrganization("task_run", name="agents_execution_task_run"),
            SameOrganization("squad", name="agents_execution_squad"),
            models.UniqueConstraint(
                fields=["organization", "execution_id"],
                name="agents_execution_id_unique",
                violation_error_message="“execution_id” is another execution's.",
            ),
            given("execution_id", name="agents_execution_id_given"),
            one_of("agent_type", AgentType, name="agents_execution_type"),
            models.CheckConstraint(
                name="agents_execution_not_its_own_parent",
                condition=Q(parent_execution=None) | ~Q(parent_execution=F("id")),
                violation_error_message="“parent_execution” can't be the execution itself.",
            ),
            amount("cost", name="agents_execution_cost"),
        ]
        indexes = [
            *span_indexes("execution", "parent_execution"),
            models.Index(
                fields=["organization", "agent_name", "created_at", "id"], name="agents_execution_name_newest"
            ),
            models.Index(
                fields=["organization", "agent_type", "created_at", "id"], name="agents_execution_type_newest"
            ),
            models.Index(fields=["agent"], condition=Q(agent__isnull=False), name="agents_execution_agent"),
            models.Index(
                fields=["task_run", "created_at", "id"],
                condition=Q(task_run__isnull=False),
                name="agents_execution_run",
            ),
            models.Index(
                fields=["squad", "created_at", "id"], condition=Q(squad__isnull=False), name="agents_execution_squad"
            ),
            models.Index(fields=["user"], condition=Q(user__isnull=False), name="agents_execution_user"),
            models.Index(
                fields=["organization", "session_id", "created_at", "id"],
                condition=~Q(session_id=""),
                name="agents_execution_session",
            ),
            models.Index(
                fields=["organization", "correlation_id", "created_at", "id"],
                condition=~Q(correlation_id=""),
                name="agents_execution_correlation",
            ),
            models.Index(
                fields=["organization", "user_name", "created_at", "id"],
                condition=~Q(user_name=""),
                name="agents_execution_user_name",
            ),
        ]
        triggers = [*kept("agents_keep_executions"), Immutable("trace_id", "span_id", "execution_id", name="identity")]


class ModelCall(Usage, Span):
    """One call of a model. ``cost`` is computed from public prices; what the client reported stands beside it."""

    lifecycle = CALL

    execution = models.ForeignKey(
        AgentExecution,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="model_calls",
        db_constraint=False,
        db_index=False,
    )
    operation = models.CharField(max_length=50, default="chat")
    provider = models.CharField(max_length=200, blank=True)
    request_model = models.CharField(max_length=200, blank=True)
    response_model = models.CharField(max_length=200, blank=True)
    model = models.GeneratedField(
        expression=Case(When(response_model="", then=F("request_model")), default=F("response_model")),
        output_field=models.CharField(max_length=200),
        db_persist=True,
        help_text="The model that answered, or else the one that was asked.",
    )
    parameters = JSONDocumentField(null=True, blank=True)
    input_messages = JSONDocumentField(null=True, blank=True)
    output_messages = JSONDocumentField(null=True, blank=True)
    finish_reason = models.CharField(max_length=100, blank=True)
    reported_cost = models.DecimalField(
        max_digits=20, decimal_places=10, null=True, blank=True, help_text="US dollars, as the client says."
    )
    pricing = models.CharField(max_length=20, choices=Pricing, default=Pricing.NO_USAGE, editable=False)
    time_to_first_token = models.FloatField(null=True, blank=True, help_text="Seconds.")

    class Meta(OrganizationLog.Meta):
        constraints = [
            *span_constraints("modelcall", "execution"),
            given("operation", name="agents_modelcall_operation_given"),
            one_of("pricing", Pricing, name="agents_modelcall_pricing"),
            models.CheckConstraint(
                name="agents_modelcall_priced",
                condition=Q(pricing=Pricing.COMPUTED, cost__isnull=False)
                | (~Q(pricing=Pricing.COMPUTED) & Q(cost=None)),
                violation_error_message="“cost” stands where it was computed, and only there.",
            ),
            amount("cost", name="agents_modelcall_cost"),
            amount("reported_cost", name="agents_modelcall_reported_cost"),
            seconds("time_to_first_token", name="agents_modelcall_first_token"),
        ]
        indexes = [
            *span_indexes("modelcall", "execution"),
            models.Index(fields=["organization", "model", "created_at", "id"], name="agents_modelcall_model_newest"),
            models.Index(fields=["organization", "provider", "created_at", "id"], name="agents_modelcall_from_newest"),
        ]
        triggers = [*kept("agents_keep_modelcalls"), Immutable("trace_id", "span_id", name="identity")]


class ToolExecution(Span):
    """One use of a tool."""

    lifecycle = CALL

    execution = models.ForeignKey(
        AgentExecution,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="tool_executions",
        db_constraint=False,
        db_index=False,
    )
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False)
    tool_name = models.CharField(max_length=200)
    tool_type = models.CharField(max_length=50, blank=True)
    call_id = models.CharField(max_length=200, blank=True)
    input = JSONDocumentField(null=True, blank=True)
    output = JSONDocumentField(null=True, blank=True)
    permission = models.CharField(max_length=20, choices=Permission, default=Permission.ALLOWED)

    class Meta(OrganizationLog.Meta):
        constraints = [
            *span_constraints("tool", "execution"),
            given("tool_name", name="agents_tool_tool_given"),
            one_of("permission", Permission, name="agents_tool_permission"),
        ]
        indexes = [
            *span_indexes("tool", "execution"),
            models.Index(fields=["organization", "tool_name", "created_at", "id"], name="agents_tool_tool_newest"),
            models.Index(fields=["user"], condition=Q(user__isnull=False), name="agents_tool_user"),
        ]
        triggers = [*kept("agents_keep_toolexecutions"), Immutable("trace_id", "span_id", name="identity")]
