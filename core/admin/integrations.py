"""Integrations, and what services told us. Credentials are typed in and never shown."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_variables

from core.admin.actions import RecordAction
from core.admin.base import ReadOnlyAdmin, RecordAdmin
from core.admin.filters import WholeTextFilter
from core.admin.forms import RecordForm, pretty_json
from core.admin.tenancy import Reach
from core.encryption import refuse_encrypted
from core.errors import ConflictError
from core.integrations.providers import RECEIVES, SETTINGS, Provider
from core.models import Integration, IntegrationEvent
from core.models.integrations import IntegrationStatus
from core.services import integrations

CONFIG_HELP = "; ".join(
    f"{Provider(provider).label}: {', '.join(setting.name for setting in settings)}"
    for provider, settings in SETTINGS.items()
)


class IntegrationForm(RecordForm):
    """What an integration is made of. An empty credential stays as it is."""

    token = forms.CharField(
        required=False,
        validators=[refuse_encrypted],
        max_length=1000,
        widget=forms.PasswordInput({"autocomplete": "off", "size": 60}),
        help_text="A token of GitHub, Slack (a bot's) or Jira, or a secret key of Stripe. Empty: stays as it is.",
    )
    webhook_secret = forms.CharField(
        required=False,
        validators=[refuse_encrypted],
        max_length=200,
        widget=forms.PasswordInput({"autocomplete": "off", "size": 60}),
        help_text="What GitHub or Stripe signs its messages with. Empty: stays as it is.",
    )

    class Meta:
        help_texts = {"config": f"A JSON object. {CONFIG_HELP}."}

    def clean_token(self) -> str:
        """Return what was typed, or what there is."""
        return self.cleaned_data["token"] or self.instance.token

    def clean_webhook_secret(self) -> str:
        """Return what was typed, or what there is."""
        return self.cleaned_data["webhook_secret"] or self.instance.webhook_secret


@admin.register(Integration)
class IntegrationAdmin(RecordAdmin):
    """Integrations. “Check” asks the service at once, outside of any transaction."""

    description = "Services of others: GitHub, Slack, Jira, Stripe, or your own."
    form = IntegrationForm
    list_display = ("name", "organization", "provider", "status", "last_checked_at", "last_synced_at", "created_at")
    list_filter = ("organization", "provider", "status", "last_checked_at", "created_at")
    search_fields = ("^name",)
    fieldsets = (
        (None, {"fields": ("provider", "name", "config", "token", "webhook_secret")}),
        ("State", {"fields": ("status", "last_checked_at", "last_synced_at", "last_error", "address")}),
    )
    readonly_fields = ("status", "last_checked_at", "last_synced_at", "last_error", "address")
    related_lists = (("core.IntegrationEvent", "integration__id__exact"),)
    record_actions = (
        RecordAction("check", lambda request, integration: integrations.check(integration=integration)),
        RecordAction(
            "disable",
            lambda request, integration: integrations.disable(integration=integration),
            confirm="Switch it off? It is told nothing then, and what it tells us is refused.",
        ),
        RecordAction("enable", lambda request, integration: integrations.enable(integration=integration)),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the provider besides, once it is chosen."""
        return [*super().get_readonly_fields(request, obj), *(["provider"] if obj else [])]

    @admin.display(description="Address for its messages")
    def address(self, integration: Integration) -> str:
        """Return where the service is to send its messages."""
        if integration.provider not in RECEIVES:
            return "It sends none."
        path = reverse("integration-receive", args=(integration.pk,))
        return path if integration.has_webhook_secret else f"{path}, once there is a webhook secret"

    @sensitive_variables("form")
    def save_model(self, request: HttpRequest, obj: Integration, form: Any, change: bool) -> None:
        """Save a new integration, or what was changed of one."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        changes = {name: form.cleaned_data[name] for name in ("name", "config", "token", "webhook_secret")}
        stored = Integration.objects.get(pk=obj.pk)
        changes = {name: value for name, value in changes.items() if value != getattr(stored, name)}
        obj.__dict__.update(integrations.change(integration=stored, **changes).__dict__)

    def run_action(self, request: HttpRequest, action: RecordAction, records: list[Any], data: dict[str, Any]) -> None:
        """Run the action; a check without a transaction around it, and with its answer as the message."""
        if action.name != "check":
            super().run_action(request, action, records, data)
            return
        for record in records:
            if not self.may_act(request, action, record):
                self.message_user(request, f"{record}: You may only look at it.", messages.ERROR)
                continue
            try:
                checked = integrations.check(integration=record)
            except ConflictError as error:
                self.message_user(request, f"{record}: {error}", messages.ERROR)
                continue
            if checked.last_error:
                self.message_user(request, f"{checked} doesn't work. {checked.last_error}", messages.ERROR)
            else:
                self.message_user(request, f"{checked} works.", messages.SUCCESS)


@admin.register(IntegrationEvent)
class IntegrationEventAdmin(ReadOnlyAdmin):
    """What services told us."""

    description = "What GitHub and Stripe told us, and what it led to."
    list_display = ("event_type", "integration", "status", "subject", "outcome", "occurred_at", "created_at")
    list_filter = ("integration", "status", ("event_type", WholeTextFilter), "created_at")
    search_fields = ("=delivery_id", "=subject")
    fields = (
        "integration",
        "delivery_id",
        "event_type",
        "subject",
        "occurred_at",
        "status",
        "outcome",
        "handled_at",
        "content",
    )
    record_actions = (
        RecordAction(
            "retry",
            lambda request, event: integrations.retry(event=event),
            permission="view",
            available=lambda event: event.status in ("pending", "failed"),
        ),
    )

    @admin.display(description="Payload")
    def content(self, event: IntegrationEvent) -> str | SafeString:
        """Return the payload."""
        return pretty_json(event.payload)


def failing(reach: Reach) -> list[Integration]:
    """Return the integrations in reach that fail, for the index page to tell."""
    rows = Integration.objects.filter(status=IntegrationStatus.FAILING).select_related("organization")
    return list(reach.root(rows.defer("token", "webhook_secret")).order_by("-updated_at")[:20])
