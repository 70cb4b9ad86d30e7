"""Pages that draw the figures of one organization, which a form asks for."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from agents.models import SpanStatistic
from core.admin.tenancy import reach_of
from core.admin.widgets import RecordSelect
from core.models import Organization


class OrganizationForm(forms.Form):
    """Whose figures are drawn. What else is asked, subclasses add."""

    def __init__(self, *args: Any, organizations: Any, site: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = list(self.fields)
        self.fields["organization"] = forms.ModelChoiceField(
            queryset=organizations, widget=RecordSelect(SpanStatistic._meta.get_field("organization"), site)
        )
        self.order_fields(["organization", *own])


class DrawnPage(admin.ModelAdmin):
    """The part of a model's admin that serves such a page; its template is named as it, beside the model's others.

    Attributes:
        drawn_page: the page's name, in its address too.
        drawn_form: what it is asked.
    """

    drawn_page: ClassVar[str]
    drawn_form: ClassVar[type[OrganizationForm]]

    def get_urls(self) -> list[URLPattern]:
        """Return the kit's addresses and that of the page."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_{self.drawn_page}"
        page = path(f"{self.drawn_page}/", self.admin_site.admin_view(self.drawn_view), name=name)
        return [page, *super().get_urls()]

    def drawn_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form and, where it asks for something that there is, the figures."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.GET.copy()
        organizations = reach_of(request).root(Organization.objects.all())
        usual = {name: field.initial for name, field in self.drawn_form.base_fields.items() if field.initial}
        if "organization" not in asked:
            usual |= self.unprompted(request, organizations)
        for name, value in usual.items():
            asked.setdefault(name, value)
        form = self.drawn_form(asked, organizations=organizations, site=self.admin_site)
        context = {
            **self.admin_site.each_context(request),
            "title": self.drawn_page.capitalize(),
            "opts": self.opts,
            "media": self.media + form.media,
            "form": form,
            **(self.drawn(request, form.cleaned_data) if form.is_valid() else {}),
        }
        template = f"admin/{self.opts.app_label}/{self.opts.model_name}/{self.drawn_page}.html"
        return TemplateResponse(request, template, context)

    def unprompted(self, request: HttpRequest, organizations: Any) -> dict[str, str]:
        """Return what is asked where nobody said of which of the ``organizations``."""
        return {}

    def drawn(self, request: HttpRequest, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what the template draws, of what the form asks."""
        return {}
