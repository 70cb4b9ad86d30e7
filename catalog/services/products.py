"""Products: on offer or not."""

from django.db import transaction

from catalog.models import Product


@transaction.atomic
def activate_product(*, product: Product) -> Product:
    """Put the product on offer. Raises TransitionConflictError when it is already."""
    return Product.lifecycle.move(product, "activate")


@transaction.atomic
def archive_product(*, product: Product) -> Product:
    """Take the product off offer; orders that have it go on. Raises TransitionConflictError when it is already."""
    return Product.lifecycle.move(product, "archive")
