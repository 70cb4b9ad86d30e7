"""Endpoints of statistics: figures by group, and of one record."""

from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import partial
from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from agents.api.serializers import statistics as serializers
from agents.models import Agent, AgentExecution, Project, SpanKind, SpanStatistic, Squad, Task, TaskRun, Trace
from agents.services import statistics, workspans
from core.api.viewsets import RecordViewSet

QUESTIONS = {kind: serializers.question_of(kind) for kind in SpanKind}

Usage = Callable[..., dict[str, Any]]
RECORDS: dict[str, tuple[Any, Usage]] = {
    "execution": (AgentExecution, workspans.usage_of_execution),
    "trace": (Trace, workspans.usage_of_trace),
    "task_run": (TaskRun, partial(workspans.usage_of_work, group_by="task_run")),
    "task": (Task, partial(workspans.usage_of_work, group_by="task")),
    "project": (Project, partial(workspans.usage_of_work, group_by="project")),
    "squad": (Squad, partial(workspans.usage_of_work, group_by="squad")),
    "agent": (Agent, workspans.usage_of_agent),
}


def _answers(kind: SpanKind) -> Any:
    return extend_schema(
        parameters=[QUESTIONS[kind]], responses=serializers.StatisticsSerializer, filters=False, request=None
    )


class StatisticsViewSet(RecordViewSet):
    """Counts, tokens, money and durations. They are never stale: a span's transaction moves the sums, too."""

    scope = "agents"
    queryset = SpanStatistic.objects.all()
    serializer_class = serializers.SpanStatisticSerializer
    ordering = ("-start",)
    ordering_fields = ()

    @_answers(SpanKind.EXECUTION)
    @action(detail=False, methods=["get"], pagination_class=None)
    def executions(self, request: Request) -> Response:
        """Tell of executions by group: how many, how they ended, how long they took, what they consumed.

        Tokens and cost are those of the model calls of the same agent, hour or work too, each counted once; by status,
        model or provider they are what the executions themselves count.
        """
        return self._answer(SpanKind.EXECUTION)

    @_answers(SpanKind.MODEL_CALL)
    @action(detail=False, methods=["get"], pagination_class=None, url_path="model-calls")
    def model_calls(self, request: Request) -> Response:
        """Tell of model calls by group: how many, how they ended, how long they took, what they consumed."""
        return self._answer(SpanKind.MODEL_CALL)

    @_answers(SpanKind.TOOL_EXECUTION)
    @action(detail=False, methods=["get"], pagination_class=None, url_path="tool-executions")
    def tool_executions(self, request: Request) -> Response:
        """Tell of tool executions by group: how many, how they ended, how long they took."""
        return self._answer(SpanKind.TOOL_EXECUTION)

    @extend_schema(
        parameters=[OpenApiParameter(name, UUID, description="Exactly one of these.") for name in RECORDS],
        responses=serializers.UsageSerializer,
        filters=False,
        request=None,
    )
    @action(detail=False, methods=["get"], pagination_class=None)
    def usage(self, request: Request) -> Response:
        """Tell what one record consumed in all, each model call counted once."""
        name, key = self._record(request)
        model, usage = RECORDS[name]
        organization_id = self.principal.organization_id
        rows = model.objects.for_organization(organization_id)
        rows = rows.alive() if hasattr(rows, "alive") else rows
        if not rows.filter(pk=key).exists():
            raise Http404
        found = usage(organization_id=organization_id, record_id=key)
        return Response(found | {"cost": _dollars(found["cost"])})

    def _record(self, request: Request) -> tuple[str, UUID]:
        _refuse_unknown(request, set(RECORDS))
        given = [name for name in RECORDS if name in request.query_params]
        if len(given) != 1:
            raise ValidationError({"usage": f"Give exactly one of {', '.join(RECORDS)}."}, "exactly_one")
        try:
            return given[0], UUID(request.query_params[given[0]])
        except ValueError as error:
            raise ValidationError({given[0]: "This is no id."}, "invalid") from error

    def _answer(self, kind: SpanKind) -> Response:
        question: Serializer = QUESTIONS[kind](data=self.request.query_params)
        _refuse_unknown(self.request, set(question.fields))
        question.is_valid(raise_exception=True)
        asked: Any = question.validated_data
        organization_id = self.principal.organization_id
        groups = statistics.statistics(organization_id=organization_id, kind=kind, **asked)
        names: dict[Any, str] = {}
        if asked["group_by"] in workspans.WORK:
            names = statistics.names_of(organization_id, asked["group_by"], [group.value for group in groups])
        zone = asked["zone"]
        told = {"group_by": asked["group_by"], "time_zone": str(zone), "filters": asked["filters"]}
        told |= {name: asked[name].astimezone(zone) for name in ("start", "end")}
        return Response({**told, "groups": [_row(group, names, zone) for group in groups]})


def _refuse_unknown(request: Request, known: set[str]) -> None:
    if unknown := set(request.query_params) - known - {"format"}:
        raise ValidationError(dict.fromkeys(sorted(unknown), "There is no such parameter."), "unknown")


def _row(group: statistics.Group, names: dict[Any, str], zone: tzinfo) -> dict[str, Any]:
    named = {"name": names[group.value]} if group.value in names else {}
    return {
        "value": group.value.astimezone(zone) if isinstance(group.value, datetime) else group.value,
        **named,
        "count": group.count,
        "failures": group.failures,
        "open": group.open,
        "success_rate": group.success_rate,
        **{name: getattr(group, name) for name in statistics.TOKENS},
        "cost": _dollars(group.cost),
        "unpriced": group.unpriced,
        "duration": {f"p{each}": value for each, value in group.durations.items()},
    }


def _dollars(cost: Any) -> str:
    return f"{cost:.10f}"
