"""OpenAPI: what drf-spectacular can't see for itself."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

FIELDS_PARAMETER = {
    "name": "fields",
    "in": "query",
    "required": False,
    "description": "Answer only these fields, joined by commas.",
    "schema": {"type": "string"},
}
ERRORS = {
    "400": "A parameter or the body breaks a rule.",
    "401": "No credentials, or none that are good.",
    "403": "The key's scopes or the user's role don't allow this.",
    "404": "No such record in your organization.",
    "405": "This address doesn't take this method.",
    "406": "None of the accepted content types can be had.",
    "409": "The present state of the records refuses this.",
    "415": "The body's content type isn't taken.",
    "503": "The database is out of reach; try again after Retry-After seconds.",
}
BODY_ONLY = {"409", "415"}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "For invalid bodies and parameters: each field and rule.",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {
                    "field": {"type": ["string", "null"]},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


class MusterSchema(AutoSchema):
    """Adds problem answers and the parameters of every read; answers are those of ``read_serializer_class``."""

    def get_response_serializers(self) -> Any:
        """Return the serializer of answers."""
        view: Any = self.view
        return getattr(view, "read_serializer_class", None) or view.serializer_class

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the operation, with the errors that any operation may end in."""
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        if self.method == "GET":
            operation["parameters"] = [*operation.get("parameters", []), FIELDS_PARAMETER]
        for status, description in ERRORS.items():
            if self.method == "GET" and status in BODY_ONLY:
                continue
            operation["responses"].setdefault(
                status,
                {
                    "description": description,
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                },
            )
        return operation


def add_problem(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the component that every error answer refers to."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    return result


class KeyAuthenticationScheme(OpenApiAuthenticationExtension):
    """Describes API keys."""

    target_class = "core.api.authentication.KeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the security scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "mst_<prefix>_<secret>"}


class SessionAuthenticationScheme(OpenApiAuthenticationExtension):
    """Describes the admin's session."""

    target_class = "core.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the security scheme."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
