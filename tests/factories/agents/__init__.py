"""Factories of agents' records, one module a subject."""

from tests.factories.agents.evidence import (
    ArtifactFactory,
    FeedbackFactory,
    LearningInsightFactory,
    MetricSnapshotFactory,
    StoredContentFactory,
)
from tests.factories.agents.projects import ModificationFactory, ProjectContextFactory, ProjectFactory
from tests.factories.agents.roster import AgentFactory, SquadFactory, SquadMemberFactory
from tests.factories.agents.round_tables import RoundTableEntryFactory, RoundTableFactory, RoundTableVoteFactory
from tests.factories.agents.templates import TemplateFactory
from tests.factories.agents.traces import SpanStatisticFactory, TraceFactory
from tests.factories.agents.work import AgentMessageFactory, TaskFactory, TaskRunFactory

__all__ = [
    "AgentFactory",
    "AgentMessageFactory",
    "ArtifactFactory",
    "FeedbackFactory",
    "LearningInsightFactory",
    "MetricSnapshotFactory",
    "ModificationFactory",
    "ProjectContextFactory",
    "ProjectFactory",
    "RoundTableEntryFactory",
    "RoundTableFactory",
    "RoundTableVoteFactory",
    "SpanStatisticFactory",
    "SquadFactory",
    "SquadMemberFactory",
    "StoredContentFactory",
    "TaskFactory",
    "TaskRunFactory",
    "TemplateFactory",
    "TraceFactory",
]
