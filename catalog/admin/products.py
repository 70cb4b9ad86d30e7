"""Products."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from catalog.models import Product
from catalog.services import products, stock
from core.admin import RecordAction, RecordAdmin, WholeTextFilter
from core.search import matching


class StockForm(forms.Form):
    """A change of what is in stock."""

    delta = forms.IntegerField(
        label="Change", min_value=-(2**31), max_value=2**31 - 1, help_text="How many come; below zero, how many go."
    )
    why = forms.CharField(label="Reason of the change", max_length=500, help_text="Such as: delivery, breakage, count.")


@admin.register(Product)
class ProductAdmin(RecordAdmin):
    """Products. Quantities change by “Adjust stock” and by orders, the status by its buttons."""

    description = "What can be ordered, and how much of it there is."
    list_display = ("name", "sku", "organization", "status", "price", "currency", "quantity_available", "category")
    list_filter = (
        "organization",
        "status",
        ("category", WholeTextFilter),
        ("currency", WholeTextFilter),
        "price",
        "tags",
        "created_at",
    )
    search_fields = ("name", "sku")
    prepopulated_fields = {"slug": ("name", "sku")}
    fieldsets = (
        (None, {"fields": ("sku", "name", "slug", "description", "category", "tags", "status")}),
        ("Price", {"fields": ("price", "currency", "compare_at_price")}),
        ("Stock", {"fields": ("quantity_in_stock", "quantity_reserved", "quantity_available", "low_stock_threshold")}),
        ("More", {"fields": ("attributes", "images")}),
    )
    readonly_fields = ("quantity_reserved", "quantity_available")
    related_lists = (("catalog.OrderLine", "product__id__exact"),)
    record_actions = (
        RecordAction("activate", lambda request, product: products.activate_product(product=product)),
        RecordAction("archive", lambda request, product: products.archive_product(product=product)),
        RecordAction(
            "adjust_stock",
            lambda request, product, delta, why: stock.adjust_stock(product=product, delta=delta, reason=why),
            form=StockForm,
        ),
    )

    @admin.display(description="Available")
    def quantity_available(self, product: Product) -> int:
        """Return how many can be ordered now."""
        return product.quantity_available

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return status and stock besides, once the product stands."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "status", "quantity_in_stock"] if obj else fields

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what makes the slug, while the product is new: an address that is known should stay."""
        return {} if obj else super().get_prepopulated_fields(request, obj)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[Any, bool]:
        """Return the rows whose name or SKU has each word, by the trigram index."""
        if len(search_term.strip()) in (32, 36) or "\0" in search_term:
            return super().get_search_results(request, queryset, search_term)
        return matching(queryset, search_term, self.search_fields), False
