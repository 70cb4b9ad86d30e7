"""Addresses of agents' records under ``/api/v1/``."""

from agents.api.views import projects, roster, templates
from core.api.routers import RecordRouter

router = RecordRouter()
router.register("agents", roster.AgentViewSet)
router.register("squads", roster.SquadViewSet)
router.register("squad-members", roster.SquadMemberViewSet)
router.register("projects", projects.ProjectViewSet)
router.register("project-contexts", projects.ProjectContextViewSet)
router.register("modifications", projects.ModificationViewSet)
router.register("templates", templates.TemplateViewSet)
