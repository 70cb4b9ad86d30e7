"""Logging in: by email, never unnoticed, and not again and again."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from core import audit
from core.limits import logins
from core.middleware import client_address
from core.models import User


class EmailBackend(ModelBackend):
    """Django's backend, which records each login and each failure in the audit log, and locks after too many."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the active user with this email and password, or None.

        PermissionDenied where none is taken for a while; then ``request.login_wait`` says how long.
        """
        email = username or kwargs.get(User.USERNAME_FIELD) or ""
        if "\0" in email:
            return None
        try:
            attempt = logins.begin(email, client_address(request) if request else None)
        except logins.LoginLockedError as error:
            _record(email, None, str(error), locked=True)
            if request is not None:
                request.login_wait = error.wait  # type: ignore[attr-defined]
            raise PermissionDenied(str(error)) from error
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if isinstance(user, User):
            logins.succeed(attempt)
            _record(email, user)
            return user
        _record(email, None, "Unknown email or wrong password, or the user is inactive.")
        logins.fail(attempt)
        return None


def _record(email: str, user: User | None, error: str = "", **details: Any) -> None:
    known = {"user_id": user.pk, "resource_id": user.pk} if user else {}
    audit.record(
        "login.succeed" if user else "login.fail",
        resource_type="user",
        success=user is not None,
        user_email=email[:254],
        error_message=error,
        details=details,
        **known,
    )
