"""Addresses of agents' records under ``/api/v1/``."""

from django.urls import path

from agents.api.views import (
    artifacts,
    feedback,
    metrics,
    projects,
    roster,
    round_tables,
    statistics,
    templates,
    traces,
    work,
)
from core.api.routers import RecordRouter

router = RecordRouter()
router.register("agents", roster.AgentViewSet)
router.register("squads", roster.SquadViewSet)
router.register("squad-members", roster.SquadMemberViewSet)
router.register("projects", projects.ProjectViewSet)
router.register("project-contexts", projects.ProjectContextViewSet)
router.register("modifications", projects.ModificationViewSet)
router.register("templates", templates.TemplateViewSet)
router.register("tasks", work.TaskViewSet)
router.register("task-runs", work.TaskRunViewSet)
router.register("agent-messages", work.AgentMessageViewSet)
router.register("metrics", metrics.MetricSnapshotViewSet)
router.register("artifacts", artifacts.ArtifactViewSet)
router.register("stored-contents", artifacts.StoredContentViewSet)
router.register("feedback", feedback.FeedbackViewSet)
router.register("learning-insights", feedback.LearningInsightViewSet)
router.register("traces", traces.TraceViewSet)
router.register("statistics", statistics.StatisticsViewSet)
router.register("round-tables", round_tables.RoundTableViewSet)
router.register("round-table-entries", round_tables.RoundTableEntryViewSet)
router.register("round-table-votes", round_tables.RoundTableVoteViewSet)

urlpatterns = [
    *router.urls,
    path("leaderboard/", round_tables.LeaderboardViewSet.as_view({"get": "leaderboard"}), name="leaderboard"),
]
