"""Who gets what of agents: executions, model calls and tool executions."""

from typing import Any

from agents.models import AgentExecution
from core.models import Organization
from tests.factories.agents.executions import AgentExecutionFactory

TABLE = """
                                                     anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/agent-executions/                           401   200   200      200    200      403      200 200    403
POST   /api/v1/agent-executions/                           401   201   201      201    403      403      201 201    403
PATCH  /api/v1/agent-executions/                           401   200   200      200    403      403      404 200    403
GET    /api/v1/agent-executions/<uuid:pk>/                 401   200   200      200    200      403      404 200    403
PATCH  /api/v1/agent-executions/<uuid:pk>/                 401   200   200      200    403      403      404 200    403
POST   /api/v1/agent-executions/<uuid:pk>/start/           401   200   200      200    403      403      404 200    403
POST   /api/v1/agent-executions/<uuid:pk>/complete/        401   200   200      200    403      403      404 200    403
POST   /api/v1/agent-executions/<uuid:pk>/fail/            401   200   200      200    403      403      404 200    403
POST   /api/v1/agent-executions/<uuid:pk>/cancel/          401   200   200      200    403      403      404 200    403
POST   /api/v1/agent-executions/<uuid:pk>/time-out/        401   200   200      200    403      403      404 200    403
GET    /api/v1/model-calls/                                401   200   200      200    200      403      200 200    403
POST   /api/v1/model-calls/                                401   201   201      201    403      403      400 201    403
PATCH  /api/v1/model-calls/                                401   200   200      200    403      403      404 200    403
GET    /api/v1/model-calls/<uuid:pk>/                      401   200   200      200    200      403      404 200    403
PATCH  /api/v1/model-calls/<uuid:pk>/                      401   200   200      200    403      403      404 200    403
GET    /api/v1/tool-executions/                            401   200   200      200    200      403      200 200    403
POST   /api/v1/tool-executions/                            401   201   201      201    403      403      400 201    403
PATCH  /api/v1/tool-executions/                            401   200   200      200    403      403      404 200    403
GET    /api/v1/tool-executions/<uuid:pk>/                  401   200   200      200    200      403      404 200    403
PATCH  /api/v1/tool-executions/<uuid:pk>/                  401   200   200      200    403      403      404 200    403
"""


def pending(organization: Organization) -> AgentExecution:
    """Make an execution that hasn't begun."""
    return AgentExecutionFactory(organization=organization, status="pending")


def running(organization: Organization) -> AgentExecution:
    """Make an execution that goes."""
    return AgentExecutionFactory(organization=organization, status="running")


def call(organization: Organization) -> dict[str, Any]:
    """Return the body of a model call inside an execution of ours."""
    return {"execution": str(AgentExecutionFactory(organization=organization).pk), "request_model": "gpt-5-mini"}


def use(organization: Organization) -> dict[str, Any]:
    """Return the body of a tool's use inside an execution of ours."""
    return {"execution": str(AgentExecutionFactory(organization=organization).pk), "tool_name": "search"}


EXECUTION = "/api/v1/agent-executions/<uuid:pk>/"
BODIES = {
    "POST /api/v1/agent-executions/": {"agent_name": "Planner", "status": "running"},
    f"PATCH {EXECUTION}": {"session_id": "s-1"},
    f"POST {EXECUTION}complete/": {"output": "Done."},
    f"POST {EXECUTION}fail/": {"error_message": "no disk"},
    "POST /api/v1/model-calls/": call,
    "PATCH /api/v1/model-calls/<uuid:pk>/": {"input_tokens": 10},
    "POST /api/v1/tool-executions/": use,
    "PATCH /api/v1/tool-executions/<uuid:pk>/": {"output": "Found."},
}
TARGETS = {f"POST {EXECUTION}start/": pending} | {
    f"POST {EXECUTION}{move}/": running for move in ("complete", "fail", "cancel", "time-out")
}
