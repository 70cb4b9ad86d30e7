"""Orders and their lines."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from catalog.models import Order, OrderLine, OrderStatus
from catalog.services import orders
from core.admin import ReadOnlyAdmin, RecordAction, RecordAdmin, RecordInline, WholeTextFilter
from core.admin.forms import RecordForm, RecordInlineFormSet
from core.errors import ConflictError
from core.violations import Violation

AMENDABLE = ("discount", "tax", "shipping", "billing_address", "shipping_address", "notes")


class LineInline(RecordInline):
    """The lines of an order that stands."""

    model = OrderLine
    fields = ("product", "sku", "name", "unit_price", "quantity", "line_total")
    readonly_fields = fields
    can_delete = False
    max_num = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: an order is placed as a whole."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a line never changes."""
        return False


class NewLineForm(RecordForm):
    """A product and how many of it; the order's service makes the line of it, and judges it."""

    class Meta:
        model = OrderLine
        fields = ("product", "quantity")

    def _post_clean(self) -> None:
        """Make no line yet."""


class NewLines(RecordInlineFormSet):
    """The lines of an order that is being placed."""

    def clean(self) -> None:
        """Leave the rules to the service."""

    def items(self) -> list[orders.Item]:
        """Return what is ordered."""
        rows = [form.cleaned_data for form in self.forms if form.cleaned_data.get("product")]
        return [orders.Item(row["product"].pk, row["quantity"]) for row in rows]


class NewLineInline(RecordInline):
    """The lines of an order that is being placed."""

    model = OrderLine
    form = NewLineForm
    formset = NewLines
    extra = 3
    can_delete = False
    verbose_name_plural = "lines"


class RefundForm(forms.Form):
    """How an order is refunded."""

    restock = forms.BooleanField(required=False, help_text="What was shipped is back in stock.")


@admin.register(Order)
class OrderAdmin(RecordAdmin):
    """Orders. They are placed as a whole, move by their buttons, and are never deleted."""

    description = "What was sold, to whom, and how far it has come."
    list_display = ("number", "organization", "customer", "status", "item_count", "total", "currency", "placed_at")
    list_filter = (
        "organization",
        "status",
        "customer",
        ("currency", WholeTextFilter),
        "total",
        "placed_at",
        "created_at",
    )
    search_fields = ("^number",)
    search_help_text = "The beginning of an order number, or a customer's whole email."
    fieldsets = (
        (None, {"fields": ("number", "customer", "status", "item_count", "notes")}),
        ("Amounts", {"fields": ("currency", "subtotal", "discount", "tax", "shipping", "total")}),
        ("Addresses", {"fields": ("billing_address", "shipping_address")}),
        (
            "Times",
            {
                "fields": (
                    "placed_at",
                    "paid_at",
                    "processing_at",
                    "shipped_at",
                    "delivered_at",
                    "cancelled_at",
                    "refunded_at",
                )
            },
        ),
    )
    add_fieldsets = (
        (None, {"fields": ("customer", "notes")}),
        ("Amounts", {"fields": ("discount", "tax", "shipping")}),
        ("Addresses", {"fields": ("billing_address", "shipping_address")}),
    )
    related_lists = (("catalog.OrderLine", "order__id__exact"),)
    record_actions = (
        RecordAction("pay", lambda request, order: orders.pay_order(order=order)),
        RecordAction("process", lambda request, order: orders.start_processing(order=order), label="Start processing"),
        RecordAction("ship", lambda request, order: orders.ship_order(order=order)),
        RecordAction("deliver", lambda request, order: orders.deliver_order(order=order)),
        RecordAction(
            "cancel",
            lambda request, order: orders.cancel_order(order=order),
            confirm="Cancel the order? What it reserved is free again.",
        ),
        RecordAction(
            "refund",
            lambda request, order, restock: orders.refund_order(order=order, restock=restock),
            form=RefundForm,
            available=lambda order: order.paid_at is not None and order.status != OrderStatus.REFUNDED,
        ),
    )

    # --- The page ----------------------------------------------------------------------------------

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the lines: to be chosen, or as they are."""
        return [LineInline] if obj else [NewLineInline]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return what is asked for a new order, or all that is known of one."""
        return super().get_fieldsets(request, obj) if obj else self._add_fieldsets(request)

    def _add_fieldsets(self, request: HttpRequest) -> list[Any]:
        first, *others = [(title, dict(options)) for title, options in self.add_fieldsets]
        return [(first[0], {"fields": ("organization", *first[1]["fields"])}), *others]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the fields of the fieldsets."""
        fieldsets = self.fieldsets if obj else self.add_fieldsets
        return [name for _, options in fieldsets for name in options["fields"]]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return what is settled: all but notes and addresses, and the amounts until they are paid."""
        fields = super().get_readonly_fields(request, obj)
        if obj is None:
            return fields
        open_ = AMENDABLE if obj.status == OrderStatus.PENDING else AMENDABLE[3:]
        return list(dict.fromkeys([*fields, *(name for name in self.get_fields(request, obj) if name not in open_)]))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: an order is cancelled, and kept."""
        return False

    # --- Saving ------------------------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form. What the service refuses comes back as an error of the form, nothing saved."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ConflictError as error:
            violation = Violation(None, error.code, str(error))
        except ValidationError as error:
            violation = Violation(None, "invalid", " ".join(error.messages))
        request._muster_violation = violation  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Order, form: Any, change: bool) -> None:
        """Amend an order that stands; a new one is placed with its lines."""
        if change:
            changes = {name: form.cleaned_data[name] for name in form.changed_data if name in AMENDABLE}
            obj.__dict__.update(orders.amend_order(order=obj, **changes).__dict__)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Place a new order."""
        if change:
            super().save_related(request, form, formsets, change)
            return
        for formset in formsets:
            # What Django tells of saved formsets; ours are not saved.
            formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []
        asked = form.cleaned_data
        order = orders.place_order(
            organization_id=form.instance.organization_id,
            customer_id=asked["customer"].pk,
            items=[item for formset in formsets for item in formset.items()],
            **{name: asked[name] for name in AMENDABLE},
        )
        form.instance.__dict__.update(order.__dict__)

    # --- Searching ---------------------------------------------------------------------------------

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[Any, bool]:
        """Return the orders whose number begins so, or whose customer has this email; indexes serve both."""
        term = search_term.strip()
        if not term or len(term) in (32, 36) or "\0" in term:
            return super().get_search_results(request, queryset, search_term)
        if "@" in term:
            return queryset.filter(customer__email__iexact=term), False
        return queryset.filter(number__startswith=term.upper()), False


@admin.register(OrderLine)
class OrderLineAdmin(ReadOnlyAdmin):
    """The lines of all orders, to look at."""

    description = "Each product of each order, as it was at the sale."
    list_display = ("name", "sku", "organization", "order", "quantity", "unit_price", "line_total", "currency")
    list_filter = ("organization", "order", "product", "created_at")
    search_fields = ()
    fields = ("order", "product", "sku", "name", "unit_price", "currency", "quantity", "line_total")
    readonly_fields = ("line_total",)
