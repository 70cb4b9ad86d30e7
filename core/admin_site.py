"""The admin site: Django's, with our name, our autocomplete, and our account of what the user did last."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from core.limits.waits import told


class LoginForm(AdminAuthenticationForm):
    """Django's form, which calls the login what it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Email"

    def get_invalid_login_error(self) -> ValidationError:
        """Return what is shown after a failure; of a lock the same, whether or not there is such a user."""
        wait = getattr(self.request, "login_wait", None)
        if wait is None:
            return ValidationError("No staff account has this email and password.", code="invalid_login")
        return ValidationError(f"Too many logins failed. Try again in {told(wait)}.", code="locked")


class MusterAdminSite(AdminSite):
    """The staff console."""

    site_title = "Muster"
    site_header = "Muster"
    index_title = "Records"
    site_url = None
    login_form = LoginForm

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """Return the apps and their records, each with the line that its ModelAdmin describes it by."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            for model in app["models"]:
                model["description"] = getattr(self._registry[model["model"]], "description", "")
        return apps

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the form or log in; 429 where no logins are taken for a while."""
        response = super().login(request, extra_context)
        if wait := getattr(request, "login_wait", None):
            response.status_code = 429
            response["Retry-After"] = str(int(wait.total_seconds()) + 1)
        return response

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the records by app, what the user did last, and which webhooks and integrations don't work."""
        from core.admin.history import recent
        from core.admin.integrations import failing
        from core.admin.tenancy import reach_of
        from core.admin.webhooks import paused

        reach = reach_of(request)
        told = {
            "recent": recent(request, self),
            "paused_webhooks": paused(reach),
            "failing_integrations": failing(reach),
        }
        return super().index(request, {**told, **(extra_context or {})})

    def autocomplete_view(self, request: HttpRequest) -> Any:
        """Answer what an autocomplete offers, without counting."""
        from core.admin.autocomplete import RecordAutocomplete

        return RecordAutocomplete.as_view(admin_site=self)(request)
