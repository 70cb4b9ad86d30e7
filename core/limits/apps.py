"""The limits app."""

from django.apps import AppConfig


class LimitsConfig(AppConfig):
    """Rate limits, and locks of logins."""

    name = "core.limits"
    verbose_name = "Limits"
