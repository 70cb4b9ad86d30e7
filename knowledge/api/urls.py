"""Addresses of knowledge's records under ``/api/v1/``."""

from django.urls import path

from core.api.routers import RecordRouter
from knowledge.api import parts, views
from knowledge.api.search import SearchViewSet

router = RecordRouter()
router.register("collections", views.CollectionViewSet)
router.register("documents", views.DocumentViewSet)
router.register("document-versions", views.DocumentVersionViewSet)
router.register("chunks", views.ChunkViewSet)
router.register("embeddings", parts.EmbeddingViewSet)
router.register("term-vectors", parts.TermVectorViewSet)
router.register("document-frequencies", parts.DocumentFrequencyViewSet)

urlpatterns = [*router.urls, path("search/", SearchViewSet.as_view({"post": "search"}), name="search")]
