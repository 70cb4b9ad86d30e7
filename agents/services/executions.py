"""Executions by the hundreds: rows packed by hand and written by COPY, as agents.telemetry writes spans."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from agents.services.spans import Times
from agents.telemetry import packing as pack

COLUMNS = (
    "id, organization_id, user_id, name, execution_id, agent_id, agent_name, agent_type, parent_execution_id,"
    " task_run_id, squad_id, user_name, session_id, correlation_id, trace_id, span_id, parent_span_id,"
    " status, started_at, completed_at, input, output, result, model_provider, model_name, input_tokens,"
    " output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost, error_type, error_message,"
    " attributes, usage_below"
)
_BEGINNING = pack.columns(COLUMNS.count(",") + 1)
_COPY = f"COPY agents_agentexecution ({COLUMNS}) FROM STDIN (FORMAT BINARY)"


@dataclass(frozen=True, slots=True)
class NewRow:
    """An execution to write. Its fields are the model's; ``said`` has those that are taken as they come."""

    id: UUID
    said: Any
    name: str
    execution_id: str
    agent_name: str
    times: Times
    cost: int | None  # in 1e-10 dollars
    input: bytes | None
    output: bytes | None


def write(*, organization_id: UUID, user_id: UUID, rows: Sequence[NewRow]) -> None:
    """Write the rows in one statement; the caller's transaction is theirs. Raises what the database refuses."""
    beginning = pack.uuid(organization_id) + pack.uuid(user_id)
    parts = [pack.HEADER, *(_pack(row, beginning) for row in rows), pack.TRAILER]
    # Django translates the errors of a cursor's methods; those of a COPY come when it ends.
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(b"".join(parts))


def _pack(row: NewRow, beginning: bytes) -> bytes:
    said = row.said
    return b"".join(
        (
            _BEGINNING,
            pack.uuid(row.id),
            beginning,
            pack.word(row.name),
            pack.text(row.execution_id),
            pack.uuid(said.agent),
            pack.word(row.agent_name),
            pack.word(said.agent_type),
            pack.uuid(said.parent_execution),
            pack.uuid(said.task_run),
            pack.uuid(said.squad),
            pack.text(said.user_name),
            pack.text(said.session_id),
            pack.text(said.correlation_id),
            _hexadecimal(said.trace_id),
            _hexadecimal(said.span_id),
            _hexadecimal(said.parent_span_id),
            pack.word(row.times.status),
            pack.moment(row.times.started_at),
            pack.moment(row.times.completed_at),
            pack.blob(row.input),
            pack.blob(row.output),
            pack.NULL if said.result is None else pack.jsonb(orjson.dumps(said.result)),
            pack.word(said.model_provider),
            pack.word(said.model_name),
            pack.integer(said.input_tokens),
            pack.integer(said.output_tokens),
            pack.integer(said.cached_tokens),
            pack.integer(said.cache_write_tokens),
            pack.integer(said.reasoning_tokens),
            pack.amount(row.cost),
            pack.word(said.error_type),
            pack.text(said.error_message),
            pack.jsonb(orjson.dumps(said.attributes)),
            pack.boolean(False),
        )
    )


def _hexadecimal(value: str | None) -> bytes:
    return pack.NULL if value is None else pack.blob(bytes.fromhex(value))
