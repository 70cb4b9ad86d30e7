"""The records of agents."""

from agents.models.artifacts import Artifact, ArtifactType, StoredContent
from agents.models.executions import AgentExecution, AgentType, ModelCall, Permission, Pricing, ToolExecution
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
from agents.models.roundtables import RoundTable, RoundTableEntry, RoundTableStatus
from agents.models.runs import RunStatus, TaskRun
from agents.models.spans import SpanStatus
from agents.models.tasks import Priority, Task, TaskStatus
from agents.models.templates import Complexity, Template
from agents.models.traces import SpanKind, SpanStatistic, Trace, Width
from agents.models.votes import Preference, RoundTableVote

__all__ = [
    "Agent",
    "AgentExecution",
    "AgentKind",
    "AgentMessage",
    "AgentStatus",
    "AgentType",
    "Artifact",
    "ArtifactType",
    "Complexity",
    "Feedback",
    "InsightStatus",
    "LearningInsight",
    "MessageType",
    "MetricSnapshot",
    "MetricType",
    "ModelCall",
    "Modification",
    "ModificationStatus",
    "Permission",
    "Preference",
    "Pricing",
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
    "SpanKind",
    "SpanStatistic",
    "SpanStatus",
    "Squad",
    "SquadMember",
    "SquadRole",
    "SquadStatus",
    "StoredContent",
    "Task",
    "TaskRun",
    "TaskStatus",
    "Template",
    "ToolExecution",
    "Trace",
    "Width",
]
