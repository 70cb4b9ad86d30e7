"""Endpoints of tasks, runs and messages."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from agents.api.filters import work as filters
from agents.api.serializers import work as serializers
from agents.models import AgentMessage, Task, TaskRun
from agents.services import claims, runs, tasks
from core.api import bulk
from core.api.renderers import RenderedJSON
from core.api.serializers import RecordSerializer
from core.api.viewsets import CreateMixin, FullViewSet, ReadOnlyViewSet, RecordViewSet, UpdateMixin


class _WorkViewSet(RecordViewSet):
    """What the views of tasks and runs share. Their services lock the task first, so nothing is locked before."""

    scope = "agents"

    def find(self, pk: Any) -> Any:
        """Return the record; Http404 when the request may not see it."""
        instance = self.get_queryset().filter(pk=pk).first()
        if instance is None:
            raise Http404
        return instance

    def parse(self, serializer_class: Any) -> dict[str, Any]:
        """Return the body as the serializer takes it."""
        body = serializer_class(data=self.request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return body.validated_data

    def answer_as(
        self, instance: models.Model, serializer_class: type[RecordSerializer], status_code: int = status.HTTP_200_OK
    ) -> Response:
        """Answer with a record just written, as another serializer shows it."""
        rows = type(instance)._base_manager.filter(pk=instance.pk)
        text = self.read_one(rows, serializer_class(context=self.get_serializer_context()))
        assert text is not None
        return Response(RenderedJSON(text.encode()), status_code)


class TaskViewSet(_WorkViewSet, FullViewSet):
    """What there is to do. A task moves by its actions; one that has runs is cancelled, not deleted."""

    queryset = Task.objects.all()
    serializer_class = serializers.TaskSerializer
    filterset_class = filters.TaskFilterSet
    ordering_fields = ("created_at", "due_at")

    def perform_destroy(self, instance: Any) -> None:
        """Delete the task, if it was never worked on."""
        tasks.delete_task(task=instance)

    def perform_bulk_destroy(self, instances: Sequence[Any]) -> None:
        """Delete the tasks; runs refer to those that were worked on, and the database refuses them too."""
        bulk.remove(instances, self.delete_rows, self.perform_destroy)

    @extend_schema(
        request=serializers.StartTaskSerializer,
        responses={200: serializers.TaskRunSerializer},
    )
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: Any) -> Response:
        """Start the task's oldest queued run, or a new one where none is queued, and answer that run."""
        run = runs.start_task(task=self.find(pk), **self.parse(serializers.StartTaskSerializer))
        return self.answer_as(run, serializers.TaskRunSerializer)

    @extend_schema(request=serializers.CompleteTaskSerializer)
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: Any) -> Response:
        """Finish the task's active run with this result, and the task; where several are active, finish each run."""
        return self.answer(tasks.complete_task(task=self.find(pk), **self.parse(serializers.CompleteTaskSerializer)))

    @extend_schema(request=serializers.FailSerializer)
    @action(detail=True, methods=["post"])
    def fail(self, request: Request, pk: Any) -> Response:
        """Note that the task's active run failed, and the task; where several are active, finish each run."""
        return self.answer(tasks.fail_task(task=self.find(pk), **self.parse(serializers.FailSerializer)))

    @extend_schema(request=serializers.CancelTaskSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any) -> Response:
        """Call a pending or running task off, with its active runs, whoever holds it."""
        return self.answer(tasks.cancel_task(task=self.find(pk), **self.parse(serializers.CancelTaskSerializer)))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: Any) -> Response:
        """Make a task that has ended pending again; its runs stay for the record."""
        return self.answer(tasks.retry_task(task=self.find(pk)))

    @extend_schema(
        request=serializers.ClaimSerializer,
        responses={
            200: serializers.LeasedTaskSerializer,
            204: OpenApiResponse(description="There is nothing to claim just now."),
        },
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def claim(self, request: Request) -> Response:
        """Lease the most urgent pending task to the caller: by priority, then what is due sooner, then what is older.

        Each task goes to one caller, who starts, completes or fails it with the lease's token, and renews the lease
        before it ends. A task whose lease has lapsed can be claimed again; runs of it that were active then fail.
        """
        body = self.parse(serializers.ClaimSerializer)
        task = claims.claim_task(organization_id=self.principal.organization_id, **body)
        if task is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return self.answer_as(task, serializers.LeasedTaskSerializer)

    @extend_schema(request=serializers.RenewSerializer, responses={200: serializers.LeasedTaskSerializer})
    @action(detail=True, methods=["post"])
    def renew(self, request: Request, pk: Any) -> Response:
        """Let the lease last from now for so many seconds."""
        task = claims.renew_lease(task=self.find(pk), **self.parse(serializers.RenewSerializer))
        return self.answer_as(task, serializers.LeasedTaskSerializer)

    @extend_schema(request=serializers.ReleaseSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: Any) -> Response:
        """Give the task back, so that others can claim it; its active runs are cancelled."""
        return self.answer(claims.release_task(task=self.find(pk), **self.parse(serializers.ReleaseSerializer)))


class TaskRunViewSet(_WorkViewSet, CreateMixin, UpdateMixin, ReadOnlyViewSet):
    """The attempts at tasks. Runs are history: none is deleted."""

    queryset = TaskRun.objects.all()
    serializer_class = serializers.TaskRunSerializer
    read_serializer_class = serializers.TaskRunSerializer
    filterset_class = filters.TaskRunFilterSet
    ordering_fields = ("created_at",)

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return serializers.TaskRunPlanSerializer if self.action == "partial_update" else self.serializer_class

    def perform_create(self, serializer: Any) -> TaskRun:
        """Queue a run."""
        return runs.queue_run(**serializer.validated_data)

    @extend_schema(request=serializers.HolderSerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: Any) -> Response:
        """Start a queued run, and with it the task."""
        return self.answer(runs.start_run(run=self.find(pk), **self.parse(serializers.HolderSerializer)))

    @extend_schema(request=serializers.CompleteRunSerializer)
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: Any) -> Response:
        """Finish a running run with its results. When it was the last active one, the task ends like it."""
        return self.answer(runs.complete_run(run=self.find(pk), **self.parse(serializers.CompleteRunSerializer)))

    @extend_schema(request=serializers.FailSerializer)
    @action(detail=True, methods=["post"])
    def fail(self, request: Request, pk: Any) -> Response:
        """Note that an active run failed. When it was the last active one, the task ends like it."""
        return self.answer(runs.fail_run(run=self.find(pk), **self.parse(serializers.FailSerializer)))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any) -> Response:
        """Call an active run off. A task of which all runs were called off is pending again."""
        return self.answer(runs.cancel_run(run=self.find(pk)))

    @extend_schema(request=None, responses={201: serializers.TaskRunSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: Any) -> Response:
        """Queue a new run of the same task, with the plan of this one, which is finished."""
        run = runs.retry_run(run=self.find(pk))
        answer = self.answer_as(run, serializers.TaskRunSerializer, status.HTTP_201_CREATED)
        answer["Location"] = reverse("taskrun-detail", [run.pk], request=request)
        return answer


ONE_OR_MANY = PolymorphicProxySerializer(
    component_name="AgentMessages",
    serializers=[serializers.AgentMessageSerializer, serializers.AgentMessageSerializer(many=True)],
    resource_type_field_name=None,
    many=False,
)


class AgentMessageViewSet(CreateMixin, ReadOnlyViewSet):
    """What members of squads say to each other during runs. It stands as it was said."""

    scope = "agents"
    queryset = AgentMessage.objects.all()
    serializer_class = serializers.AgentMessageSerializer
    read_serializer_class = serializers.AgentMessageSerializer
    filterset_class = filters.AgentMessageFilterSet
    ordering_fields = ("created_at",)

    @extend_schema(request=ONE_OR_MANY, responses={201: ONE_OR_MANY})
    def create(self, request: Request) -> Response:
        """Say something: one object, or an array of up to 1,000, all or nothing."""
        return super().create(request)
