"""Making many records with one request, where machines write."""

from typing import Any

from django.db import DatabaseError, models, transaction
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.renderers import RenderedJSON
from core.api.serializers import OrganizationRelatedField
from core.api.viewsets import CreateMixin
from core.violations import explain

BULK_LIMIT = 1000


class BulkCreateMixin(CreateMixin):
    """``POST /<records>/`` of one object, or of an array of up to 1,000: all of them are made, or none.

    The answer to an array is the array of the records, in its order. Errors name the position: ``3.quantity``.
    """

    def create(self: Any, request: Request) -> Response:
        """Make the record or the records, and answer them as they stand."""
        if not isinstance(request.data, list):
            return super().create(request)
        serializer = self.get_serializer(data=request.data, many=True, allow_empty=False, max_length=BULK_LIMIT)
        _look_up_references(serializer)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            instances = self.perform_bulk_create(serializer)
        return self.answer_many(instances, status.HTTP_201_CREATED)

    def perform_bulk_create(self: Any, serializer: Any) -> list[models.Model]:
        """Write the records; a view with a service calls it here."""
        model = serializer.child.Meta.model
        organization_id = self.principal.organization_id
        records = [model(organization_id=organization_id, **values) for values in serializer.validated_data]
        try:
            with transaction.atomic():
                return model._base_manager.bulk_create(records)
        except DatabaseError as error:
            if explain(error) is not None:
                _raise_at_position(records)
            raise

    def answer_many(self: Any, instances: list[models.Model], status_code: int = status.HTTP_200_OK) -> Response:
        """Answer with records just written, in their order."""
        rows = self.get_queryset().filter(pk__in={instance.pk for instance in instances})
        texts = self.read_many(rows.order_by("pk"), self.get_read_serializer())
        body = "[" + ",".join(texts[instance.pk] for instance in instances) + "]"
        return Response(RenderedJSON(body.encode()), status_code)


def _look_up_references(serializer: Any) -> None:
    """Fetch all that the rows refer to, in one query for each reference and not one for each row."""
    rows = [row for row in serializer.initial_data[:BULK_LIMIT] if isinstance(row, dict)]
    for name, field in serializer.child.fields.items():
        if isinstance(field, OrganizationRelatedField) and not field.read_only:
            field.look_up(row[name] for row in rows if row.get(name) is not None)


def _raise_at_position(records: list[models.Model]) -> None:
    """Write one by one, to learn which record the database refuses; raise its refusal by position."""
    for position, record in enumerate(records):
        try:
            with transaction.atomic():
                record.save(force_insert=True)
        except DatabaseError as error:
            violation = explain(error)
            if violation is None:
                raise
            field = f"{position}.{violation.field}" if violation.field else str(position)
            raise ValidationError({field: [violation.message]}, violation.code) from error
