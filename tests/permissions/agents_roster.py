"""Who gets what of agents' roster, projects and templates."""

from collections.abc import Callable
from typing import Any

from agents.models import Agent, Modification, Project, Squad
from agents.services import modifications
from core.models import Organization
from tests.factories.agents import (
    AgentFactory,
    ModificationFactory,
    ProjectContextFactory,
    ProjectFactory,
    SquadFactory,
)
from tests.factories.core import UserFactory

# The stranger, an owner elsewhere, makes records there; what refers to ours is refused.
TABLE = """
                                                   anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/agents/                                   401   200   200      200    200      403      200 200    403
POST   /api/v1/agents/                                   401   201   201      201    403      403      201 201    403
PATCH  /api/v1/agents/                                   401   200   200      200    403      403      404 200    403
DELETE /api/v1/agents/                                   401   204   204      204    403      403      404 204    403
GET    /api/v1/agents/<uuid:pk>/                         401   200   200      200    200      403      404 200    403
PATCH  /api/v1/agents/<uuid:pk>/                         401   200   200      200    403      403      404 200    403
DELETE /api/v1/agents/<uuid:pk>/                         401   204   204      204    403      403      404 204    403
POST   /api/v1/agents/<uuid:pk>/start/                   401   200   200      200    403      403      404 200    403
POST   /api/v1/agents/<uuid:pk>/run/                     401   200   200      200    403      403      404 200    403
POST   /api/v1/agents/<uuid:pk>/stop/                    401   200   200      200    403      403      404 200    403
POST   /api/v1/agents/<uuid:pk>/fail/                    401   200   200      200    403      403      404 200    403
POST   /api/v1/agents/<uuid:pk>/heartbeat/               401   200   200      200    403      403      404 200    403
GET    /api/v1/squads/                                   401   200   200      200    200      403      200 200    403
POST   /api/v1/squads/                                   401   201   201      201    403      403      201 201    403
PATCH  /api/v1/squads/                                   401   200   200      200    403      403      404 200    403
DELETE /api/v1/squads/                                   401   204   204      204    403      403      404 204    403
GET    /api/v1/squads/<uuid:pk>/                         401   200   200      200    200      403      404 200    403
PATCH  /api/v1/squads/<uuid:pk>/                         401   200   200      200    403      403      404 200    403
DELETE /api/v1/squads/<uuid:pk>/                         401   204   204      204    403      403      404 204    403
POST   /api/v1/squads/<uuid:pk>/pause/                   401   200   200      200    403      403      404 200    403
POST   /api/v1/squads/<uuid:pk>/resume/                  401   200   200      200    403      403      404 200    403
POST   /api/v1/squads/<uuid:pk>/archive/                 401   200   200      200    403      403      404 200    403
GET    /api/v1/squad-members/                            401   200   200      200    200      403      200 200    403
POST   /api/v1/squad-members/                            401   201   201      201    403      403      400 201    403
PATCH  /api/v1/squad-members/                            401   200   200      200    403      403      404 200    403
DELETE /api/v1/squad-members/                            401   204   204      204    403      403      404 204    403
GET    /api/v1/squad-members/<uuid:pk>/                  401   200   200      200    200      403      404 200    403
PATCH  /api/v1/squad-members/<uuid:pk>/                  401   200   200      200    403      403      404 200    403
DELETE /api/v1/squad-members/<uuid:pk>/                  401   204   204      204    403      403      404 204    403
GET    /api/v1/projects/                                 401   200   200      200    200      403      200 200    403
POST   /api/v1/projects/                                 401   201   201      201    403      403      201 201    403
PATCH  /api/v1/projects/                                 401   200   200      200    403      403      404 200    403
DELETE /api/v1/projects/                                 401   204   204      204    403      403      404 204    403
GET    /api/v1/projects/<uuid:pk>/                       401   200   200      200    200      403      404 200    403
PATCH  /api/v1/projects/<uuid:pk>/                       401   200   200      200    403      403      404 200    403
DELETE /api/v1/projects/<uuid:pk>/                       401   204   204      204    403      403      404 204    403
POST   /api/v1/projects/<uuid:pk>/begin/                 401   200   200      200    403      403      404 200    403
POST   /api/v1/projects/<uuid:pk>/hold/                  401   200   200      200    403      403      404 200    403
POST   /api/v1/projects/<uuid:pk>/resume/                401   200   200      200    403      403      404 200    403
POST   /api/v1/projects/<uuid:pk>/complete/              401   200   200      200    403      403      404 200    403
POST   /api/v1/projects/<uuid:pk>/archive/               401   200   200      200    403      403      404 200    403
GET    /api/v1/projects/<uuid:pk>/compare/               401   400   400      400    400      403      404 400    403
GET    /api/v1/project-contexts/                         401   200   200      200    200      403      200 200    403
POST   /api/v1/project-contexts/                         401   201   201      201    403      403      400 201    403
GET    /api/v1/project-contexts/<uuid:pk>/               401   200   200      200    200      403      404 200    403
GET    /api/v1/modifications/                            401   200   200      200    200      403      200 200    403
POST   /api/v1/modifications/                            401   201   201      201    403      403      400 201    403
PATCH  /api/v1/modifications/                            401   403   403      403    403      403      404 403    403
GET    /api/v1/modifications/<uuid:pk>/                  401   200   200      200    200      403      404 200    403
PATCH  /api/v1/modifications/<uuid:pk>/                  401   403   403      403    403      403      404 403    403
POST   /api/v1/modifications/<uuid:pk>/approve/          401   200   200      200    403      403      404 200    403
POST   /api/v1/modifications/<uuid:pk>/reject/           401   200   200      200    403      403      404 200    403
POST   /api/v1/modifications/<uuid:pk>/apply/            401   200   200      200    403      403      404 200    403
POST   /api/v1/modifications/<uuid:pk>/fail/             401   200   200      200    403      403      404 200    403
GET    /api/v1/templates/                                401   200   200      200    200      403      200 200    403
POST   /api/v1/templates/                                401   201   201      201    403      403      201 201    403
PATCH  /api/v1/templates/                                401   200   200      200    403      403      404 200    403
DELETE /api/v1/templates/                                401   204   204      204    403      403      404 204    403
GET    /api/v1/templates/<uuid:pk>/                      401   200   200      200    200      403      404 200    403
PATCH  /api/v1/templates/<uuid:pk>/                      401   200   200      200    403      403      404 200    403
DELETE /api/v1/templates/<uuid:pk>/                      401   204   204      204    403      403      404 204    403
POST   /api/v1/templates/<uuid:pk>/render/               401   200   200      200    403      403      404 200    403
"""


def a_membership(organization: Organization) -> dict[str, Any]:
    """The body that puts one of our agents into one of our squads."""
    squad, agent = SquadFactory(organization=organization), AgentFactory(organization=organization)
    return {"squad": str(squad.pk), "agent": str(agent.pk)}


def a_context(organization: Organization) -> dict[str, Any]:
    """The body that appends a context to one of our projects."""
    return {"project": str(ProjectFactory(organization=organization).pk)}


def a_request(organization: Organization) -> dict[str, Any]:
    """The body that asks for a modification of one of our contexts."""
    context = ProjectContextFactory(organization=organization)
    return {"context": str(context.pk), "title": "Cache", "request": "Cache the list."}


def agent_in(status: str) -> Callable[[Organization], Agent]:
    """Return what makes an agent with this status."""
    return lambda organization: AgentFactory(organization=organization, status=status)


def squad_in(status: str) -> Callable[[Organization], Squad]:
    """Return what makes a squad with this status."""
    return lambda organization: SquadFactory(organization=organization, status=status)


def project_in(status: str) -> Callable[[Organization], Project]:
    """Return what makes a project with this status."""
    return lambda organization: ProjectFactory(organization=organization, status=status)


def an_approved_one(organization: Organization) -> Modification:
    """A modification that was approved."""
    reviewer = UserFactory(memberships__organization=organization)
    pending = ModificationFactory(organization=organization)
    return modifications.approve(modification=pending, reviewer=reviewer, comment="Go ahead.")


REVIEW = {"comment": "I have read it."}
BODIES = {
    "POST /api/v1/agents/": {"name": "Ada"},
    "PATCH /api/v1/agents/<uuid:pk>/": {"name": "Ada"},
    "POST /api/v1/agents/<uuid:pk>/heartbeat/": {"actions": 1},
    "POST /api/v1/squads/": {"name": "Core"},
    "PATCH /api/v1/squads/<uuid:pk>/": {"name": "Core"},
    "POST /api/v1/squad-members/": a_membership,
    "PATCH /api/v1/squad-members/<uuid:pk>/": {"role": "tester"},
    "POST /api/v1/projects/": {"name": "Shop"},
    "PATCH /api/v1/projects/<uuid:pk>/": {"name": "Shop"},
    "POST /api/v1/project-contexts/": a_context,
    "POST /api/v1/modifications/": a_request,
    "PATCH /api/v1/modifications/<uuid:pk>/": {"title": "Cache"},
    "POST /api/v1/modifications/<uuid:pk>/approve/": REVIEW,
    "POST /api/v1/modifications/<uuid:pk>/reject/": REVIEW,
    "POST /api/v1/modifications/<uuid:pk>/fail/": {"error": "Out of disk."},
    "POST /api/v1/templates/": {"name": "Empty", "files": {"README.md": "Nothing."}},
    "PATCH /api/v1/templates/<uuid:pk>/": {"name": "Empty"},
    "POST /api/v1/templates/<uuid:pk>/render/": {"variables": {"project_name": "shop"}},
}
TARGETS = {
    "POST /api/v1/agents/<uuid:pk>/run/": agent_in("starting"),
    "POST /api/v1/agents/<uuid:pk>/stop/": agent_in("running"),
    "POST /api/v1/agents/<uuid:pk>/fail/": agent_in("running"),
    "POST /api/v1/squads/<uuid:pk>/resume/": squad_in("paused"),
    "POST /api/v1/projects/<uuid:pk>/hold/": project_in("active"),
    "POST /api/v1/projects/<uuid:pk>/resume/": project_in("on_hold"),
    "POST /api/v1/projects/<uuid:pk>/complete/": project_in("active"),
    "POST /api/v1/modifications/<uuid:pk>/apply/": an_approved_one,
    "POST /api/v1/modifications/<uuid:pk>/fail/": an_approved_one,
}
