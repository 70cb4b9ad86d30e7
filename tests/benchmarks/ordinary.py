"""Orders served the way REST framework's own documentation does it: what Muster's read path is measured against.

ModelViewSet, ModelSerializer and page numbers, with the related rows fetched ahead, django-filter, and the same
columns. Authentication and permissions are Muster's, so that only the reading differs.
"""

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import pagination, parsers, renderers, serializers, viewsets

from catalog.api.serializers import CustomerSerializer, NestedLineSerializer, OrderSerializer
from catalog.models import Order, OrderLine
from core.models import Role, User


class Customer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = CustomerSerializer.Meta.fields


class Line(serializers.ModelSerializer):
    line_total = serializers.DecimalField(max_digits=19, decimal_places=4, read_only=True)

    class Meta:
        model = OrderLine
        fields = NestedLineSerializer.Meta.fields


class OrdinaryOrder(serializers.ModelSerializer):
    customer = Customer()
    lines = Line(many=True)

    class Meta:
        model = Order
        fields = OrderSerializer.Meta.fields


class PageNumbers(pagination.PageNumberPagination):
    page_size = 50


class OrdinaryOrderViewSet(viewsets.ModelViewSet):
    scope = "catalog"
    read_role = Role.VIEWER
    action_roles: dict[str, Role] = {}
    action_scopes: dict[str, str] = {}
    serializer_class = OrdinaryOrder
    pagination_class = PageNumbers
    filter_backends = (DjangoFilterBackend,)
    filterset_fields = ("status", "customer")
    renderer_classes = (renderers.JSONRenderer,)
    parser_classes = (parsers.JSONParser,)

    def get_queryset(self) -> QuerySet:
        orders = Order.objects.filter(organization_id=self.request.auth.organization_id)  # type: ignore[union-attr]
        return orders.select_related("customer").prefetch_related("lines").order_by("-created_at", "-id")
