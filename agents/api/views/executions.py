"""Endpoints of executions, model calls and tool executions."""

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson
from django.db import DatabaseError, transaction
from django.db.models.functions import Coalesce, Greatest, Now
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.filters import executions as filters
from agents.api.serializers import executions as serializers
from agents.api.serializers.quick import rows_of
from agents.models import AgentExecution, ModelCall, ToolExecution
from agents.services.executions import NewRow, write
from core.api.bulk import BULK_LIMIT
from core.api.renderers import RenderedJSON
from core.api.viewsets import CreateMixin, ReadOnlyViewSet, UpdateMixin
from core.violations import explain


def one_or_many(name: str, serializer_class: Any) -> PolymorphicProxySerializer:
    """Describe a body of one record, or of many."""
    return PolymorphicProxySerializer(
        component_name=name,
        serializers=[serializer_class, serializer_class(many=True)],
        resource_type_field_name=None,
        many=False,
    )


class _SpanViewSet(CreateMixin, UpdateMixin, ReadOnlyViewSet):
    """What the three kinds of spans share. They are a log: none is deleted."""

    scope = "agents"
    change_serializer_class: ClassVar[Any]

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return self.change_serializer_class if self.action == "partial_update" else self.serializer_class


EXECUTIONS = one_or_many("AgentExecutions", serializers.AgentExecutionSerializer)


class AgentExecutionViewSet(_SpanViewSet):
    """Agents at work: what they were given, what came of it, and what it took. An execution moves by its actions."""

    queryset = AgentExecution.objects.all()
    serializer_class = serializers.AgentExecutionSerializer
    read_serializer_class = serializers.AgentExecutionSerializer
    change_serializer_class = serializers.AgentExecutionChangeSerializer
    filterset_class = filters.AgentExecutionFilterSet
    list_leaves_out = ("input", "output", "result", "attributes")

    @extend_schema(request=EXECUTIONS, responses={201: EXECUTIONS})
    def create(self, request: Request) -> Response:
        """Report an execution: one object, or an array of up to 1,000, all or nothing."""
        if isinstance(request.data, list) and 0 < len(request.data) <= BULK_LIMIT:
            rows = rows_of(request.data, self.principal.organization_id)
            if rows is not None and self._write(rows):
                return self._answer_rows(rows)
        return super().create(request)

    def _write(self, rows: Sequence[NewRow]) -> bool:
        """Write the rows. False where the database refuses one: the ordinary way finds out which."""
        try:
            with transaction.atomic():
                write(organization_id=self.principal.organization_id, user_id=self.principal.user_id, rows=rows)
        except DatabaseError as error:
            if explain(error) is None:
                raise
            return False
        return True

    def _answer_rows(self, rows: Sequence[NewRow]) -> Response:
        """Answer the rows as they stand; their ids alone are known without reading."""
        if self.request.query_params.get("fields") == "id":
            return Response(RenderedJSON(orjson.dumps([{"id": row.id} for row in rows])), status.HTTP_201_CREATED)
        return self.answer_many([AgentExecution(pk=row.id) for row in rows], status.HTTP_201_CREATED)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: Any) -> Response:
        """Note that a pending execution goes."""
        return self.move(pk, "start")

    @extend_schema(request=serializers.CompleteExecutionSerializer)
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: Any) -> Response:
        """Note that a running execution ended well, and with what."""
        return self._end(pk, "complete", **self._parse(serializers.CompleteExecutionSerializer))

    @extend_schema(request=serializers.FailExecutionSerializer)
    @action(detail=True, methods=["post"])
    def fail(self, request: Request, pk: Any) -> Response:
        """Note that an execution failed, and why."""
        return self._end(pk, "fail", **self._parse(serializers.FailExecutionSerializer))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any) -> Response:
        """Note that an execution was called off."""
        return self._end(pk, "cancel")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"], url_path="time-out")
    def time_out(self, request: Request, pk: Any) -> Response:
        """Note that an execution took longer than it may."""
        return self._end(pk, "time_out")

    def _parse(self, serializer_class: Any) -> dict[str, Any]:
        body = serializer_class(data=self.request.data)
        body.is_valid(raise_exception=True)
        return body.validated_data

    def _end(self, pk: Any, move: str, **changes: Any) -> Response:
        # A client's clock may run ahead of ours: what it started then ends no earlier. What never started did so now.
        times = {"started_at": Coalesce("started_at", Now()), "completed_at": Greatest(Now(), "started_at")}
        return self.move(pk, move, **times, **changes)


CALLS = one_or_many("ModelCalls", serializers.ModelCallSerializer)


class ModelCallViewSet(_SpanViewSet):
    """Calls of models. The cost of each is worked out from its usage and public prices."""

    queryset = ModelCall.objects.all()
    serializer_class = serializers.ModelCallSerializer
    read_serializer_class = serializers.ModelCallSerializer
    change_serializer_class = serializers.ModelCallChangeSerializer
    filterset_class = filters.ModelCallFilterSet
    list_leaves_out = ("parameters", "input_messages", "output_messages", "attributes")

    @extend_schema(request=CALLS, responses={201: CALLS})
    def create(self, request: Request) -> Response:
        """Report a call: one object, or an array of up to 1,000, all or nothing."""
        return super().create(request)


TOOLS = one_or_many("ToolExecutions", serializers.ToolExecutionSerializer)


class ToolExecutionViewSet(_SpanViewSet):
    """Uses of tools."""

    queryset = ToolExecution.objects.all()
    serializer_class = serializers.ToolExecutionSerializer
    read_serializer_class = serializers.ToolExecutionSerializer
    change_serializer_class = serializers.ToolExecutionChangeSerializer
    filterset_class = filters.ToolExecutionFilterSet
    list_leaves_out = ("input", "output", "attributes")

    @extend_schema(request=TOOLS, responses={201: TOOLS})
    def create(self, request: Request) -> Response:
        """Report the use of a tool: one object, or an array of up to 1,000, all or nothing."""
        return super().create(request)
