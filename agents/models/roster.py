"""The roster: agents, and the squads they work in."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from core.constraints import SameOrganization, given, json_object, one_of
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord, SoftDeletion, User
from core.models.base import SoftDeletionQuerySet
from core.triggers import Immutable


class AgentKind(models.TextChoices):
    """What an agent is."""

    LLM = "llm", "Language model"
    BROWSER = "browser", "Browser"
    TOOL = "tool", "Tool"
    HUMAN = "human", "Human"


class AgentStatus(models.TextChoices):
    """Whether an agent is at work."""

    CREATED = "created", "Created"
    STARTING = "starting", "Starting"
    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"
    ERROR = "error", "Error"


class Agent(SoftDeletion, OrganizationRecord):
    """Somebody or something that does work. Its name is free again once it is deleted."""

    lifecycle = Lifecycle(
        Transition("start", {"created", "stopped", "error"}, "starting"),
        Transition("run", {"starting"}, "running"),
        Transition("stop", {"starting", "running", "error"}, "stopped"),
        Transition("fail", {"starting", "running"}, "error"),
    )
    audit_ignore = ("total_actions", "total_errors", "last_seen_at")

    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=AgentKind, default=AgentKind.LLM)
    status = models.CharField(max_length=20, choices=AgentStatus, default=AgentStatus.CREATED, editable=False)
    model_provider = models.CharField(max_length=100, blank=True)
    model_name = models.CharField(max_length=200, blank=True)
    system_prompt = models.TextField(blank=True)
    tools = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    config = models.JSONField(default=dict, blank=True)
    channel = models.CharField(max_length=50, blank=True, help_text="Browser agents only: chrome, msedge, …")
    headless = models.BooleanField(null=True, blank=True, help_text="Browser agents only.")
    total_actions = models.PositiveBigIntegerField(default=0, editable=False)
    total_errors = models.PositiveBigIntegerField(default=0, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )

    objects: ClassVar = SoftDeletionQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            models.UniqueConstraint(
                fields=["organization", "name"],
                condition=Q(deleted_at=None),
                name="agents_agent_name_unique",
                violation_error_message="“name” belongs to another agent already.",
            ),
            given("name", name="agents_agent_name_given"),
            one_of("kind", AgentKind, name="agents_agent_kind"),
            one_of("status", AgentStatus, name="agents_agent_status"),
            json_object("config", name="agents_agent_config_object"),
            models.CheckConstraint(
                name="agents_agent_browser_only",
                condition=Q(kind=AgentKind.BROWSER) | Q(channel="", headless=None),
                violation_error_message="“channel” and “headless” are for browser agents.",
            ),
            models.CheckConstraint(
                name="agents_agent_errors_are_actions",
                condition=Q(total_errors__lte=models.F("total_actions")),
                violation_error_message="“total_errors” can't exceed “total_actions”.",
            ),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="agents_agent_status_newest"),
            models.Index(fields=["organization", "kind", "created_at", "id"], name="agents_agent_kind_newest"),
            GinIndex(fields=["name"], opclasses=["gin_trgm_ops"], name="agents_agent_name_trigram"),
        ]

    def __str__(self) -> str:
        return self.name


class SquadStatus(models.TextChoices):
    """Whether a squad takes work."""

    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    ARCHIVED = "archived", "Archived"


class Squad(OrganizationRecord):
    """Agents that work together."""

    lifecycle = Lifecycle(
        Transition("pause", {"active"}, "paused"),
        Transition("resume", {"paused"}, "active"),
        Transition("archive", {"active", "paused"}, "archived"),
    )

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    owner = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    status = models.CharField(max_length=20, choices=SquadStatus, default=SquadStatus.ACTIVE, editable=False)
    settings = models.JSONField(default=dict, blank=True)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            models.UniqueConstraint(
                fields=["organization", "name"],
                name="agents_squad_name_unique",
                violation_error_message="“name” belongs to another squad already.",
            ),
            given("name", name="agents_squad_name_given"),
            one_of("status", SquadStatus, name="agents_squad_status"),
            json_object("settings", name="agents_squad_settings_object"),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="agents_squad_status_newest"),
        ]

    def __str__(self) -> str:
        return self.name


class SquadRole(models.TextChoices):
    """What a member does in the squad."""

    PROJECT_MANAGER = "project_manager", "Project manager"
    ARCHITECT = "architect", "Architect"
    DEVELOPER = "developer", "Developer"
    TESTER = "tester", "Tester"
    DESIGNER = "designer", "Designer"
    REVIEWER = "reviewer", "Reviewer"
    ANALYST = "analyst", "Analyst"
    OPERATOR = "operator", "Operator"


class SquadMember(OrganizationRecord):
    """An agent's part in a squad; what is said of prompt and model here comes before the agent's own.

    It goes with the agent when that is purged, unless messages were sent or received in this part.
    """

    squad = models.ForeignKey(Squad, on_delete=models.CASCADE, related_name="members", db_constraint=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="memberships", db_constraint=False)
    role = models.CharField(max_length=30, choices=SquadRole, default=SquadRole.DEVELOPER)
    system_prompt = models.TextField(blank=True)
    model_provider = models.CharField(max_length=100, blank=True)
    model_name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            SameOrganization("squad", name="agents_squadmember_squad"),
            SameOrganization("agent", name="agents_squadmember_agent"),
            models.UniqueConstraint(
                fields=["squad", "agent", "role"],
                name="agents_squadmember_part",
                violation_error_message="“role” is this agent's in the squad already.",
            ),
            one_of("role", SquadRole, name="agents_squadmember_role"),
        ]
        # Messages tell who spoke by the member: it never becomes another agent's.
        triggers = [Immutable("squad_id", "agent_id", name="part")]

    def __str__(self) -> str:
        return f"{self.agent} ({self.role})"
