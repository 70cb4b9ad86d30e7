"""The project's addresses, and beside them the ordinary endpoint that Muster's is measured against."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from config.urls import urlpatterns as project_urls
from tests.benchmarks.ordinary import OrdinaryOrderViewSet

router = SimpleRouter()
router.register("orders", OrdinaryOrderViewSet, basename="ordinary-order")

urlpatterns = [*project_urls, path("ordinary/", include(router.urls))]
