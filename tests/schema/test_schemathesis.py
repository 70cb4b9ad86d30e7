"""The API keeps the promises of its own schema, whatever a client sends.

Schemathesis reads the OpenAPI schema and makes requests from it, valid ones and broken ones; each is sent as it
came, and again about records that exist. No answer may be a 5xx, have a status or a content type that the schema
doesn't name, or a body of another shape than it says.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, transaction
from django.urls import resolve
from factory.django import DjangoModelFactory
from hypothesis import HealthCheck, settings
from psycopg.pq import TransactionStatus
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from core.models.base import Record
from tests import factories
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db

# The usual run invents some requests an operation. SCHEMATHESIS=thorough invents more, and first tries each
# parameter at its limits, in every wrong type and so on: some 200 requests an operation.
THOROUGH = os.environ.get("SCHEMATHESIS") == "thorough"
CONFIG = SchemathesisConfig.from_dict(
    {
        "generation": {"max-examples": 50 if THOROUGH else 3, "deterministic": True, "database": "none"},
        "phases": {"coverage": {"enabled": THOROUGH}, "stateful": {"enabled": False}},
        "checks": {
            # These three don't hold, and needn't. A valid form doesn't make a request acceptable (a cursor is
            # opaque, a reference may lead nowhere); DRF reads 5 as "5" and "yes" as true; and the check of
            # authentication can't take away the key that each request here is sent with.
            "positive_data_acceptance": {"enabled": False},
            "negative_data_rejection": {"enabled": False},
            "ignored_auth": {"enabled": False},
        },
    }
)


def in_this_transaction(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve a request by the whole WSGI application, on the connection of the test that sends it."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        answer = application(environ, start_response)
        content = list(answer)
        answer.close()
        return content
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


application = WSGIHandler()
schema = schemathesis.openapi.from_wsgi(
    "/api/schema/", in_this_transaction, config=CONFIG, headers={"Accept": "application/json"}
)


def name_of(model: Any) -> str:
    """Return what bodies call a record of this kind; what only follows from records goes by its model's name."""
    return model.resource() if issubclass(model, Record) else model._meta.model_name


@pytest.fixture(scope="module")
def owner(cast: dict[str, Actor]) -> Actor:
    return cast["owner"]


@pytest.fixture(scope="module")
def known(owner: Actor) -> dict[str, str]:
    """One record of each kind in our organization: its id by the name that bodies refer to it by."""
    ids = {"user": str(owner.user.pk), "customer": str(owner.user.pk), "organization": str(owner.organization.pk)}
    with transaction.atomic():
        for module in iter_modules(factories.__path__, f"{factories.__name__}."):
            for factory in vars(import_module(module.name)).values():
                if isinstance(factory, type) and issubclass(factory, DjangoModelFactory) and factory._meta.model:
                    model = factory._meta.model
                    if "organization" in factory._meta.declarations:
                        ids[name_of(model)] = str(factory(organization=owner.organization).pk)
    return ids


@contextmanager
def undone() -> Iterator[None]:
    """Undo all that the block writes, once the database has checked what it checks at a transaction's end."""
    with transaction.atomic():
        yield
        if connection.connection.info.transaction_status != TransactionStatus.INERROR:
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.set_rollback(True)


def about(known: dict[str, str], value: Any, name: str = "") -> Any:
    """Return the body ``value`` with references to records that exist in place of invented ones."""
    if isinstance(value, dict):
        return {key: about(known, inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [about(known, inner, name) for inner in value]
    return known.get(name, value) if isinstance(value, str) else value


def send(case: Case, owner: Actor) -> None:
    with undone():
        response = case.call(headers={"Authorization": f"Bearer {owner.key.text}"})
        case.validate_response(response)


def schema_of(operation: Any) -> Any:
    """Return the schema of one operation: of all, each test would go through all others, and keep its own copy."""
    raw = schema.raw_schema
    item = {name: raw["paths"][operation.path][name] for name in (operation.method,)}
    own = schemathesis.openapi.from_dict({**raw, "paths": {operation.path: item}}, config=CONFIG)
    own.app, own.location = schema.app, schema.location
    return own


def check_of(operation: Any) -> Any:
    """Return the test of one operation of the schema."""

    @schema_of(operation).parametrize()
    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    def check(case: Case, owner: Actor, known: dict[str, str]) -> None:
        send(case, owner)
        view = resolve(case.operation.full_path.replace("{id}", known["user"])).func.cls
        name = name_of(view.queryset.model)
        if "id" in case.path_parameters and name in known:
            case.path_parameters["id"] = known[name]
            case.body = about(known, case.body)
            send(case, owner)

    return check


# A test an operation, of its own name: by one test for all, pytest-xdist would run the first and drop the rest.
for result in schema.get_all_operations():
    operation = result.ok()
    globals()[f"test_{operation.definition.raw['operationId']}"] = check_of(operation)
