"""Who gets what of collections, documents and chunks."""

from typing import Any

from core.models import Organization
from tests.factories.knowledge import CollectionFactory, DocumentFactory, DocumentVersionFactory

TABLE = """
                                                     anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/collections/                                401   200   200      200    200      403      200 200    403
POST   /api/v1/collections/                                401   201   201      201    403      403      201 201    403
PATCH  /api/v1/collections/                                401   200   200      200    403      403      404 200    403
DELETE /api/v1/collections/                                401   204   204      204    403      403      404 204    403
GET    /api/v1/collections/<uuid:pk>/                      401   200   200      200    200      403      404 200    403
PATCH  /api/v1/collections/<uuid:pk>/                      401   200   200      200    403      403      404 200    403
DELETE /api/v1/collections/<uuid:pk>/                      401   204   204      204    403      403      404 204    403
POST   /api/v1/collections/<uuid:pk>/reprocess/            401   200   200      200    403      403      404 200    403
GET    /api/v1/documents/                                  401   200   200      200    200      403      200 200    403
POST   /api/v1/documents/                                  401   201   201      201    403      403      400 201    403
PATCH  /api/v1/documents/                                  401   200   200      200    403      403      404 200    403
DELETE /api/v1/documents/                                  401   204   204      204    403      403      404 204    403
GET    /api/v1/documents/<uuid:pk>/                        401   200   200      200    200      403      404 200    403
PATCH  /api/v1/documents/<uuid:pk>/                        401   200   200      200    403      403      404 200    403
DELETE /api/v1/documents/<uuid:pk>/                        401   204   204      204    403      403      404 204    403
POST   /api/v1/documents/<uuid:pk>/retry/                  401   200   200      200    403      403      404 200    403
POST   /api/v1/documents/<uuid:pk>/reprocess/              401   200   200      200    403      403      404 200    403
GET    /api/v1/document-versions/                          401   200   200      200    200      403      200 200    403
GET    /api/v1/document-versions/<uuid:pk>/                401   200   200      200    200      403      404 200    403
GET    /api/v1/document-versions/<uuid:pk>/download/       401   200   200      200    200      403      404 200    403
GET    /api/v1/chunks/                                     401   200   200      200    200      403      200 200    403
GET    /api/v1/chunks/<uuid:pk>/                           401   200   200      200    200      403      404 200    403
"""


def new_document(organization: Organization) -> dict[str, Any]:
    collection = CollectionFactory(organization=organization)
    return {"collection": str(collection.pk), "content": "Valves are checked each spring.", "title": "Valves"}


BODIES = {
    "POST /api/v1/collections/": {"name": "Manuals"},
    "PATCH /api/v1/collections/<uuid:pk>/": {"description": "What the maker says."},
    "POST /api/v1/documents/": new_document,
    "PATCH /api/v1/documents/<uuid:pk>/": {"source_uri": "https://example.org/valves"},
}
TARGETS = {
    "POST /api/v1/documents/<uuid:pk>/retry/": lambda organization: DocumentFactory(
        organization=organization, status="failed", error="It has no text."
    ),
    "GET /api/v1/document-versions/<uuid:pk>/download/": lambda organization: DocumentVersionFactory(
        organization=organization
    ),
}
