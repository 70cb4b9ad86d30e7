"""Products: what can be ordered, and how much of it there is."""

from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.text import slugify

from catalog.models.fields import CurrencyField, MoneyField, json_is, money, validate_images, validate_object
from core.constraints import given, one_of
from core.lifecycle import Lifecycle, Transition
from core.models import OrganizationRecord, RecordQuerySet

SKU_SHAPE = r"^[!-~]+$"  # printable ASCII without blanks: what a barcode of type Code 128 holds


class ProductStatus(models.TextChoices):
    """Whether a product is on offer."""

    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    ARCHIVED = "archived", "Archived"


class ProductQuerySet(RecordQuerySet):
    """Reads of products."""

    def on_offer(self) -> Self:
        """Return the products that can be ordered."""
        return self.filter(status=ProductStatus.ACTIVE)

    def low_on_stock(self, low: bool = True) -> Self:
        """Return the products of which no more than their threshold is available, or the others."""
        # No index serves this: one over quantities would cost each order an update of every index of the table.
        condition = Q(quantity_in_stock__lte=F("quantity_reserved") + F("low_stock_threshold"))
        return self.filter(condition) if low else self.exclude(condition)

    def in_stock(self, available: bool = True) -> Self:
        """Return the products of which at least one is available, or the others."""
        condition = Q(quantity_in_stock__gt=F("quantity_reserved"))
        return self.filter(condition) if available else self.exclude(condition)


class Product(OrganizationRecord):
    """Something that can be ordered.

    ``quantity_reserved`` of the ``quantity_in_stock`` is promised to orders that haven't been shipped; only the
    services of orders and stock change the two.
    """

    lifecycle = Lifecycle(
        Transition("activate", {ProductStatus.DRAFT.value, ProductStatus.ARCHIVED.value}, ProductStatus.ACTIVE.value),
        Transition("archive", {ProductStatus.DRAFT.value, ProductStatus.ACTIVE.value}, ProductStatus.ARCHIVED.value),
    )

    sku = models.CharField(
        "SKU",
        max_length=64,
        validators=[RegexValidator(SKU_SHAPE, "A SKU is printable ASCII without blanks.")],
        help_text="The stock keeping unit, unique in the organization.",
    )
    name = models.CharField(max_length=200)
    slug = models.SlugField(
        max_length=200, blank=True, db_index=False, help_text="Made of name and SKU where it is left empty."
    )
    description = models.TextField(blank=True)
    category = models.CharField(max_length=100, blank=True)
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    status = models.CharField(max_length=20, choices=ProductStatus, default=ProductStatus.DRAFT)
    price = MoneyField()
    currency = CurrencyField()
    compare_at_price = MoneyField(
        null=True, blank=True, help_text="The price before a reduction; not less than the price."
    )
    quantity_in_stock = models.PositiveIntegerField(default=0)
    quantity_reserved = models.PositiveIntegerField(
        default=0, editable=False, help_text="How much of the stock is promised to orders."
    )
    low_stock_threshold = models.PositiveIntegerField(
        default=0, help_text="With this many available, or fewer, the product counts as low on stock."
    )
    attributes = models.JSONField(default=dict, blank=True, validators=[validate_object])
    images = models.JSONField(
        default=list, blank=True, validators=[validate_images], help_text='A list such as [{"url": "https://…"}].'
    )

    objects: ClassVar = ProductQuerySet.as_manager()

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            *money("product", "price", "compare_at_price"),
            one_of("status", ProductStatus, name="catalog_product_status"),
            given("name", name="catalog_product_name_given"),
            models.UniqueConstraint(
                fields=["organization", "sku"],
                name="catalog_product_sku_unique",
                violation_error_message="“sku” belongs to another product already.",
            ),
            models.UniqueConstraint(
                fields=["organization", "slug"],
                name="catalog_product_slug_unique",
                violation_error_message="“slug” belongs to another product already.",
            ),
            models.CheckConstraint(
                name="catalog_product_sku_shape",
                condition=Q(sku__regex=SKU_SHAPE),
                violation_error_message="“sku” takes printable ASCII without blanks.",
            ),
            models.CheckConstraint(
                name="catalog_product_slug_shape",
                condition=Q(slug__regex=r"^[a-z0-9]+(-[a-z0-9]+)*$"),
                violation_error_message="“slug” takes lower-case letters and digits, joined by single hyphens.",
            ),
            models.CheckConstraint(
                name="catalog_product_compare_at_price_least",
                condition=Q(compare_at_price=None) | Q(compare_at_price__gte=F("price")),
                violation_error_message="“compare_at_price” can't be less than “price”.",
            ),
            models.CheckConstraint(
                name="catalog_product_reserved_in_stock",
                condition=Q(quantity_reserved__lte=F("quantity_in_stock")),
                violation_error_message="“quantity_reserved” can't be more than “quantity_in_stock”.",
            ),
            json_is("object", "attributes", name="catalog_product_attributes_object"),
            json_is("array", "images", name="catalog_product_images_array"),
        ]
        indexes = [
            *OrganizationRecord.Meta.indexes,
            models.Index(fields=["organization", "status", "created_at", "id"], name="catalog_product_status_newest"),
            models.Index(fields=["organization", "category", "created_at", "id"], name="catalog_product_category"),
            models.Index(fields=["organization", "name", "id"], name="catalog_product_by_name"),
            models.Index(fields=["organization", "price", "id"], name="catalog_product_by_price"),
            GinIndex(fields=["tags"], name="catalog_product_tags"),
            GinIndex(fields=["attributes"], name="catalog_product_attributes", opclasses=["jsonb_path_ops"]),
            GinIndex(fields=["name", "sku"], name="catalog_product_search", opclasses=["gin_trgm_ops", "gin_trgm_ops"]),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.sku})"

    def clean(self) -> None:
        """Fill the slug in, before its rules are asked."""
        super().clean()
        self.slug = self.slug or self.default_slug()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row; a slug that was left empty is made of name and SKU, so that it is as unique as the SKU."""
        self.slug = self.slug or self.default_slug()
        super().save(*args, **kwargs)

    def default_slug(self) -> str:
        """Return a slug made of name and SKU; where neither holds a Latin letter or digit, one made of the id."""
        return slugify(f"{self.name} {self.sku}")[:200].strip("-") or f"product-{self.pk}"

    @property
    def quantity_available(self) -> int:
        """Return how many can be ordered now."""
        return self.quantity_in_stock - self.quantity_reserved
