"""Addresses of knowledge's records under ``/api/v1/``."""

from core.api.routers import RecordRouter
from knowledge.api import views

router = RecordRouter()
router.register("collections", views.CollectionViewSet)
router.register("documents", views.DocumentViewSet)
router.register("document-versions", views.DocumentVersionViewSet)
router.register("chunks", views.ChunkViewSet)

urlpatterns = [*router.urls]
