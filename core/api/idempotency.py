"""``Idempotency-Key``: a request that is sent again, because its answer was lost, is done once.

The key is written in the transaction of what it stands for: either both are there, or neither. A request in flight
holds an advisory lock until its transaction ends, however it ends, so that a crash leaves nothing to clear up.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson
from django.db import connection, transaction
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.authentication import Principal
from core.api.renderers import JSONRenderer, RenderedJSON
from core.api.uploads import ReceivedFile
from core.models.idempotency import KEY_LENGTH, IdempotencyKey

HEADER = "Idempotency-Key"
KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_LENGTH}}}")
REPLAYED = "Idempotency-Replayed"


class InFlight(APIException):
    """409: a request with the key is being done just now."""

    status_code = 409
    default_code = "in_flight"
    default_detail = "A request with this Idempotency-Key is being done just now. Ask again for its answer."
    extra_headers = {"Retry-After": "1"}


class KeyReused(APIException):
    """422: the key stands for another request."""

    status_code = 422
    default_code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key was used for another request: another address or body."


def answer_once(
    text: str, handler: Callable[..., Response], principal: Principal, *, secret: bool
) -> Callable[..., Response]:
    """Return the handler, which runs once for the key ``text`` of the principal; then its answer is given again.

    An answer that is ``secret`` can't be given again, since it isn't kept: ValidationError.
    """
    if secret:
        raise ValidationError({HEADER: "What this answers is shown once, and can't be given again."}, "invalid")
    key = text.strip().strip('"')
    if not KEY.fullmatch(key):
        raise ValidationError({HEADER: f"Give 1 to {KEY_LENGTH} visible ASCII characters."}, "invalid")

    def once(request: Request, *args: Any, **kwargs: Any) -> Response:
        digest = _digest(request)
        whose = {"organization_id": principal.organization_id, "principal": principal.api_key_id or principal.user_id}
        with transaction.atomic():
            _lock(*whose.values(), key)
            kept = IdempotencyKey.objects.filter(**whose, key=key)
            kept.outdated().delete()
            if found := kept.first():
                return _replay(found, digest)
            response = handler(request, *args, **kwargs)
            assert response.status_code < 300, "A handler raises what it refuses."
            IdempotencyKey.objects.create(
                **whose,
                key=key,
                digest=digest,
                status=response.status_code,
                location=response.headers.get("Location", ""),
                body=JSONRenderer().render(response.data),
            )
        return response

    return once


def _digest(request: Request) -> bytes:
    """Return the digest of what the request asks."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    if request.content_type.partition(";")[0].strip() == "multipart/form-data":
        # Fields and files, which are received here: of the body, the boundaries differ each time.
        form: Any = request.data
        parts = [(name, [_told(value) for value in values]) for name, values in form.lists()]
        digest.update(orjson.dumps(sorted(parts)))
    else:
        digest.update(request._request.body)  # what REST framework's own wrapper would read as a stream
    return digest.digest()


def _told(value: Any) -> str | list[str | None]:
    """Return what a digest holds of a part of a form."""
    return [value.name, value.content_type, value.sha256] if isinstance(value, ReceivedFile) else value


def _lock(*names: Any) -> None:
    """Hold the key until the transaction ends; raise InFlight where another request holds it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", ["/".join(map(str, ("idempotency", *names)))]
        )
        if not cursor.fetchone()[0]:
            raise InFlight


def _replay(found: IdempotencyKey, digest: bytes) -> Response:
    if bytes(found.digest) != digest:
        raise KeyReused
    headers = {REPLAYED: "true"} | ({"Location": found.location} if found.location else {})
    body = bytes(found.body)
    return Response(RenderedJSON(body) if body else None, found.status, headers=headers)
