"""Who gets what of agents: round tables, entries, votes, and the leaderboard."""

from typing import Any

from core.models import Organization
from tests.factories.agents.round_tables import RoundTableFactory

TABLE = """
                                                     anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/round-tables/                               401   200   200      200    200      403      200 200    403
POST   /api/v1/round-tables/                               401   201   201      201    403      403      201 201    403
PATCH  /api/v1/round-tables/                               401   200   200      200    403      403      404 200    403
DELETE /api/v1/round-tables/                               401   204   204      204    403      403      404 204    403
GET    /api/v1/round-tables/<uuid:pk>/                     401   200   200      200    200      403      404 200    403
PATCH  /api/v1/round-tables/<uuid:pk>/                     401   200   200      200    403      403      404 200    403
DELETE /api/v1/round-tables/<uuid:pk>/                     401   204   204      204    403      403      404 204    403
POST   /api/v1/round-tables/<uuid:pk>/judge/               401   200   200      200    403      403      404 200    403
POST   /api/v1/round-tables/<uuid:pk>/cancel/              401   200   200      200    403      403      404 200    403
GET    /api/v1/round-table-entries/                        401   200   200      200    200      403      200 200    403
GET    /api/v1/round-table-entries/<uuid:pk>/              401   200   200      200    200      403      404 200    403
GET    /api/v1/round-table-votes/                          401   200   200      200    200      403      200 200    403
GET    /api/v1/round-table-votes/<uuid:pk>/                401   200   200      200    200      403      404 200    403
GET    /api/v1/leaderboard/                                401   200   200      200    200      403      200 200    403
"""

ENTRIES = ("0190163d-8694-739b-aea5-966c26f8ad91", "0190163d-8694-739b-aea5-966c26f8ad92")


def known_entries(organization: Organization) -> Any:
    """Make a round table whose entries' ids bodies can name."""
    table = RoundTableFactory(organization=organization, entries=0)
    for number, pk in enumerate(ENTRIES):
        table.entries.create(id=pk, organization=organization, provider="acme", model=f"model-{number}")
    return table


BODIES: dict[str, Any] = {
    "POST /api/v1/round-tables/": {
        "prompt": "Why?",
        "entries": [{"provider": "acme", "model": "a"}, {"provider": "acme", "model": "b"}],
    },
    "PATCH /api/v1/round-tables/<uuid:pk>/": {"prompt": "How?"},
    "POST /api/v1/round-tables/<uuid:pk>/judge/": {
        "entries": [{"entry": pk, "rank": rank} for rank, pk in enumerate(ENTRIES, start=1)]
    },
}
TARGETS: dict[str, Any] = {"POST /api/v1/round-tables/<uuid:pk>/judge/": known_entries}
