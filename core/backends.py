"""Logging in: by email, and never unnoticed."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from core import audit
from core.models import User


class EmailBackend(ModelBackend):
    """Django's backend, which records each login and each failure in the audit log."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the active user with this email and password, or None."""
        email = username or kwargs.get(User.USERNAME_FIELD) or ""
        if "\0" in email:
            return None
        user = super().authenticate(request, username=username, password=password, **kwargs)
        known = {"user_id": user.pk, "resource_id": user.pk} if isinstance(user, User) else {}
        audit.record(
            "login.succeed" if user else "login.fail",
            resource_type="user",
            success=user is not None,
            user_email=email[:254],
            error_message="" if user else "Unknown email or wrong password, or the user is inactive.",
            **known,
        )
        return user
