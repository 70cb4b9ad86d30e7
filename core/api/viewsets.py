"""The viewsets that the API is made of: rooted in the request's organization, read through PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import orjson
from django.db import models, transaction
from django.http import Http404, HttpResponseBase
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from core.api import bulk
from core.api.authentication import Principal
from core.api.entity_tags import entity_tag, is_unmodified
from core.api.exports import CSVRenderer, ExportRenderer, NDJSONRenderer, Negotiation, export
from core.api.pagination import Key, KeysetPagination, place, place_of
from core.api.readpath import is_ordinary, row_text, row_version
from core.api.renderers import JSONRenderer, RenderedJSON
from core.api.safe_writes import SafeWritesMixin
from core.api.serializers import RecordSerializer, field_names
from core.connections import prepared_cursor
from core.models import Role
from core.models.base import RecordQuerySet
from core.observability import metrics


class RecordViewSet(SafeWritesMixin, GenericViewSet):
    """Lists and details of one record of the request's organization.

    A subclass states ``queryset``, ``serializer_class``, ``scope``, and, where the defaults don't fit, roles,
    ``filterset_class`` and ``ordering_fields``. ``read_serializer_class`` is what answers are made of.
    ``list_leaves_out`` names fields that lists answer only where ``?fields=`` asks for them: large ones.
    ``secret_actions`` answer what is shown once and stored nowhere.
    """

    scope: ClassVar[str]
    read_role: ClassVar[Role] = Role.VIEWER
    write_role: ClassVar[Role] = Role.MEMBER
    action_roles: ClassVar[Mapping[str, Role]] = {}
    action_scopes: ClassVar[Mapping[str, str]] = {}
    secret_actions: ClassVar[tuple[str, ...]] = ()
    ordering: ClassVar[tuple[str, ...]] = ("-created_at",)
    ordering_fields: ClassVar[tuple[str, ...]] = ("created_at",)
    list_leaves_out: ClassVar[tuple[str, ...]] = ()
    lookup_value_converter = "uuid"
    content_negotiation_class = Negotiation
    pagination_class = KeysetPagination
    paginator: KeysetPagination
    queryset: RecordQuerySet
    serializer_class: type[RecordSerializer]

    @property
    def principal(self) -> Principal:
        """Return on whose behalf the request acts."""
        principal = self.request.auth
        assert isinstance(principal, Principal)
        return principal

    def get_queryset(self) -> models.QuerySet:
        """Return the rows of the request's organization, and none before it is known."""
        principal = getattr(self.request, "auth", None)
        if not isinstance(principal, Principal):
            return self.queryset.none()
        rows = self.queryset.for_organization(principal.organization_id)
        return self.for_customer(rows) if principal.role == Role.CUSTOMER else rows

    def for_customer(self, rows: models.QuerySet) -> models.QuerySet:
        """Return the rows that a customer may see: none, unless a view opens its own."""
        return rows.none()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let the request in, or not; and refuse unknown ``fields`` before anything is written."""
        super().initial(request, *args, **kwargs)
        if "fields" in request.query_params:
            self.get_read_serializer()

    def get_renderers(self) -> list[BaseRenderer]:
        """Return what renders the answer: a list's may be exported."""
        renderers = list(super().get_renderers())
        return [*renderers, CSVRenderer(), NDJSONRenderer()] if getattr(self, "action", None) == "list" else renderers

    def get_read_serializer(self) -> RecordSerializer:
        """Return the serializer of answers, narrowed to the fields asked for, or to those that a list answers."""
        serializer_class: type[RecordSerializer] = getattr(self, "read_serializer_class", self.serializer_class)
        asked = self.request.query_params.get("fields")
        only = [name for name in asked.split(",") if name] if asked else None
        if not only and self.list_leaves_out and getattr(self, "action", None) == "list":
            shown = [name for name in serializer_class.Meta.fields if name not in self.list_leaves_out]
            return serializer_class(only=shown, context=self.get_serializer_context())
        if only and (unknown := set(only) - field_names(serializer_class)):
            raise ValidationError({"fields": f"There is no field {sorted(unknown)[0]!r}."}, "unknown")
        return serializer_class(only=only, context=self.get_serializer_context())

    def read_page(
        self, rows: models.QuerySet, serializer: RecordSerializer, keys: Sequence[Key]
    ) -> list[tuple[str, str]]:
        """Return each row as JSON text, and its place in the ordering of ``keys``.

        The text is PostgreSQL's own, but for serializers that declare ``ordinary_fields``: those render instances.
        """
        if is_ordinary(serializer):
            return [(_render(row, serializer), place_of(row, keys)) for row in rows]
        model: Any = rows.model
        return list(rows.values_list(row_text(serializer), place(model, tuple(keys))))

    def read_many(self, rows: models.QuerySet, serializer: RecordSerializer) -> dict[Any, str]:
        """Return each row as JSON text, by its key."""
        if is_ordinary(serializer):
            return {row.pk: _render(row, serializer) for row in rows}
        return dict(rows.values_list("pk", row_text(serializer)))

    def read_one(self, rows: models.QuerySet, serializer: RecordSerializer) -> str | None:
        """Return the only row as JSON text, if there is one."""
        found = self.read_tagged(rows, serializer)
        return found[0] if found else None

    def read_tagged(self, rows: models.QuerySet, serializer: RecordSerializer) -> tuple[str, str | None] | None:
        """Return the only row as JSON text, if there is one, and its entity tag, if it has one."""
        if is_ordinary(serializer):
            row = rows.first()
            found = None if row is None else (_render(row, serializer), getattr(row, "row_version", None))
        else:
            with prepared_cursor() as cursor:
                cursor.execute(*rows.values_list(row_text(serializer), row_version(rows)).query.sql_with_params())
                found = cursor.fetchone()
        return (found[0], entity_tag(serializer, *found)) if found else None

    def get_for_update(self, pk: Any) -> Any:
        """Return the row, locked until the transaction ends; Http404 when the request may not see it."""
        instance = self.get_queryset().select_for_update(of=("self",)).filter(pk=pk).first()
        if instance is None:
            raise Http404
        return instance

    def get_many_for_update(self, keys: list[Any]) -> list[Any]:
        """Return the rows of the keys, in their order, locked until the transaction ends; NotFound by position."""
        rows = self.get_queryset().select_for_update(of=("self",)).filter(pk__in=keys)
        found = {row.pk: row for row in rows.order_by("pk")}  # who locks many rows locks them in this order
        if len(found) < len(keys):
            raise bulk.missing(keys, found)
        return [found[key] for key in keys]

    def check_change(self, instance: Any) -> None:
        """Let a record be changed or deleted; a view that shows records that the request may not write raises here."""

    def render_one(self, pk: Any) -> tuple[RenderedJSON, dict[str, str]]:
        """Return the JSON of one row that the request may see, and its headers; Http404 when there is none."""
        found = self.read_tagged(self.get_queryset().filter(pk=pk).order_by(), self.get_read_serializer())
        if found is None:
            raise Http404
        text, tag = found
        return RenderedJSON(text.encode()), {"ETag": tag} if tag else {}

    def move(self, pk: Any, name: str, **changes: Any) -> Response:
        """Move the record along the transition ``name`` of its lifecycle, and answer it as it then stands."""
        return self.act(pk, lambda record: record.lifecycle.move(record, name, **changes))

    def act(self, pk: Any, service: Callable[[Any], Any]) -> Response:
        """Call ``service`` with the record, whose row is locked, and answer what it returns."""
        with transaction.atomic():
            instance = service(self.get_for_update(pk))
        return self.answer(instance)

    def answer(self, instance: models.Model, status_code: int = status.HTTP_200_OK) -> Response:
        """Answer with a record just written, as it stands now."""
        content, headers = self.render_one(instance.pk)
        if status_code == status.HTTP_201_CREATED:
            headers["Location"] = self.request.build_absolute_uri(f"{self.request.path}{instance.pk}/")
        return Response(content, status_code, headers=headers)

    def answer_many(self, instances: list[Any], status_code: int = status.HTTP_200_OK) -> Response:
        """Answer with records just written, in their order."""
        rows = self.get_queryset().filter(pk__in={instance.pk for instance in instances})
        texts = self.read_many(rows.order_by("pk"), self.get_read_serializer())
        body = "[" + ",".join(texts[instance.pk] for instance in instances) + "]"
        return Response(RenderedJSON(body.encode()), status_code)


class ListMixin:
    """``GET /<records>/``: a page, or with ``?format=csv`` or ``?format=ndjson`` all of it."""

    def list(self: Any, request: Request) -> HttpResponseBase:
        """Answer a page of records, newest first unless ordered otherwise; or all of them, as a file."""
        rows = self.filter_queryset(self.get_queryset())
        serializer = self.get_read_serializer()
        if isinstance(request.accepted_renderer, ExportRenderer):
            return export(self, rows, serializer)
        page, following, previous = self.paginator.page(
            rows, request, self, lambda queryset, keys: self.read_page(queryset, serializer, keys)
        )
        count = self.paginator.count(rows, request)
        return Response(RenderedJSON(page_text(",".join(page), following, previous, count)))


class RetrieveMixin:
    """``GET /<records>/<id>/``."""

    def retrieve(self: Any, request: Request, pk: Any) -> Response:
        """Answer one record, or nothing where the client has it as it is."""
        content, headers = self.render_one(pk)
        if is_unmodified(request, headers.get("ETag")):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(content, headers=headers)


class CreateMixin:
    """``POST /<records>/`` of one object, or of an array of up to 1,000: all of them are made, or none.

    The answer to an array is the array of the records, in its order. Errors name the position: ``3.quantity``.
    """

    def create(self: Any, request: Request) -> Response:
        """Make a record, or an array of records, and answer them as they stand."""
        if isinstance(request.data, list):
            rows = bulk.prepared(self.get_serializer(), bulk.checked(request.data))
            with transaction.atomic():
                instances = self.perform_bulk_create(rows)
            answer = self.answer_many(instances, status.HTTP_201_CREATED)
            metrics.rows.inc(len(instances))
            return answer
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            instance = self.perform_create(serializer)
        return self.answer(instance, status.HTTP_201_CREATED)

    def stamps(self: Any) -> dict[str, Any]:
        """Return what a new record has besides what the body says."""
        return {"organization_id": self.principal.organization_id}

    def perform_create(self: Any, serializer: RecordSerializer) -> models.Model:
        """Write the record; a view with a service calls it here."""
        return serializer.save(**self.stamps())

    def perform_bulk_create(self: Any, rows: Sequence[RecordSerializer]) -> Sequence[models.Model]:
        """Write the records; a view with a service for many calls it here."""
        if type(self).perform_create is CreateMixin.perform_create and bulk.writes_plainly(rows[0]):
            return bulk.insert(rows, **self.stamps())
        return bulk.one_by_one(rows, self.perform_create)


class UpdateMixin:
    """``PATCH /<records>/<id>/``, and ``PATCH /<records>/`` of an array of up to 1,000 objects with their ids.

    All of an array is changed, or nothing; the answer is the array of the records, in its order.
    """

    def partial_update(self: Any, request: Request, pk: Any = None) -> Response:
        """Change the fields that are given, and answer the record, or the records, as they stand."""
        if pk is None:
            return self.answer_many(self._update_many(bulk.checked(request.data)))
        with transaction.atomic():
            instance = self.get_for_update(pk)
            self.check_change(instance)
            serializer = self.get_serializer(instance, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            instance = self.perform_update(serializer)
        return self.answer(instance)

    def _update_many(self: Any, items: list[Any]) -> list[models.Model]:
        keys = bulk.keys_of(self.queryset.model, items)
        changes = [{name: value for name, value in item.items() if name != "id"} for item in items]
        with transaction.atomic():
            instances = self.get_many_for_update(keys)
            bulk.each_by_position(instances, self.check_change)
            rows = bulk.prepared(self.get_serializer(partial=True), changes, instances)
            if type(self).perform_update is UpdateMixin.perform_update and bulk.writes_plainly(rows[0]):
                return bulk.update(rows)
            return bulk.one_by_one(rows, self.perform_update)

    def perform_update(self: Any, serializer: RecordSerializer) -> models.Model:
        """Write the change; a view with a service calls it here."""
        return serializer.save()


class DestroyMixin:
    """``DELETE /<records>/<id>/``, and ``DELETE /<records>/`` of an array of up to 1,000 objects that are an id.

    All of an array is deleted, or nothing.
    """

    def destroy(self: Any, request: Request, pk: Any = None) -> Response:
        """Delete the record, or the records, and answer nothing."""
        if pk is None:
            self._destroy_many(bulk.checked(request.data))
        else:
            with transaction.atomic():
                instance = self.get_for_update(pk)
                self.check_change(instance)
                self.perform_destroy(instance)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _destroy_many(self: Any, items: list[Any]) -> None:
        keys = bulk.keys_of(self.queryset.model, items, alone=True)
        with transaction.atomic():
            instances = self.get_many_for_update(keys)
            bulk.each_by_position(instances, self.check_change)
            self.perform_bulk_destroy(instances)

    def perform_destroy(self: Any, instance: models.Model) -> None:
        """Delete the row; a view with a service calls it here."""
        self.delete_rows([instance.pk])

    def perform_bulk_destroy(self: Any, instances: Sequence[models.Model]) -> None:
        """Delete the rows; a view whose service refuses only what the database does calls ``bulk.remove`` here."""
        if type(self).perform_destroy is DestroyMixin.perform_destroy:
            bulk.remove(instances, self.delete_rows, self.perform_destroy)
        else:
            bulk.one_by_one(instances, self.perform_destroy)

    def delete_rows(self: Any, keys: list[Any]) -> None:
        """Delete the rows of the keys."""
        self.queryset.filter(pk__in=keys).delete()


class SoftDeletionMixin:
    """What a viewset of records that are deleted softly begins with: ``DELETE`` marks them, and they are gone."""

    def get_queryset(self: Any) -> models.QuerySet:
        """Return the rows of the request's organization that aren't deleted."""
        return super().get_queryset().alive()  # type: ignore[misc]

    def delete_rows(self: Any, keys: list[Any]) -> None:
        """Mark the rows as deleted."""
        self.queryset.filter(pk__in=keys).soft_delete()


class ReadOnlyViewSet(ListMixin, RetrieveMixin, RecordViewSet):
    """A record that clients read and something else writes."""


class FullViewSet(CreateMixin, UpdateMixin, DestroyMixin, ListMixin, RetrieveMixin, RecordViewSet):
    """A record that clients make, read, change and delete."""


def _render(row: models.Model, serializer: RecordSerializer) -> str:
    return JSONRenderer().render(serializer.to_representation(row)).decode()


def page_text(rows: str, following: str | None, previous: str | None, count: int | None = None) -> bytes:
    """Return the page around rows that are JSON already, joined by commas."""
    head: dict[str, Any] = {"next": following, "previous": previous}
    if count is not None:
        head["count"] = count
    return orjson.dumps(head)[:-1] + b',"results":[' + rows.encode() + b"]}"
