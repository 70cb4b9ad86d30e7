"""What a principal may do: the key's scope and the member's role, both of which the view states."""

from typing import Any

from rest_framework import exceptions, permissions
from rest_framework.request import Request

from core.api.authentication import Principal
from core.models import Role


class ScopeAndRole(permissions.BasePermission):
    """Allows what the key's scopes and the user's role both allow.

    A view states ``scope`` (``catalog`` needs ``catalog:read`` or ``catalog:write``), ``read_role`` and
    ``write_role``; ``action_roles`` and ``action_scopes`` set them apart for single actions.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the request may go on; raise PermissionDenied that names what is missing."""
        principal = request.auth
        if not isinstance(principal, Principal):
            return False
        scope, role = requirements(view, request.method)
        if not principal.has_scope(scope):
            raise exceptions.PermissionDenied(f"This key lacks the scope “{scope}”.", code="missing_scope")
        if not principal.role.includes(role):
            raise exceptions.PermissionDenied(
                f"This needs the role “{role.value}” or a higher one; yours is “{principal.role.value}”.",
                code="missing_role",
            )
        return True


def requirements(view: Any, method: str | None) -> tuple[str, Role]:
    """Return the scope and the role that the view's action needs."""
    reads = method in permissions.SAFE_METHODS
    scope = view.action_scopes.get(view.action) or f"{view.scope}:{'read' if reads else 'write'}"
    return scope, view.action_roles.get(view.action) or (view.read_role if reads else view.write_role)
