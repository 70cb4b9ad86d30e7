"""Errors as problem details (RFC 9457)."""

import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from psycopg.errors import QueryCanceled
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error
from rest_framework.views import set_rollback

from core import audit
from core.errors import ConflictError
from core.stores import is_missing, is_of_store, said_by
from core.violations import explain

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT = 400, 401, 403, 404, 409


def problem(
    request: HttpRequest, status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the body of a problem answer. ``code`` names the kind of problem for programs."""
    body: dict[str, Any] = {
        "type": f"/api/problems/{code}/",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": getattr(request, "request_id", ""),
    }
    return body | {"errors": errors} if errors is not None else body


def problem_response(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    """Return a problem answer for views outside of REST framework."""
    return JsonResponse(problem(request, status, code, detail), status=status, content_type=MEDIA_TYPE)


OUT_OF_REACH = (OperationalError, InterfaceError, PoolTimeout)


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer 503, outside of REST framework, when the database was lost: a page where pages are, else a problem."""
    status, detail = Unavailable.status_code, str(_outage(error).detail)
    if request.path_info.startswith("/admin/"):
        response = HttpResponse(
            render_to_string("503.html", {"detail": detail, "request_id": getattr(request, "request_id", "")}),
            status=status,
        )
    else:
        response = problem_response(request, status, Unavailable.default_code, detail)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what a view raised into a problem answer. None, for what nobody expected, ends as a 500."""
    request = context["request"]
    translated = translate(error)
    if translated is None:
        return None
    set_rollback()
    status = translated.status_code
    headers = dict(getattr(translated, "extra_headers", {}))
    if challenge := getattr(translated, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(translated, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    errors = _errors_of(translated)
    refused = isinstance(error, DataError) or isinstance(error.__cause__, DataError)
    if refused and request.method not in SAFE_METHODS:
        errors = _unstorable(request.data) or errors
    code, detail = _code_and_detail(translated, errors)
    if status == FORBIDDEN or (status == UNAUTHORIZED and isinstance(translated, exceptions.AuthenticationFailed)):
        audit.record(
            "request.refuse",
            success=False,
            error_message=detail,
            details={"method": request.method, "path": request.path, "status": status, "code": code},
        )
    body = problem(request, status, code, detail, errors) | getattr(translated, "extension", {})
    return Response(body, status=status, headers=headers, content_type=MEDIA_TYPE)


class Conflict(exceptions.APIException):
    """409: the present state of the records refuses the request."""

    status_code = CONFLICT
    default_code = "conflict"


class PayloadTooLarge(exceptions.APIException):
    """413: the body is larger than this takes."""

    status_code = 413
    default_code = "payload_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"This takes at most {limit} bytes.")


class Unavailable(exceptions.APIException):
    """503: the database, or the store of files, is out of reach, and the request may be tried again."""

    status_code = 503
    default_code = "unavailable"
    default_detail = "The database is out of reach. Try again in a moment."
    extra_headers = {"Retry-After": str(RETRY_SECONDS)}


def translate(error: Exception) -> exceptions.APIException | None:
    """Return the API exception that says what ``error`` means to a client; None of one that nobody expected."""
    match error:
        case exceptions.APIException():
            return error
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied(str(error) or None)
        case ConflictError():
            return Conflict(str(error), code=error.code)
        case DjangoValidationError():
            return exceptions.ValidationError(as_serializer_error(error))
        case ProtectedError():
            return Conflict("Other records still refer to this one.", code="still_referred_to")
        case RequestDataTooBig():
            return PayloadTooLarge(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        case IntegrityError() | DataError():
            return _refused_by_database(error)
        case OperationalError() | InterfaceError() | PoolTimeout():
            return _outage(error)
    if is_of_store(error) and not is_missing(error):  # what is missing won't come by trying again
        logger.warning("The store of files: %s", said_by(error))
        return Unavailable("The store of files can't be used. Try again in a moment.")
    return None


def _outage(error: Exception) -> Unavailable:
    """Log what became of the database, and return what clients are told of it."""
    logger.warning("The database is out of reach: %s", type(error.__cause__ or error).__name__)
    if isinstance(error.__cause__, QueryCanceled):
        return Unavailable("The database took too long over this. Ask for less, or try again.")
    return Unavailable()


def _refused_by_database(error: DatabaseError) -> exceptions.APIException | None:
    violation = explain(error)
    if violation is None:
        return None
    return exceptions.ValidationError({violation.field or "non_field_errors": [violation.message]}, violation.code)


def _errors_of(error: exceptions.APIException) -> list[dict[str, Any]] | None:
    """Return the errors of fields, or of ``positions`` in an array (see core.api.bulk), that the error consists of."""
    if isinstance(error, exceptions.ValidationError):
        return list(_flatten(error.detail))
    positions: list[str] | None = getattr(error, "positions", None)
    if positions is None:
        return None
    return [{"field": where, "code": error.get_codes(), "detail": str(error.detail)} for where in positions]


def _unstorable(body: Any) -> list[dict[str, Any]]:
    """Return an error for each text of a body that PostgreSQL can't store: of JSON it says that, but not where."""
    errors = []
    waiting = [("", body)]
    for path, value in waiting:  # which grows, as JSON may be deeper than functions can call themselves
        texts = [value] if isinstance(value, str) else []
        if isinstance(value, dict):
            waiting += [(f"{path}.{key}".lstrip("."), each) for key, each in value.items() if "\0" not in key]
            texts = list(value)
        elif isinstance(value, list):
            waiting += [(f"{path}.{index}".lstrip("."), each) for index, each in enumerate(value)]
        if any("\0" in text for text in texts):
            errors.append({"field": path or None, "code": "invalid", "detail": "Text can't hold null characters."})
    return errors


def _code_and_detail(error: exceptions.APIException, errors: list[dict[str, Any]] | None) -> tuple[str, str]:
    codes = error.get_codes()
    code, detail = codes if isinstance(codes, str) else "invalid", str(error.detail)
    if errors is None:
        return code, detail
    first = errors[0]
    where = f"{first['field']}: " if first["field"] else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return code, f"{where}{first['detail']}{more}"


def _flatten(detail: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """Yield each error of a nested validation error, its field written as ``lines.0.quantity``."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _flatten(value, path if key == "non_field_errors" else f"{path}.{key}".lstrip("."))
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            nested = isinstance(value, dict | list)
            yield from _flatten(value, f"{path}.{index}".lstrip(".") if nested else path)
    else:
        yield {"field": path or None, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None, rest: str = "") -> HttpResponse:
    """Answer an address under ``/api/`` that leads nowhere."""
    return problem_response(request, NOT_FOUND, "not_found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer when the program failed; the request id leads to the log line."""
    return problem_response(request, 500, "error", "Something went wrong here. It has been logged.")


KINDS = {
    "invalid": "The request's body or parameters break a rule; “errors” names each field and rule.",
    "parse_error": "The body can't be read as the content type it is said to have.",
    "not_authenticated": "The request carries no credentials. Send “Authorization: Bearer <key>”.",
    "invalid_key": "The API key is unknown, revoked or expired, or its user may no longer act here.",
    "missing_scope": "The API key was not made for this; its scopes are fixed when it is made.",
    "missing_role": "The user's role in the organization doesn't allow this.",
    "permission_denied": "The request is understood and refused.",
    "not_found": "There is no such record in your organization, or no such address.",
    "method_not_allowed": "This address doesn't take this method.",
    "not_acceptable": "None of the content types that the client accepts can be had here.",
    "length_required": "The request says no Content-Length; a body of unknown length isn't taken.",
    "payload_too_large": "The body is larger than this takes; the detail names the limit.",
    "broken_off": "The export broke off, and rows are missing; ask again. It is the last line of JSON lines.",
    "in_flight": "A request with the same Idempotency-Key is being done just now; ask again for its answer.",
    "idempotency_key_reused": "The Idempotency-Key was used for another request: another address or body.",
    "precondition_failed": "What is there isn't what If-Match names: it has changed since it was read.",
    "range_not_satisfiable": "The Range begins behind the content's end; Content-Range names the size.",
    "unsupported_media_type": "The body's content type isn't taken here; send application/json.",
    "bad_signature": "The message isn't signed with the integration's secret, or was signed too long ago.",
    "changed_meanwhile": "The integration was changed while its service was asked; check it again.",
    "conflict": "The present state of the records refuses the request.",
    "already_a_member": "The person with this email is a member of the organization; change the membership instead.",
    "transition_conflict": "The record's status doesn't allow this move; the detail names both.",
    "still_referred_to": "Other records still refer to this one, so it can't be deleted.",
    "throttled": "The plan's requests for this minute are used up; “violated-policies” says whose. See Retry-After.",
    "unavailable": "The database is out of reach; try again after Retry-After seconds. A write that was under way may"
    " have been done: with an Idempotency-Key, trying again does it once.",
    "error": "The program failed. The request id leads to what was logged.",
}


@require_safe
def kind(request: HttpRequest, code: str) -> HttpResponse:
    """Describe a kind of problem: what its ``type`` leads to."""
    if code not in KINDS:
        return not_found(request)
    return JsonResponse({"type": request.path, "description": KINDS[code]})
