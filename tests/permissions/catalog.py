"""Who gets what of catalog."""

from collections.abc import Callable
from typing import Any

from catalog.models import Order, Product, ProductStatus, Subscription, SubscriptionStatus
from catalog.services import orders
from core.models import Organization
from tests.factories.catalog import ProductFactory, SubscriptionFactory
from tests.factories.core import UserFactory

# The stranger, an owner elsewhere, makes records there; an order needs a product, and ours isn't one of theirs.
TABLE = """
                                                 anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/products/                               401   200   200      200    200      200      200 200    403
POST   /api/v1/products/                               401   201   201      201    403      403      201 201    403
PATCH  /api/v1/products/                               401   200   200      200    403      403      404 200    403
DELETE /api/v1/products/                               401   204   204      204    403      403      404 204    403
GET    /api/v1/products/<uuid:pk>/                     401   200   200      200    200      200      404 200    403
PATCH  /api/v1/products/<uuid:pk>/                     401   200   200      200    403      403      404 200    403
DELETE /api/v1/products/<uuid:pk>/                     401   204   204      204    403      403      404 204    403
POST   /api/v1/products/<uuid:pk>/activate/            401   200   200      200    403      403      404 200    403
POST   /api/v1/products/<uuid:pk>/archive/             401   200   200      200    403      403      404 200    403
POST   /api/v1/products/<uuid:pk>/adjust-stock/        401   200   200      200    403      403      404 200    403
GET    /api/v1/orders/                                 401   200   200      200    200      200      200 200    403
POST   /api/v1/orders/                                 401   201   201      201    403      201      400 201    403
PATCH  /api/v1/orders/                                 401   200   200      200    403      403      404 200    403
GET    /api/v1/orders/<uuid:pk>/                       401   200   200      200    200      404      404 200    403
PATCH  /api/v1/orders/<uuid:pk>/                       401   200   200      200    403      403      404 200    403
POST   /api/v1/orders/<uuid:pk>/pay/                   401   200   200      200    403      403      404 200    403
POST   /api/v1/orders/<uuid:pk>/process/               401   200   200      200    403      403      404 200    403
POST   /api/v1/orders/<uuid:pk>/ship/                  401   200   200      200    403      403      404 200    403
POST   /api/v1/orders/<uuid:pk>/deliver/               401   200   200      200    403      403      404 200    403
POST   /api/v1/orders/<uuid:pk>/cancel/                401   200   200      200    403      403      404 200    403
POST   /api/v1/orders/<uuid:pk>/refund/                401   200   200      200    403      403      404 200    403
GET    /api/v1/order-lines/                            401   200   200      200    200      200      200 200    403
GET    /api/v1/order-lines/<uuid:pk>/                  401   200   200      200    200      404      404 200    403
GET    /api/v1/subscriptions/                          401   200   200      200    200      403      200 200    403
POST   /api/v1/subscriptions/                          401   201   201      403    403      403      201 201    403
PATCH  /api/v1/subscriptions/                          401   200   200      403    403      403      404 200    403
GET    /api/v1/subscriptions/<uuid:pk>/                401   200   200      200    200      403      404 200    403
PATCH  /api/v1/subscriptions/<uuid:pk>/                401   200   200      403    403      403      404 200    403
POST   /api/v1/subscriptions/<uuid:pk>/activate/       401   200   200      403    403      403      404 200    403
POST   /api/v1/subscriptions/<uuid:pk>/mark-past-due/  401   200   200      403    403      403      404 200    403
POST   /api/v1/subscriptions/<uuid:pk>/renew/          401   200   200      403    403      403      404 200    403
POST   /api/v1/subscriptions/<uuid:pk>/cancel/         401   200   200      403    403      403      404 200    403
POST   /api/v1/subscriptions/<uuid:pk>/expire/         401   200   200      403    403      403      404 200    403
GET    /api/v1/usage-records/                          401   200   200      200    200      403      200 200    403
POST   /api/v1/usage-records/                          401   201   201      201    403      403      201 201    403
GET    /api/v1/usage-records/<uuid:pk>/                401   200   200      200    200      403      404 200    403
GET    /api/v1/usage-records/summary/                  401   200   200      200    200      403      200 200    403
"""


def one_item(organization: Organization) -> dict[str, Any]:
    """The body that orders one item of a product of ours."""
    return {"lines": [{"product": str(ProductFactory(organization=organization).pk), "quantity": 1}]}


def order_after(*steps: Callable[..., Order]) -> Callable[[Organization], Order]:
    """Return what places an order and takes it through the steps."""

    def made(organization: Organization) -> Order:
        product = ProductFactory(organization=organization)
        order = orders.place_order(
            organization_id=organization.pk,
            customer_id=UserFactory(memberships__organization=organization).pk,
            items=[orders.Item(product_id=product.pk, quantity=1)],
        )
        for step in steps:
            order = step(order=order)
        return order

    return made


def a_draft(organization: Organization) -> Product:
    """A product that isn't on offer yet."""
    return ProductFactory(organization=organization, status=ProductStatus.DRAFT)


def a_trial(organization: Organization) -> Subscription:
    """A subscription that isn't paid for yet."""
    return SubscriptionFactory(organization=organization, status=SubscriptionStatus.TRIALING)


BODIES = {
    "POST /api/v1/products/": {"sku": "N-1", "name": "New", "slug": "new", "price": "1.00", "currency": "EUR"},
    "PATCH /api/v1/products/<uuid:pk>/": {"name": "Renamed"},
    "POST /api/v1/products/<uuid:pk>/adjust-stock/": {"delta": 5, "reason": "Counted."},
    "POST /api/v1/orders/": one_item,
    "PATCH /api/v1/orders/<uuid:pk>/": {"notes": "By the back door."},
    "POST /api/v1/orders/<uuid:pk>/cancel/": {"reason": "Changed their mind."},
    "POST /api/v1/orders/<uuid:pk>/refund/": {"reason": "Broken."},
    "POST /api/v1/subscriptions/": {"plan_tier": "pro", "seats": 3, "price": "9.00", "currency": "EUR"},
    "PATCH /api/v1/subscriptions/<uuid:pk>/": {"seats": 4},
    "POST /api/v1/subscriptions/<uuid:pk>/cancel/": {"reason": "Too dear."},
    "POST /api/v1/usage-records/": {"metric": "tokens", "quantity": "1", "unit": "token"},
}
TARGETS = {
    "POST /api/v1/products/<uuid:pk>/activate/": a_draft,
    "POST /api/v1/orders/<uuid:pk>/pay/": order_after(),
    "POST /api/v1/orders/<uuid:pk>/process/": order_after(orders.pay_order),
    "POST /api/v1/orders/<uuid:pk>/ship/": order_after(orders.pay_order, orders.start_processing),
    "POST /api/v1/orders/<uuid:pk>/deliver/": order_after(orders.pay_order, orders.start_processing, orders.ship_order),
    "POST /api/v1/orders/<uuid:pk>/cancel/": order_after(),
    "POST /api/v1/orders/<uuid:pk>/refund/": order_after(orders.pay_order),
    "POST /api/v1/subscriptions/<uuid:pk>/activate/": a_trial,
}
