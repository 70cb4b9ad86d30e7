"""What pages that draw an organization's figures are asked."""

from typing import Any

from django import forms

from agents.models import SpanStatistic
from core.admin.widgets import RecordSelect


class OrganizationForm(forms.Form):
    """Whose figures are drawn. What else is asked, subclasses add."""

    def __init__(self, *args: Any, organizations: Any, site: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = list(self.fields)
        self.fields["organization"] = forms.ModelChoiceField(
            queryset=organizations, widget=RecordSelect(SpanStatistic._meta.get_field("organization"), site)
        )
        self.order_fields(["organization", *own])
