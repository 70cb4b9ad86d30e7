"""Endpoints of products, orders and their lines."""

from typing import Any

from django.db import models
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api import filters, serializers
from catalog.models import Order, OrderLine, Product
from catalog.services import orders, products, stock
from core.api.viewsets import CreateMixin, FullViewSet, ReadOnlyViewSet, UpdateMixin
from core.models import Role

FOR_MEMBERS = ("discount", "tax", "shipping")


class ProductViewSet(FullViewSet):
    """What can be ordered. Customers see what is active. A product that was ever ordered is archived, not deleted."""

    scope = "catalog"
    read_role = Role.CUSTOMER
    queryset = Product.objects.all()
    serializer_class = serializers.ProductSerializer
    read_serializer_class = serializers.ProductSerializer
    filterset_class = filters.ProductFilterSet
    ordering_fields = ("created_at", "name", "price", "sku")

    def for_customer(self, rows: Any) -> models.QuerySet:
        """Return the products on offer."""
        return rows.on_offer()

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return serializers.NewProductSerializer if self.action == "create" else self.serializer_class

    @extend_schema(request=serializers.AdjustStockSerializer)
    @action(detail=True, methods=["post"], url_path="adjust-stock")
    def adjust_stock(self, request: Request, pk: Any) -> Response:
        """Add to what is in stock, or take away, and say why."""
        body = serializers.AdjustStockSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return self.act(pk, lambda product: stock.adjust_stock(product=product, **body.validated_data))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: Any) -> Response:
        """Put the product on offer."""
        return self.act(pk, lambda product: products.activate_product(product=product))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def archive(self, request: Request, pk: Any) -> Response:
        """Take the product off offer; orders that have it go on."""
        return self.act(pk, lambda product: products.archive_product(product=product))


class OrderViewSet(CreateMixin, UpdateMixin, ReadOnlyViewSet):
    """Sales, with their customers and lines. Customers see their own, and order for themselves."""

    scope = "catalog"
    read_role = Role.CUSTOMER
    action_roles = {"create": Role.CUSTOMER}
    queryset = Order.objects.all()
    serializer_class = serializers.OrderSerializer
    read_serializer_class = serializers.OrderSerializer
    filterset_class = filters.OrderFilterSet
    ordering_fields = ("created_at", "placed_at")

    def check_permissions(self, request: Request) -> None:
        """Allow customers to order, though viewers, who rank above them, only look."""
        super().check_permissions(request)
        if self.action == "create" and self.principal.role == Role.VIEWER:
            raise PermissionDenied("A viewer looks, and doesn't order.", code="missing_role")

    def for_customer(self, rows: models.QuerySet) -> models.QuerySet:
        """Return the customer's own orders."""
        return rows.filter(customer_id=self.principal.user_id)

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        taken = {"create": serializers.NewOrderSerializer, "partial_update": serializers.AmendedOrderSerializer}
        return taken.get(self.action, self.serializer_class)

    def perform_create(self, serializer: Any) -> Order:
        """Place the order."""
        values = dict(serializer.validated_data)
        customer_id = values.pop("customer", self.principal.user_id)
        if self.principal.role == Role.CUSTOMER:
            self._check_own(customer_id, values)
        return orders.place_order(
            organization_id=self.principal.organization_id,
            customer_id=customer_id,
            items=[orders.Item(**line) for line in values.pop("lines")],
            **values,
        )

    def _check_own(self, customer_id: Any, values: dict[str, Any]) -> None:
        errors = {name: "Only a member of the team sets this." for name in FOR_MEMBERS if name in values}
        if customer_id != self.principal.user_id:
            errors["customer"] = "You order for yourself only."
        if errors:
            raise ValidationError(errors, "missing_role")

    def perform_update(self, serializer: Any) -> Order:
        """Change what can be changed."""
        return orders.amend_order(order=serializer.instance, **serializer.validated_data)

    def _do(self, pk: Any, service: Any, body: Any = None) -> Response:
        """Call the service for the order, and answer it as it then stands."""
        if body is not None:
            body.is_valid(raise_exception=True)
        return self.act(pk, lambda order: service(order=order, **(body.validated_data if body is not None else {})))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def pay(self, request: Request, pk: Any) -> Response:
        """Note that a pending order is paid."""
        return self._do(pk, orders.pay_order)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def process(self, request: Request, pk: Any) -> Response:
        """Start to prepare a paid order."""
        return self._do(pk, orders.start_processing)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def ship(self, request: Request, pk: Any) -> Response:
        """Send an order that is prepared; its products leave the stock."""
        return self._do(pk, orders.ship_order)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def deliver(self, request: Request, pk: Any) -> Response:
        """Note that a shipped order has arrived."""
        return self._do(pk, orders.deliver_order)

    @extend_schema(request=serializers.ReasonSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any) -> Response:
        """Call an order off before it is shipped; what it reserved is free again."""
        return self._do(pk, orders.cancel_order, serializers.ReasonSerializer(data=request.data))

    @extend_schema(request=serializers.RefundSerializer)
    @action(detail=True, methods=["post"])
    def refund(self, request: Request, pk: Any) -> Response:
        """Pay the whole of a paid order back."""
        return self._do(pk, orders.refund_order, serializers.RefundSerializer(data=request.data))


class OrderLineViewSet(ReadOnlyViewSet):
    """The lines of all orders. Customers see their own."""

    scope = "catalog"
    read_role = Role.CUSTOMER
    queryset = OrderLine.objects.all()
    serializer_class = serializers.OrderLineSerializer
    filterset_class = filters.OrderLineFilterSet

    def for_customer(self, rows: models.QuerySet) -> models.QuerySet:
        """Return the lines of the customer's own orders."""
        return rows.filter(order__customer_id=self.principal.user_id)
