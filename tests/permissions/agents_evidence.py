"""Who gets what of agents: metrics, artifacts, feedback and insights."""

from typing import Any

from agents.models import LearningInsight
from core.models import Organization
from tests.factories.agents.evidence import insight_in
from tests.factories.agents.work import TaskRunFactory

# Series need a name, which these requests don't give. Feedback of nobody's is for admins to change. The stranger
# writes in their own organization, where there is no run of ours.
TABLE = """
                                                     anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/metrics/                                    401   200   200      200    200      403      200 200    403
POST   /api/v1/metrics/                                    401   201   201      201    403      403      201 201    403
GET    /api/v1/metrics/<uuid:pk>/                          401   200   200      200    200      403      404 200    403
GET    /api/v1/metrics/series/                             401   400   400      400    400      403      400 400    403
GET    /api/v1/artifacts/                                  401   200   200      200    200      403      200 200    403
POST   /api/v1/artifacts/                                  401   201   201      201    403      403      201 201    403
PATCH  /api/v1/artifacts/                                  401   200   200      200    403      403      404 200    403
DELETE /api/v1/artifacts/                                  401   204   204      204    403      403      404 204    403
GET    /api/v1/artifacts/<uuid:pk>/                        401   200   200      200    200      403      404 200    403
PATCH  /api/v1/artifacts/<uuid:pk>/                        401   200   200      200    403      403      404 200    403
DELETE /api/v1/artifacts/<uuid:pk>/                        401   204   204      204    403      403      404 204    403
GET    /api/v1/artifacts/<uuid:pk>/download/               401   200   200      200    200      403      404 200    403
GET    /api/v1/stored-contents/                            401   200   200      200    200      403      200 200    403
GET    /api/v1/stored-contents/<uuid:pk>/                  401   200   200      200    200      403      404 200    403
GET    /api/v1/feedback/                                   401   200   200      200    200      403      200 200    403
POST   /api/v1/feedback/                                   401   201   201      201    403      403      400 201    403
PATCH  /api/v1/feedback/                                   401   200   200      403    403      403      404 200    403
DELETE /api/v1/feedback/                                   401   204   204      403    403      403      404 204    403
GET    /api/v1/feedback/<uuid:pk>/                         401   200   200      200    200      403      404 200    403
PATCH  /api/v1/feedback/<uuid:pk>/                         401   200   200      403    403      403      404 200    403
DELETE /api/v1/feedback/<uuid:pk>/                         401   204   204      403    403      403      404 204    403
POST   /api/v1/feedback/<uuid:pk>/draft-insight/           401   201   201      201    403      403      404 201    403
GET    /api/v1/learning-insights/                          401   200   200      200    200      403      200 200    403
POST   /api/v1/learning-insights/                          401   201   201      201    403      403      201 201    403
PATCH  /api/v1/learning-insights/                          401   200   200      200    403      403      404 200    403
DELETE /api/v1/learning-insights/                          401   204   204      204    403      403      404 204    403
GET    /api/v1/learning-insights/<uuid:pk>/                401   200   200      200    200      403      404 200    403
PATCH  /api/v1/learning-insights/<uuid:pk>/                401   200   200      200    403      403      404 200    403
DELETE /api/v1/learning-insights/<uuid:pk>/                401   204   204      204    403      403      404 204    403
POST   /api/v1/learning-insights/<uuid:pk>/accept/         401   200   200      200    403      403      404 200    403
POST   /api/v1/learning-insights/<uuid:pk>/retire/         401   200   200      200    403      403      404 200    403
POST   /api/v1/learning-insights/<uuid:pk>/apply/          401   200   200      200    403      403      404 200    403
"""


def praise(organization: Organization) -> dict[str, Any]:
    """Return the body of feedback on a run of ours."""
    return {"task_run": str(TaskRunFactory(organization=organization).pk), "rating": 5}


def accepted(organization: Organization) -> LearningInsight:
    """Make an insight that can be applied."""
    return insight_in("accepted", organization=organization)


BODIES = {
    "POST /api/v1/metrics/": {"name": "latency", "value": 1.5},
    "POST /api/v1/artifacts/": {"name": "a.txt", "text": "A text."},
    "PATCH /api/v1/artifacts/<uuid:pk>/": {"name": "b.txt"},
    "POST /api/v1/feedback/": praise,
    "PATCH /api/v1/feedback/<uuid:pk>/": {"rating": 1},
    "POST /api/v1/feedback/<uuid:pk>/draft-insight/": {"confidence": "0.7"},
    "POST /api/v1/learning-insights/": {"insight": "Ask first."},
    "PATCH /api/v1/learning-insights/<uuid:pk>/": {"confidence": "0.7"},
}
TARGETS = {"POST /api/v1/learning-insights/<uuid:pk>/apply/": accepted}
