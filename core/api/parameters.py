"""How query parameters are described in OpenAPI."""

from typing import Any


def words_parameter(name: str, description: str, words: list[str]) -> dict[str, Any]:
    """Describe a query parameter that takes some of ``words``, joined by commas."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "array", "items": {"type": "string", "enum": words}},
        "style": "form",
        "explode": False,
    }
