"""Who writes: the context that travels with every statement to the audit trigger, and events that are no row change.

The trigger reads the context from the setting ``muster.context``, which lives as long as the transaction. It is
set in the same message as the statement that writes, so it costs no round trip. Writers without a context (a
shell, psql, a fixture) are told by their ``application_name`` and database role.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from psycopg.pq import TransactionStatus
from psycopg.sql import Composable

from core.models import AuditEvent

_WORDS = r"(?:insert|update|delete|merge)\b"
WRITES = re.compile(
    rf"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:{_WORDS}|with\b.*?\b{_WORDS})",  # a search begins with WITH too
    re.IGNORECASE | re.DOTALL,
)
USER_AGENT_LENGTH = 400


@dataclass(frozen=True)
class Context:
    """Who writes, and on what occasion. ``source`` is one word: api, admin, command, job."""

    source: str
    user: UUID | None = None
    email: str = ""
    api_key: UUID | None = None
    organization: UUID | None = None
    request_id: str = ""
    ip_address: str | None = None
    user_agent: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def as_setting(self) -> str:
        """Return the context as the trigger reads it."""
        told = {
            "user": self.user,
            "email": self.email,
            "api_key": self.api_key,
            "request_id": self.request_id,
            "ip_address": self.ip_address,
            "user_agent": self.user_agent,
            "details": {"source": self.source} | self.details,
        }
        return orjson.dumps(told).decode()


class _Scope:
    """A context in force, and whether the present transaction was told of it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.sent = False


_scope: ContextVar[_Scope | None] = ContextVar("muster_audit_scope", default=None)


def current() -> Context | None:
    """Return the context of this request, job or command, if one was given."""
    scope = _scope.get()
    return scope.context if scope else None


@contextmanager
def context(source: str, **fields: Any) -> Iterator[None]:
    """Tell the audit trigger who writes, for all that this thread writes meanwhile. The fields are Context's."""
    outer = _scope.get()
    scope = _Scope(Context(source=source, **fields))
    token = _scope.set(scope)
    try:
        with nullcontext() if outer else connection.execute_wrapper(_send_context):
            yield
    finally:
        _scope.reset(token)
        if scope.sent:
            forget()


def amend(**fields: Any) -> None:
    """Add to the context what became known later, such as the user once authenticated."""
    if scope := _scope.get():
        scope.context = replace(scope.context, **fields)


def because(reason: str) -> None:
    """Add the reason that was given for the change to the events that follow."""
    if scope := _scope.get():
        scope.context = replace(scope.context, details=scope.context.details | {"reason": reason})


def record(event_type: str, *, success: bool = True, **fields: Any) -> AuditEvent:
    """Write an event that is no row change, such as a login that failed. The fields are AuditEvent's."""
    details = fields.pop("details", {})
    known: dict[str, Any] = {"resource_type": event_type.partition(".")[0], "success": success}
    if context := current():
        known |= {
            "user_id": context.user,
            "user_email": context.email,
            "api_key_id": context.api_key,
            "organization_id": context.organization,
            "request_id": context.request_id,
            "ip_address": context.ip_address,
            "user_agent": context.user_agent,
        }
        details = {"source": context.source} | context.details | details
    return AuditEvent.objects.create(event_type=event_type, details=details, **known | fields)


def forget() -> None:
    """Clear what the trigger was told, where the transaction goes on after the context ends."""
    if connection.in_atomic_block and not connection.needs_rollback and not _has_failed():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('muster.context', '', true)")


def _send_context(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    scope, cursor = _scope.get(), context["cursor"]
    if isinstance(sql, Composable):
        sql = sql.as_string(cursor.connection)
    if scope is None or not WRITES.match(sql):
        return execute(sql, params, many, context)
    scope.sent = True
    setting = scope.context.as_setting()
    if many:
        with nullcontext() if connection.in_atomic_block else transaction.atomic():
            cursor.execute("SELECT set_config('muster.context', %s, true)", [setting])
            return execute(sql, params, many, context)
    if params is None:
        sql = sql.replace("%", "%%")
    if isinstance(params, Mapping):
        placeholder, params = "%(muster_context)s", {**params, "muster_context": setting}
    else:
        placeholder, params = "%s", (setting, *(params or ()))
    result = execute(f"SELECT set_config('muster.context', {placeholder}, true); {sql}", params, many, context)
    cursor.nextset()
    return result


def _has_failed() -> bool:
    """Tell whether the transaction can only be rolled back, and the setting with it."""
    status: TransactionStatus = connection.connection.info.transaction_status
    return status not in (TransactionStatus.IDLE, TransactionStatus.INTRANS)
