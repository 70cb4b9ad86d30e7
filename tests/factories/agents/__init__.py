"""Factories of agents' records, a module a subject."""

from tests.factories.agents.evidence import (
    ArtifactFactory,
    FeedbackFactory,
    LearningInsightFactory,
    MetricSnapshotFactory,
    StoredContentFactory,
)
from tests.factories.agents.work import AgentMessageFactory, TaskFactory, TaskRunFactory

__all__ = [
    "AgentMessageFactory",
    "ArtifactFactory",
    "FeedbackFactory",
    "LearningInsightFactory",
    "MetricSnapshotFactory",
    "StoredContentFactory",
    "TaskFactory",
    "TaskRunFactory",
]
