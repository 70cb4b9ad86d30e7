"""What the members of a squad say to each other while they work."""

from django.db import models
from django.db.models import F, Q

from agents.models.roster import SquadMember
from agents.models.runs import TaskRun
from core.constraints import SameOrganization, given, json_object, one_of
from core.models import OrganizationLog
from core.triggers import Immutable


class MessageType(models.TextChoices):
    """What a message is for."""

    TASK = "task", "Task"
    QUESTION = "question", "Question"
    ANSWER = "answer", "Answer"
    STATUS = "status", "Status"
    HANDOFF = "handoff", "Handoff"
    REVIEW = "review", "Review"
    DECISION = "decision", "Decision"
    ERROR = "error", "Error"


class AgentMessage(OrganizationLog):
    """What one member of a squad says to another, or to all (no recipient), during a run. It stands as it was said."""

    task_run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="messages", db_constraint=False)
    sender = models.ForeignKey(SquadMember, on_delete=models.PROTECT, related_name="sent_messages", db_constraint=False)
    recipient = models.ForeignKey(
        SquadMember,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="received_messages",
        db_constraint=False,
    )
    message_type = models.CharField(max_length=20, choices=MessageType, default=MessageType.STATUS)
    content = models.TextField()
    metadata = models.JSONField(default=dict, blank=True)
    thread = models.UUIDField(null=True, blank=True, help_text="Messages of one conversation share it.")

    class Meta(OrganizationLog.Meta):
        constraints = [
            *OrganizationLog.Meta.constraints,
            SameOrganization("task_run", name="agents_agentmessage_task_run"),
            SameOrganization("sender", name="agents_agentmessage_sender"),
            SameOrganization("recipient", name="agents_agentmessage_recipient"),
            given("content", name="agents_agentmessage_content_given"),
            one_of("message_type", MessageType, name="agents_agentmessage_type"),
            json_object("metadata", name="agents_agentmessage_metadata_object"),
            models.CheckConstraint(
                name="agents_agentmessage_two_parties",
                condition=Q(recipient=None) | ~Q(recipient=F("sender")),
                violation_error_message="“recipient” is somebody else than the sender.",
            ),
        ]
        indexes = [
            *OrganizationLog.Meta.indexes,
            models.Index(fields=["organization", "task_run", "created_at", "id"], name="agents_message_run_newest"),
            models.Index(
                fields=["organization", "thread", "created_at", "id"],
                condition=Q(thread__isnull=False),
                name="agents_message_thread_newest",
            ),
            models.Index(
                fields=["organization", "message_type", "created_at", "id"], name="agents_message_type_newest"
            ),
        ]
        triggers = [
            Immutable(
                *("task_run_id", "sender_id", "recipient_id", "message_type", "content", "metadata", "thread"),
                name="said",
            )
        ]

    def __str__(self) -> str:
        return f"{self.message_type}: {self.content[:60]}"
