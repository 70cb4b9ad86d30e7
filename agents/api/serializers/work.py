"""Serializers of tasks, runs and messages, and of what their actions take."""

from typing import Any

from rest_framework import serializers

from agents.models import Agent, AgentMessage, Squad, Task, TaskRun
from agents.services.claims import DEFAULT_LEASE_SECONDS, MAX_LEASE_SECONDS
from core.api.serializers import RECORD_FIELDS, OrganizationRelatedField, RecordSerializer, StrictSerializer


class TaskSerializer(RecordSerializer):
    """Something to do. Its status, counters, result and times follow its runs."""

    success_rate = serializers.DecimalField(
        max_digits=5,
        decimal_places=4,
        read_only=True,
        allow_null=True,
        help_text="Completed runs over finished runs, 0 to 1; null before any is finished.",
    )

    class Meta:
        model = Task
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "project",
            "squad",
            "assigned_agent",
            "name",
            "description",
            "task_type",
            "status",
            "priority",
            "config",
            "payload",
            "result",
            "max_rounds",
            "memory_size",
            "total_runs",
            "successful_runs",
            "failed_runs",
            "success_rate",
            "error_message",
            "started_at",
            "completed_at",
            "due_at",
            "external_id",
            "claimed_by",
            "lease_expires_at",
        )
        read_only_fields: tuple[str, ...] = (
            "status",
            "result",
            "total_runs",
            "successful_runs",
            "failed_runs",
            "error_message",
            "started_at",
            "completed_at",
            "claimed_by",
            "lease_expires_at",
        )


class LeasedTaskSerializer(TaskSerializer):
    """A task that was claimed, with the token of its lease, which only its holder is told."""

    class Meta(TaskSerializer.Meta):
        fields = (*TaskSerializer.Meta.fields, "lease_token")
        read_only_fields = (*TaskSerializer.Meta.read_only_fields, "lease_token")


class TaskRunSerializer(RecordSerializer):
    """One attempt at a task. A new one is queued; the task's action “start” starts it."""

    duration = serializers.FloatField(read_only=True, allow_null=True, help_text="Seconds from start to end.")

    class Meta:
        model = TaskRun
        fields = (
            *RECORD_FIELDS,
            "task",
            "run_number",
            "status",
            "plan",
            "results",
            "started_at",
            "completed_at",
            "duration",
            "error_message",
            "error_details",
        )
        read_only_fields = (
            "run_number",
            "status",
            "results",
            "started_at",
            "completed_at",
            "error_message",
            "error_details",
        )


class TaskRunPlanSerializer(RecordSerializer):
    """What can be changed of a run: its plan."""

    class Meta:
        model = TaskRun
        fields = ("plan",)


class AgentMessageSerializer(RecordSerializer):
    """What one member of a squad says to another, or to all (without a recipient), during a run."""

    class Meta:
        model = AgentMessage
        fields = (
            *RECORD_FIELDS,
            "task_run",
            "sender",
            "recipient",
            "message_type",
            "content",
            "metadata",
            "thread",
        )


class HolderSerializer(StrictSerializer):
    """What every action takes that the holder of a task's lease has for themselves."""

    lease_token = serializers.UUIDField(
        required=False, help_text="The token of the task's lease; needed while somebody holds one."
    )


class StartTaskSerializer(HolderSerializer):
    """How a task is started."""

    plan = serializers.JSONField(required=False, help_text="What the run is going to do.")


class CompleteTaskSerializer(HolderSerializer):
    """How a task ends well."""

    result = serializers.JSONField(required=False, allow_null=True, default=None)


class CompleteRunSerializer(HolderSerializer):
    """How a run ends well."""

    results = serializers.JSONField(required=False, allow_null=True, default=None)


class FailSerializer(HolderSerializer):
    """How a task or a run ends badly."""

    error_message = serializers.CharField()
    error_details = serializers.JSONField(required=False, allow_null=True, default=None)


class CancelTaskSerializer(StrictSerializer):
    """Why a task is called off."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class LeaseSecondsField(serializers.IntegerField):
    """How long a lease lasts."""

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "min_value": 1,
            "max_value": MAX_LEASE_SECONDS,
            "default": DEFAULT_LEASE_SECONDS,
            "help_text": "How long the lease lasts unless it is renewed.",
        }
        super().__init__(**defaults | options)


class ClaimSerializer(StrictSerializer):
    """Who claims work, of which kind, and for how long."""

    agent = OrganizationRelatedField(
        queryset=Agent.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="Who claims: nobody's tasks and its own are handed out; without it only nobody's.",
    )
    squad = OrganizationRelatedField(
        queryset=Squad.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="Only this squad's tasks.",
    )
    task_type = serializers.CharField(
        required=False, allow_null=True, default=None, max_length=100, help_text="Only tasks of this type."
    )
    lease_seconds = LeaseSecondsField()


class RenewSerializer(StrictSerializer):
    """Which lease is renewed, and for how long."""

    lease_token = serializers.UUIDField()
    lease_seconds = LeaseSecondsField()


class ReleaseSerializer(StrictSerializer):
    """Which lease is given back."""

    lease_token = serializers.UUIDField()
