"""OpenAPI: what drf-spectacular can't see for itself."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema

from core.api.bulk import BULK_LIMIT
from core.api.exports import CSVRenderer, NDJSONRenderer
from core.api.parameters import words_parameter
from core.api.viewsets import CreateMixin

ERRORS = {
    "400": "A parameter or the body breaks a rule.",
    "401": "No credentials, or none that are good.",
    "403": "The key's scopes or the user's role don't allow this.",
    "404": "No such record in your organization.",
    "405": "This address doesn't take this method.",
    "406": "None of the accepted content types can be had.",
    "409": "The present state of the records refuses this.",
    "415": "The body's content type isn't taken.",
    "429": "The plan's requests for this minute are used up; try again after Retry-After seconds.",
    "503": "The database is out of reach; try again after Retry-After seconds.",
}
BODY_ONLY = {"409", "415"}
PLAIN_ACTIONS = {"list", "retrieve", "create", "partial_update", "destroy"}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "violated-policies": {
            "type": "array",
            "description": "For exceeded rate limits: whose.",
            "items": {"type": "string", "enum": ["key", "user", "organization"]},
        },
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


FORMAT = {
    "name": "format",
    "in": "query",
    "required": False,
    "description": "Answer all rows as a file, and not a page; without “limit”, “cursor” and “count”.",
    "schema": {"type": "string", "enum": ["json", "csv", "ndjson"], "default": "json"},
}
AN_ID = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "format": "uuid"}}}


class MusterSchema(AutoSchema):
    """Adds problem answers and the parameters of every read; answers are those of ``read_serializer_class``."""

    def get_response_serializers(self) -> Any:
        """Return the serializer of answers."""
        view: Any = self.view
        return getattr(view, "read_serializer_class", None) or view.serializer_class

    def get_operation_id(self) -> str:
        """Return the operation's name: ``orders_list``, ``orders_ship``."""
        name = super().get_operation_id()
        if self._is_bulk():
            return name.replace("_partial_update", "_bulk_update").replace("_destroy", "_bulk_destroy")
        return name if getattr(self.view, "action", "list") in PLAIN_ACTIONS else name.rpartition("_")[0]

    def _is_bulk(self) -> bool:
        """Tell whether the operation changes or deletes records that its body names."""
        actions = {"partial_update", "destroy"}
        return getattr(self.view, "action", None) in actions and not getattr(self.view, "detail", True)

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the operation, with the errors that any operation may end in."""
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        if getattr(self.view, "action", None) in {"list", "retrieve"}:
            names = list(self.get_response_serializers()().fields)
            description = "Answer only these fields, joined by commas."
            operation["parameters"] = [*operation.get("parameters", []), words_parameter("fields", description, names)]
        if getattr(self.view, "action", None) == "list":
            operation["parameters"].append(FORMAT)
            for media_type in (CSVRenderer.media_type, NDJSONRenderer.media_type):
                operation["responses"]["200"]["content"][media_type] = {"schema": {"type": "string"}}
        if self._is_bulk():
            _make_bulk(operation)
        elif (
            getattr(type(self.view), "create", None) is CreateMixin.create
            and getattr(self.view, "action", None) == "create"
        ):
            _allow_many(operation)
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


def _array(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "maxItems": BULK_LIMIT, "items": item}


def _make_bulk(operation: dict[str, Any]) -> None:
    """Say that the body, and the answer if there is one, are arrays."""
    body = operation.setdefault("requestBody", {"content": {"application/json": {"schema": {}}}})
    body["required"] = True
    for content in body["content"].values():
        changes = content["schema"]
        content["schema"] = _array({"allOf": [AN_ID, changes]} if changes else AN_ID)
    for content in operation["responses"].get("200", {}).get("content", {}).values():
        content["schema"] = _array(content["schema"])
    operation["description"] = "Of up to 1,000 records: all are done, or none. Errors name the position: `3.id`."


def _allow_many(operation: dict[str, Any]) -> None:
    """Say that the body may be an array of what it else is, and that the answer is one then."""
    for part in (operation["requestBody"], operation["responses"]["201"]):
        for content in part["content"].values():
            content["schema"] = {"oneOf": [content["schema"], _array(content["schema"])]}


def add_problem(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the component that every error answer refers to."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    return result


def allow_narrowed_rows(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Say that a row may lack fields where ``?fields=`` can ask for some only."""
    components = result["components"]["schemas"]
    for path in result["paths"].values():
        operation = path.get("get", {})
        if any(parameter["name"] == "fields" for parameter in operation.get("parameters", [])):
            answer = operation["responses"]["200"]["content"]["application/json"]
            name = answer["schema"]["$ref"].rpartition("/")[2]
            page = components[name]["properties"].get("results") if name.startswith("Paginated") else None
            holder, key = (page, "items") if page else (answer, "schema")
            if "$ref" in holder[key]:
                holder[key] = _whole_or_narrowed(components, holder[key])
    return result


def _whole_or_narrowed(components: dict[str, Any], whole: dict[str, str]) -> dict[str, Any]:
    """Return the schema of a row with all fields or with some, and add the component of the latter."""
    name = whole["$ref"].rpartition("/")[2]
    narrowed = {key: value for key, value in components[name].items() if key != "required"}
    components[f"{name}Fields"] = narrowed | {"description": "The fields that “?fields=” asks for."}
    return {"anyOf": [whole, {"$ref": f"#/components/schemas/{name}Fields"}]}


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


class AnyJSON(OpenApiSerializerFieldExtension):
    """Describes free JSON. drf-spectacular's own "one of anything or null" is refused by null, which is both."""

    target_class = "rest_framework.serializers.JSONField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Return the types of JSON; where the field takes null, drf-spectacular adds it."""
        return {"type": ["object", "array", "string", "number", "boolean"]}
