"""Who gets what of core."""

from core.models import Integration, Organization, Role, WebhookDelivery
from tests.factories import make
from tests.factories.core import MembershipFactory

TABLE = """
                                                 anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/organizations/                          401   200   200      200    200      403      200 200    200
PATCH  /api/v1/organizations/                          401   200   200      403    403      403      404 200    403
GET    /api/v1/organizations/<uuid:pk>/                401   200   200      200    200      403      404 200    200
PATCH  /api/v1/organizations/<uuid:pk>/                401   200   200      403    403      403      404 200    403
GET    /api/v1/users/                                  401   200   200      200    200      403      200 200    200
GET    /api/v1/users/<uuid:pk>/                        401   200   200      200    200      403      404 200    200
GET    /api/v1/memberships/                            401   200   200      200    200      403      200 200    200
POST   /api/v1/memberships/                            401   201   201      403    403      403      201 201    403
PATCH  /api/v1/memberships/                            401   200   200      403    403      403      404 200    403
DELETE /api/v1/memberships/                            401   204   204      403    403      403      404 204    403
GET    /api/v1/memberships/<uuid:pk>/                  401   200   200      200    200      403      404 200    200
PATCH  /api/v1/memberships/<uuid:pk>/                  401   200   200      403    403      403      404 200    403
DELETE /api/v1/memberships/<uuid:pk>/                  401   204   204      403    403      403      404 204    403
GET    /api/v1/api-keys/                               401   200   200      403    403      403      200 200    200
POST   /api/v1/api-keys/                               401   201   201      403    403      403      201 201    403
GET    /api/v1/api-keys/<uuid:pk>/                     401   200   200      403    403      403      404 200    200
POST   /api/v1/api-keys/<uuid:pk>/revoke/              401   200   200      403    403      403      404 200    403
GET    /api/v1/audit-events/                           401   200   200      403    403      403      200 200    403
GET    /api/v1/audit-events/<uuid:pk>/                 401   200   200      403    403      403      404 200    403
GET    /api/v1/idempotency-keys/                       401   200   200      403    403      403      200 200    403
GET    /api/v1/idempotency-keys/<uuid:pk>/             401   200   200      403    403      403      404 200    403
GET    /api/v1/integrations/                           401   200   200      403    403      403      200 200    200
POST   /api/v1/integrations/                           401   201   201      403    403      403      201 201    403
PATCH  /api/v1/integrations/                           401   200   200      403    403      403      404 200    403
DELETE /api/v1/integrations/                           401   204   204      403    403      403      404 204    403
GET    /api/v1/integrations/<uuid:pk>/                 401   200   200      403    403      403      404 200    200
PATCH  /api/v1/integrations/<uuid:pk>/                 401   200   200      403    403      403      404 200    403
DELETE /api/v1/integrations/<uuid:pk>/                 401   204   204      403    403      403      404 204    403
POST   /api/v1/integrations/<uuid:pk>/check/           401   200   200      403    403      403      404 200    403
POST   /api/v1/integrations/<uuid:pk>/disable/         401   200   200      403    403      403      404 200    403
POST   /api/v1/integrations/<uuid:pk>/enable/          401   200   200      403    403      403      404 200    403
POST   /api/v1/integrations/<uuid:pk>/receive/         401   401   401      401    401      401      401 401    401
GET    /api/v1/integration-events/                     401   200   200      403    403      403      200 200    200
GET    /api/v1/integration-events/<uuid:pk>/           401   200   200      403    403      403      404 200    200
POST   /api/v1/integration-events/<uuid:pk>/retry/     401   200   200      403    403      403      404 200    403
GET    /api/v1/webhooks/                               401   200   200      403    403      403      200 200    200
POST   /api/v1/webhooks/                               401   201   201      403    403      403      201 201    403
PATCH  /api/v1/webhooks/                               401   200   200      403    403      403      404 200    403
DELETE /api/v1/webhooks/                               401   204   204      403    403      403      404 204    403
GET    /api/v1/webhooks/<uuid:pk>/                     401   200   200      403    403      403      404 200    200
PATCH  /api/v1/webhooks/<uuid:pk>/                     401   200   200      403    403      403      404 200    403
DELETE /api/v1/webhooks/<uuid:pk>/                     401   204   204      403    403      403      404 204    403
POST   /api/v1/webhooks/<uuid:pk>/rotate-secret/       401   200   200      403    403      403      404 200    403
POST   /api/v1/webhooks/<uuid:pk>/test/                401   202   202      403    403      403      404 202    403
POST   /api/v1/webhooks/<uuid:pk>/pause/               401   200   200      403    403      403      404 200    403
POST   /api/v1/webhooks/<uuid:pk>/resume/              401   200   200      403    403      403      404 200    403
GET    /api/v1/webhook-deliveries/                     401   200   200      403    403      403      200 200    200
GET    /api/v1/webhook-deliveries/<uuid:pk>/           401   200   200      403    403      403      404 200    200
POST   /api/v1/webhook-deliveries/<uuid:pk>/redeliver/ 401   200   200      403    403      403      404 200    403
GET    /api/schema/                                    200   200   200      200    200      200      200 200    200
GET    /api/docs/                                      200   200   200      200    200      200      200 200    200
GET    /api/problems/<slug:code>/                      200   200   200      200    200      200      200 200    200
GET    /api/agents/health                              200   200   200      200    200      200      200 200    200
GET    /api/agents/health/                             200   200   200      200    200      200      200 200    200
GET    /api/agents/health/live                         200   200   200      200    200      200      200 200    200
GET    /api/agents/health/ready                        200   200   200      200    200      200      200 200    200
GET    /api/agents/health/db                           200   200   200      200    200      200      200 200    200
GET    /api/<path:rest>                                404   404   404      404    404      404      404 404    404
"""


def given_up(organization: Organization) -> object:
    """A delivery that failed, and can be tried once more."""
    return make(WebhookDelivery, organization, status="failed", next_attempt_at=None)


def a_viewer(organization: Organization) -> object:
    """A member whom an admin may change too."""
    return MembershipFactory(organization=organization, role=Role.VIEWER)


def a_disabled_integration(organization: Organization) -> object:
    """An integration that can be enabled."""
    return make(Integration, organization, status="disabled")


def a_listening_integration(organization: Organization) -> object:
    """An integration whose service sends events."""
    return make(Integration, organization, provider="github")


def an_inward_integration(organization: Organization) -> object:
    """An integration that no request of a test leads anywhere."""
    return make(Integration, organization, config={"api_url": "https://127.0.0.1"})


BODIES = {
    "PATCH /api/v1/organizations/<uuid:pk>/": {"name": "Renamed"},
    "POST /api/v1/memberships/": {"email": "new@example.com", "role": "viewer"},
    "PATCH /api/v1/memberships/<uuid:pk>/": {"role": "member"},
    "POST /api/v1/integrations/": {
        "provider": "slack",
        "name": "Slack",
        "config": {"channel": "#ops", "events": ["task.fail"]},
        "token": "xoxb-1",
    },
    "PATCH /api/v1/integrations/<uuid:pk>/": {"name": "Renamed"},
    "POST /api/v1/webhooks/": {"url": "https://hooks.example.org/muster", "event_types": ["task.*"]},
    "PATCH /api/v1/webhooks/<uuid:pk>/": {"event_types": ["*"]},
    "POST /api/v1/api-keys/": {"name": "CI", "scopes": ["core:read"]},
}
TARGETS = {
    "POST /api/v1/integrations/<uuid:pk>/check/": an_inward_integration,
    "POST /api/v1/integrations/<uuid:pk>/enable/": a_disabled_integration,
    "POST /api/v1/integrations/<uuid:pk>/receive/": a_listening_integration,
    "POST /api/v1/webhook-deliveries/<uuid:pk>/redeliver/": given_up,
    "PATCH /api/v1/memberships/<uuid:pk>/": a_viewer,
    "DELETE /api/v1/memberships/<uuid:pk>/": a_viewer,
}
