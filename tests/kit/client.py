"""A test client that speaks JSON, with a session or with an API key."""

import json
from typing import Any

from django.test import Client

ORDINARY_WAY = {"Cookie": "any=one"}  # headers with which a request doesn't go the short way


class ApiClient(Client):
    """Django's client, whose bodies are JSON unless told otherwise, and which may carry an API key.

    ``key`` is the key's text. An exception in a view fails the test; a test about 500 answers sets
    ``raise_request_exception`` to False.
    """

    def __init__(self, *, key: str | None = None, headers: dict[str, str] | None = None) -> None:
        credentials = {"Authorization": f"Bearer {key}"} if key else {}
        super().__init__(headers={"Accept": "*/*", **credentials, **(headers or {})})

    def post(self, path: str, data: Any = None, content_type: str = "application/json", **extra: Any) -> Any:
        """Send a POST request; ``data`` becomes JSON."""
        return super().post(path, data, content_type, **extra)

    def put(self, path: str, data: Any = "", content_type: str = "application/json", **extra: Any) -> Any:
        """Send a PUT request; ``data`` becomes JSON."""
        return super().put(path, data, content_type, **extra)

    def patch(self, path: str, data: Any = "", content_type: str = "application/json", **extra: Any) -> Any:
        """Send a PATCH request; ``data`` becomes JSON."""
        return super().patch(path, data, content_type, **extra)

    def delete(self, path: str, data: Any = "", content_type: str = "application/json", **extra: Any) -> Any:
        """Send a DELETE request; ``data`` becomes JSON."""
        return super().delete(path, data, content_type, **extra)

    def send(self, method: str, path: str, data: Any = None) -> Any:
        """Send a request of any method; ``data`` becomes JSON, and None no body."""
        return self.generic(method, path, "" if data is None else json.dumps(data), "application/json")
