"""Batches of executions, validated many times faster than by a serializer.

What is taken here is taken by the serializer as well, with the same result. Whatever isn't, be it wrong or only
unusual, is left to the serializer, which tells all errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import orjson
from django.db.models import QuerySet
from django.utils import timezone
from msgspec import UNSET, Meta, Struct, UnsetType

from agents.api.serializers.executions import LONGEST, MOST_TOKENS, NULL
from agents.models import Agent, AgentExecution, AgentType, SpanStatus, Squad, TaskRun
from agents.prices import UNITS
from agents.services.executions import NewRow
from agents.services.spans import TimesError, settle
from core.ids import uuid7

WHOLE_DIGITS, DECIMALS = 10, 10  # of the column of costs
Word = Annotated[str, Meta(max_length=200)]
Tokens = Annotated[int, Meta(ge=0, le=MOST_TOKENS)] | None
TraceId = Annotated[str, Meta(pattern="^[0-9a-fA-F]{32}$", max_length=32)] | None
SpanId = Annotated[str, Meta(pattern="^[0-9a-fA-F]{16}$", max_length=16)] | None


class NewExecution(Struct, forbid_unknown_fields=True):
    """What a client says of an execution."""

    name: Annotated[str, Meta(max_length=300)] | UnsetType = UNSET
    status: Literal[tuple(SpanStatus.values)] | UnsetType = UNSET  # type: ignore[valid-type]
    started_at: str | None = None
    completed_at: str | None = None
    duration: Annotated[float, Meta(ge=0, le=LONGEST)] | None = None
    trace_id: TraceId = None
    span_id: SpanId = None
    parent_span_id: SpanId = None
    execution_id: Word | UnsetType = UNSET
    agent: UUID | None = None
    agent_name: Word = ""
    agent_type: Literal[tuple(AgentType.values)] = "agent"  # type: ignore[valid-type]
    parent_execution: UUID | None = None
    task_run: UUID | None = None
    squad: UUID | None = None
    user_name: Word = ""
    session_id: Word = ""
    correlation_id: Word = ""
    input: Any = None
    output: Any = None
    result: Any = None
    model_provider: Word = ""
    model_name: Word = ""
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    cached_tokens: Tokens = None
    cache_write_tokens: Tokens = None
    reasoning_tokens: Tokens = None
    cost: Decimal | None = None
    error_type: Word = ""
    error_message: str = ""
    attributes: dict[str, Any] = {}


TEXTS = (
    *("name", "execution_id", "agent_name", "user_name", "session_id", "correlation_id"),
    *("model_provider", "model_name", "error_type", "error_message"),
)


class Unusual(Exception):  # noqa: N818 (no error: the serializer may well take it)
    """Something that is left to the serializer."""


@dataclass(frozen=True, slots=True)
class Around:
    """What the organization has of what the batch refers to: the names of agents, and those of parents' agents."""

    agents: Mapping[UUID, str]
    parents: Mapping[UUID, str]


def rows_of(body: Any, organization_id: UUID) -> list[NewRow] | None:
    """Return the rows that a batch says, which is an array as JSON gives it; None where it is left to the serializer.

    References are looked up in the organization, with one query for each kind that occurs.
    """
    try:
        batch = msgspec.convert(body, list[NewExecution])
        around = _look_up(batch, organization_id)
        now = timezone.now()
        return [_row(said, around, now) for said in batch]
    except (msgspec.ValidationError, Unusual):
        return None


def _look_up(batch: Sequence[NewExecution], organization_id: UUID) -> Around:
    def named(name: str, rows: QuerySet, column: str) -> dict[UUID, str]:
        asked = {getattr(said, name) for said in batch} - {None}
        if not asked:
            return {}
        found = dict(rows.for_organization(organization_id).filter(pk__in=asked).values_list("pk", column))  # type: ignore[attr-defined]
        if len(found) < len(asked):
            raise Unusual
        return found

    named("task_run", TaskRun.objects.all(), "status")
    named("squad", Squad.objects.all(), "name")
    return Around(
        agents=named("agent", Agent.objects.alive(), "name"),
        parents=named("parent_execution", AgentExecution.objects.all(), "agent_name"),
    )


def _row(said: NewExecution, around: Around, now: datetime) -> NewRow:
    for name in TEXTS:
        text = getattr(said, name)
        if text and text is not UNSET and (stripped := text.strip()) != text:
            setattr(said, name, stripped)
    if said.name == "" or said.execution_id == "":
        raise Unusual
    try:
        times = settle(
            status=None if said.status is UNSET else said.status,
            started_at=_moment(said.started_at),
            completed_at=_moment(said.completed_at),
            duration=said.duration,
            now=now,
        )
    except TimesError as error:
        raise Unusual from error
    agent_name = said.agent_name
    if not agent_name:
        if said.agent:
            agent_name = around.agents[said.agent]
        elif said.parent_execution:
            agent_name = around.parents[said.parent_execution]
    new = uuid7()
    return NewRow(
        id=new,
        said=said,
        name=(agent_name or said.agent_type) if said.name is UNSET else said.name,
        execution_id=str(new) if said.execution_id is UNSET else said.execution_id,
        agent_name=agent_name,
        times=times,
        cost=None if said.cost is None else _units(said.cost),
        input=_document(said.input),
        output=_document(said.output),
    )


def _moment(text: str | None) -> datetime | None:
    """Return the time, read as REST framework reads it."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unusual from error
    if moment.tzinfo is None:
        raise Unusual
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Unusual from error


def _units(cost: Decimal) -> int:
    """Return an amount in 1e-10 dollars."""
    if not cost.is_finite() or cost < 0 or cost.adjusted() >= WHOLE_DIGITS:
        raise Unusual
    units = cost * UNITS
    if units != (whole := int(units)):
        raise Unusual
    return whole


def _document(value: Any) -> bytes | None:
    if value is None:
        return None
    text = orjson.dumps(value)
    if NULL in text:
        raise Unusual
    return text
