"""Who gets what of search, and of what it keeps beside the chunks."""

TABLE = """
                                                     anonymous owner admin teammate viewer customer stranger key reader
POST   /api/v1/search/                                     401   200   200      200    200      403      200 200    403
GET    /api/v1/embeddings/                                 401   200   200      200    200      403      200 200    403
GET    /api/v1/embeddings/<uuid:pk>/                       401   200   200      200    200      403      404 200    403
GET    /api/v1/term-vectors/                               401   200   200      200    200      403      200 200    403
GET    /api/v1/term-vectors/<uuid:pk>/                     401   200   200      200    200      403      404 200    403
GET    /api/v1/document-frequencies/                       401   200   200      200    200      403      200 200    403
GET    /api/v1/document-frequencies/<uuid:pk>/             401   200   200      200    200      403      404 200    403
"""

BODIES = {"POST /api/v1/search/": {"query": "valves", "mode": "text"}}
