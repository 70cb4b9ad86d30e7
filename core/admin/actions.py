"""Buttons and list actions that call a service for a record, declared once for both.

A ModelAdmin lists them::

    record_actions = [
        RecordAction("pay", lambda request, order: services.pay(order=order)),
        RecordAction("cancel", ..., confirm="Cancel the order? Its stock is free again."),
        RecordAction("adjust_stock", ..., form=StockForm),
    ]

Each becomes a button on the record's page and an action of the list. What a service refuses becomes a message, and
that record stays as it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.db.models import Model, ProtectedError, QuerySet, RestrictedError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from core import audit
from core.admin.rooted import Rooted
from core.errors import ConflictError
from core.violations import explain

SHOWN_REFUSALS = 10
CONFIRMED = "confirmed"


@dataclass(frozen=True)
class RecordAction:
    """Something that staff can do to a record.

    ``run(request, record, **data)`` does it; ``data`` are the cleaned values of ``form``, where there is one.
    ``confirm`` is a question that is asked before, with room for the reason, which the audit log keeps.
    ``available(record)`` tells whether to offer the button; by default what the model's lifecycle says of a
    transition of the same name, or True. ``permission`` is the one of Django's that it takes.
    """

    name: str
    run: Callable[..., Any]
    label: str = ""
    confirm: str = ""
    form: type[forms.Form] | None = None
    available: Callable[[Any], bool] | None = None
    permission: str = "change"
    bulk: bool = True

    @property
    def title(self) -> str:
        """Return the words on the button."""
        return self.label or self.name.replace("_", " ").capitalize()

    @property
    def asks(self) -> bool:
        """Tell whether a page comes between the button and the deed."""
        return bool(self.confirm or self.form)

    def is_available(self, record: Model) -> bool:
        """Tell whether the record's present state lets it."""
        if self.available:
            return self.available(record)
        lifecycle = getattr(record, "lifecycle", None)
        if lifecycle and self.name in lifecycle.transitions:
            return lifecycle.allows(self.name, getattr(record, lifecycle.field))
        return True


class ReasonForm(forms.Form):
    """What every page that asks for confirmation asks besides."""

    reason = forms.CharField(
        required=False, max_length=500, help_text="Kept in the audit log.", widget=forms.TextInput({"size": 60})
    )


def refusal(error: Exception) -> str | None:
    """Return what an error of a service or of the database says to people, or None when it isn't a refusal."""
    if isinstance(error, ConflictError):
        return str(error)
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    if isinstance(error, ProtectedError | RestrictedError):
        return "Other records still refer to it."
    if isinstance(error, DatabaseError) and (violation := explain(error)):
        return violation.message
    return None


def attempt(run: Callable[..., Any], *args: Any, **kwargs: Any) -> str | None:
    """Run in a transaction of its own, and return None; or the refusal, with nothing changed."""
    try:
        with transaction.atomic():
            run(*args, **kwargs)
            connection.check_constraints()
    except Exception as error:
        message = refusal(error)
        if message is None:
            raise
        return message
    return None


class RecordActionsMixin(Rooted, admin.ModelAdmin):
    """The part of RecordAdmin that serves ``record_actions``."""

    record_actions: Iterable[RecordAction] = ()

    def all_record_actions(self) -> list[RecordAction]:
        """Return the declared actions."""
        return list(self.record_actions)

    def get_record_actions(self, request: HttpRequest) -> list[RecordAction]:
        """Return the actions that the user's permissions allow on some record."""
        return [action for action in self.all_record_actions() if self.may_act(request, action)]

    def may_act(self, request: HttpRequest, action: RecordAction, record: Model | None = None) -> bool:
        """Tell whether the user may do this, to this record."""
        return getattr(self, f"has_{action.permission}_permission")(request, record) and self.may_write(request, record)

    def action_buttons(self, request: HttpRequest, record: Model) -> list[dict[str, Any]]:
        """Return what the buttons of a record's page are drawn from."""
        return [
            {
                "title": action.title,
                "url": reverse(self.action_url_name, args=(record.pk, action.name), current_app=self.admin_site.name),
                "asks": action.asks,
            }
            for action in self.get_record_actions(request)
            if self.may_act(request, action, record) and action.is_available(record)
        ]

    @property
    def action_url_name(self) -> str:
        """Return the name of the address that runs an action."""
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_action"

    def action_urls(self) -> list[URLPattern]:
        """Return the addresses of the buttons."""
        return [
            path(
                "<path:object_id>/actions/<slug:name>/",
                self.admin_site.admin_view(self.action_view),
                name=self.action_url_name.removeprefix("admin:"),
            )
        ]

    def action_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Ask, where the action asks; run it on POST; and return to the record."""
        action = next((action for action in self.all_record_actions() if action.name == name), None)
        if action is None:
            raise Http404
        record = self.get_object(request, unquote(object_id))
        if record is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        if not self.may_act(request, action, record):
            raise PermissionDenied
        if request.method != "POST" and not action.asks:
            return HttpResponseNotAllowed(["POST"])
        data = self._asked(request, action, [record], request.method == "POST")
        if isinstance(data, HttpResponse):
            return data
        self.run_action(request, action, [record], data)
        return HttpResponseRedirect(self._place("change", record.pk))

    def _place(self, page: str, *args: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=args, current_app=self.admin_site.name)

    def bulk_action(self, action: RecordAction) -> Callable[[Any, HttpRequest, QuerySet], HttpResponse | None]:
        """Return the action of the list."""

        def act(_: Any, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
            records = list(queryset.order_by("pk"))
            data = self._asked(request, action, records, CONFIRMED in request.POST)
            if isinstance(data, HttpResponse):
                return data
            self.run_action(request, action, records, data)
            return None

        return act

    def _asked(
        self, request: HttpRequest, action: RecordAction, records: list[Any], answered: bool
    ) -> dict[str, Any] | HttpResponse:
        """Return the answers to what the action asks, or the page that asks."""
        if not action.asks:
            return {}
        posted = request.POST if answered else None
        reason = ReasonForm(posted)
        form = action.form(posted, request.FILES if answered else None) if action.form else None
        if answered and reason.is_valid() and (form is None or form.is_valid()):
            if reason.cleaned_data["reason"]:
                audit.because(reason.cleaned_data["reason"])
            return form.cleaned_data if form else {}
        context = {
            **self.admin_site.each_context(request),
            "title": action.title,
            "opts": self.opts,
            "action": action,
            "action_name": request.POST.get("action", ""),
            "records": records,
            "forms": [each for each in (form, reason) if each is not None],
            "multipart": form is not None and form.is_multipart(),
            "media": self.media + (form.media if form else forms.Media()),
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "confirmed_name": CONFIRMED,
            "back": self._place("change", records[0].pk) if len(records) == 1 else self._place("changelist"),
        }
        return TemplateResponse(request, "admin/record_action.html", context)

    def run_action(self, request: HttpRequest, action: RecordAction, records: list[Any], data: dict[str, Any]) -> None:
        """Run the action on each record, and tell what was done and what was refused."""
        done, refused = [], []
        for record in records:
            if not self.may_act(request, action, record):
                refused.append((record, "You may only look at it."))
            elif message := attempt(action.run, request, record, **data):
                refused.append((record, message))
            else:
                done.append(record)
        if done:
            what = str(done[0]) if len(done) == 1 else f"{len(done)} {self.opts.verbose_name_plural}"
            self.message_user(request, f"{action.title}: {what}.", messages.SUCCESS)
        for record, message in refused[:SHOWN_REFUSALS]:
            self.message_user(request, f"{record}: {message}", messages.ERROR)
        if len(refused) > SHOWN_REFUSALS:
            self.message_user(request, f"{len(refused) - SHOWN_REFUSALS} more were refused.", messages.ERROR)
