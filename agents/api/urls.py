"""Addresses of agents' records under ``/api/v1/``."""

from agents.api.views import work
from core.api.routers import RecordRouter

router = RecordRouter()
router.register("tasks", work.TaskViewSet)
router.register("task-runs", work.TaskRunViewSet)
router.register("agent-messages", work.AgentMessageViewSet)
