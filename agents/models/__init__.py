"""The records of agents."""

from agents.models.artifacts import Artifact, ArtifactType, StoredContent
from agents.models.feedback import Feedback, InsightStatus, LearningInsight
from agents.models.messages import AgentMessage, MessageType
from agents.models.metrics import MetricSnapshot, MetricType
from agents.models.projects import (
    Modification,
    ModificationStatus,
    Project,
    ProjectContext,
    ProjectStatus,
    RiskLevel,
)
from agents.models.roster import Agent, AgentKind, AgentStatus, Squad, SquadMember, SquadRole, SquadStatus
from agents.models.roundtables import Preference, RoundTable, RoundTableEntry, RoundTableStatus, RoundTableVote
from agents.models.templates import Complexity, Template
from agents.models.work import Priority, RunStatus, Task, TaskRun, TaskStatus

__all__ = [
    "Agent",
    "AgentKind",
    "AgentMessage",
    "AgentStatus",
    "Artifact",
    "ArtifactType",
    "Complexity",
    "Feedback",
    "InsightStatus",
    "LearningInsight",
    "MessageType",
    "MetricSnapshot",
    "MetricType",
    "Modification",
    "ModificationStatus",
    "Preference",
    "Priority",
    "Project",
    "ProjectContext",
    "ProjectStatus",
    "RiskLevel",
    "RoundTable",
    "RoundTableEntry",
    "RoundTableStatus",
    "RoundTableVote",
    "RunStatus",
    "Squad",
    "SquadMember",
    "SquadRole",
    "SquadStatus",
    "StoredContent",
    "Task",
    "TaskRun",
    "TaskStatus",
    "Template",
]
