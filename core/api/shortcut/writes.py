"""Making a record: one statement checks the key, writes the row as the audit log wants it, and renders it."""

import re
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DataError, IntegrityError, connections, models, transaction
from django.db.models.expressions import DatabaseDefault
from django.db.models.signals import post_save, pre_save
from django.http import HttpRequest, QueryDict
from rest_framework.exceptions import APIException
from rest_framework.relations import ManyRelatedField, RelatedField
from rest_framework.serializers import BaseSerializer

from core import audit
from core.api.authentication import PREFIX_HERE
from core.api.entity_tags import entity_tag
from core.api.readpath import is_ordinary, row_text
from core.api.renderers import JSONParser
from core.api.serializers import OrganizationRelatedField, RecordSerializer
from core.api.shortcut.gate import DIGEST_HERE, Credentials, Statement, follows, gate, stand_in
from core.api.viewsets import CreateMixin, RecordViewSet
from core.connections import native_cursor
from core.middleware import audit_fields
from core.models.base import Audited, OrganizationLog
from core.observability.context import identify

LONGEST_BODY = 100_000  # bytes
CONTEXT_HERE = "<context>"
# The trigger finds the context because the gate's row is there before the row is inserted, and no row without it.
TOLD = """,
           set_config('muster.context', (%s::jsonb || jsonb_build_object(
               'user', "key"."user_id", 'email', "key"."email", 'api_key', "key"."id"))::text, true) AS "told\""""
INSERT = """
INSERT INTO {table} ("organization_id", {columns})
SELECT "allowed"."organization_id", {values} FROM "allowed" WHERE "allowed"."told" <> ''
RETURNING {row}, {version}, "organization_id"::text
"""
VIEW = {
    name: getattr(RecordViewSet, name)
    for name in (
        "dispatch",
        "initial",
        "get_serializer",
        "get_serializer_class",
        "get_read_serializer",
        "answer",
        "render_one",
        "authentication_classes",
        "permission_classes",
        "parser_classes",
        "throttle_classes",
    )
} | {name: getattr(CreateMixin, name) for name in ("perform_create", "stamps")}
SERIALIZER = {
    name: getattr(RecordSerializer, name)
    for name in ("__init__", "create", "save", "validate", "get_fields", "run_validation", "to_internal_value")
}
MODEL = {name: getattr(models.Model, name) for name in ("save", "save_base", "_save_table", "_do_insert")}


@dataclass(frozen=True, slots=True)
class Creation:
    """How records of one kind are made."""

    statement: Statement
    serializer: RecordSerializer
    reader: RecordSerializer
    model: Any
    fields: tuple[models.Field, ...]
    allow: str

    def content(self, request: HttpRequest, credentials: Credentials) -> tuple[bytes, dict[str, str]] | None:
        """Make the record that the body tells of; return the body of the answer and its own headers.

        None where it isn't made: where the body or the database says no, which the ordinary way then explains.
        """
        told = self._told(request)
        if told is None:
            return None
        instance = self.model(**told)
        connection: Any = connections[DEFAULT_DB_ALIAS]
        columns = [field.get_db_prep_save(field.pre_save(instance, True), connection) for field in self.fields]
        context = audit.Context(**audit_fields(request)).as_setting()
        values = self.statement.bind(credentials.prefix, context, credentials.digest, *columns)
        try:
            with transaction.atomic() if connection.in_atomic_block else nullcontext(), native_cursor() as cursor:
                cursor.execute(self.statement.sql, values)
                found = cursor.fetchone()
        except (IntegrityError, DataError):
            return None
        audit.forget()
        if found is None:
            return None
        text, version, organization = found
        identify(organization=organization, key_prefix=credentials.prefix)
        headers = {"Location": f"{request.scheme}://{request.get_host()}{request.path}{instance.pk}/"}
        tag = entity_tag(self.reader, text, version)
        return text.encode(), headers | ({"ETag": tag} if tag else {})

    def _told(self, request: HttpRequest) -> dict[str, Any] | None:
        try:
            body = JSONParser().parse(BytesIO(request.body))
            return self.serializer.run_validation(body) if isinstance(body, dict) else None
        except APIException:
            return None


def creation_of(route: Any) -> Creation | None:
    """Return how the viewset of a route makes records; None where it has a way of its own."""
    if not makes_as_the_kit_does(route):
        return None
    view = stand_in(route, "POST", QueryDict())
    reader = view.get_read_serializer()
    if is_ordinary(reader):
        return None
    serializer = view.serializer_class(context={})
    model: Any = serializer.Meta.model
    blank = model()
    fields = tuple(
        field
        for field in model._meta.concrete_fields
        if not field.generated
        and field.column != "organization_id"
        and not isinstance(getattr(blank, field.attname), DatabaseDefault)
    )
    connection = connections[DEFAULT_DB_ALIAS]
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    insert = INSERT.format(
        table=table,
        columns=", ".join(quote(field.column) for field in fields),
        values=", ".join(f"%s::{_type_of(field, connection)}" for field in fields),
        row=row_text(reader).sql,
        version=f"{table}.{quote('row_version')}" if issubclass(model, Audited) else "NULL",
    )
    gate_sql, gate_values = gate(view, "POST", also=TOLD)
    at = gate_values.index(DIGEST_HERE)
    marks = tuple(f"<{field.column}>" for field in fields)
    values = (*gate_values[:at], CONTEXT_HERE, *gate_values[at:], *marks)
    statement = Statement.of(gate_sql + insert, values, (PREFIX_HERE, CONTEXT_HERE, DIGEST_HERE, *marks))
    return Creation(statement, serializer, reader, model, fields, ", ".join(view.allowed_methods))


def makes_as_the_kit_does(route: Any) -> bool:
    """Tell whether all that a POST runs through is the kit's own: viewset, serializer, its fields, and model."""
    view_class = route.cls
    if route.actions.get("post") != "create" or not follows(view_class, VIEW):
        return False
    if view_class.create is not CreateMixin.create:
        return False
    serializer_class = view_class.serializer_class
    if not issubclass(serializer_class, RecordSerializer) or not follows(serializer_class, SERIALIZER):
        return False
    if any(name.startswith("validate_") and name != "validate_empty_values" for name in dir(serializer_class)):
        return False
    model = serializer_class.Meta.model
    fields = serializer_class(context={})._writable_fields
    return (
        issubclass(model, OrganizationLog)
        and model.organization_path == "organization"
        and follows(model, MODEL)
        and not pre_save.has_listeners(model)
        and not post_save.has_listeners(model)
        and all(_stands_alone(field) for field in fields)
    )


def _stands_alone(field: Any) -> bool:
    """Tell whether the field is checked by itself. References are none where there is no organization to look in."""
    if isinstance(field, BaseSerializer | ManyRelatedField):
        return False
    return not isinstance(field, RelatedField) or type(field) is OrganizationRelatedField


def _type_of(field: models.Field, connection: Any) -> str:
    """Return the type of the column without its limits: a cast would cut to them what the column itself refuses."""
    return re.sub(r"\(\d+(, *\d+)?\)", "", field.db_type(connection) or "")
