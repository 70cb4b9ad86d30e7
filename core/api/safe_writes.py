"""Writes that a client can rely on: over no change it hasn't seen (If-Match), and once (Idempotency-Key)."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.db import transaction
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.entity_tags import PreconditionFailed, names_version
from core.api.idempotency import answer_once

Handler = Callable[..., Response]


class SafeWritesMixin:
    """What a viewset does before it writes, where the request's headers ask for it.

    Both run the viewset's own handler inside their transaction, so that what was checked still holds when it writes.
    ``unguarded_actions`` do without: those that ask other machines, which no transaction waits for.
    """

    unguarded_actions: ClassVar[tuple[str, ...]] = ()

    def initial(self: Any, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let the request in, or not; and put in front of the handler what its headers ask for."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        if request.method in SAFE_METHODS or self.action in self.unguarded_actions:
            return
        name = str(request.method).lower()
        handler: Handler = getattr(self, name, self.http_method_not_allowed)
        if tags := request.META.get("HTTP_IF_MATCH"):
            if "pk" in kwargs:
                handler = self.only_if(tags, handler)
            elif name != "post" and name in self.action_map:
                raise PreconditionFailed("Of many records at once there is no version: leave If-Match out.")
        if name == "post" and (key := request.META.get("HTTP_IDEMPOTENCY_KEY")) is not None:
            handler = answer_once(key, handler, self.principal, secret=self.action in self.secret_actions)
        setattr(self, name, handler)

    def only_if(self: Any, tags: str, handler: Handler) -> Handler:
        """Return the handler, which runs only on the version of the record that ``tags`` name, and locks it first."""

        def guarded(request: Request, *args: Any, **kwargs: Any) -> Response:
            with transaction.atomic():
                version = getattr(self.get_for_update(kwargs["pk"]), "row_version", None)
                if not names_version(tags, version):
                    raise PreconditionFailed
                return handler(request, *args, **kwargs)

        return guarded
