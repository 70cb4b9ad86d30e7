"""Exports: every list as a file, whole, as the list would show it, and safe to open in a spreadsheet."""

import csv
import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Task
from catalog.models import Product
from core.api import exports
from core.models import Role, Scope
from tests.factories import make, make_many
from tests.factories.catalog import OrderFactory, ProductFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.reflection import Route, list_routes

pytestmark = pytest.mark.django_db

TASKS, PRODUCTS, ORDERS = "/api/v1/tasks/", "/api/v1/products/", "/api/v1/orders/"
each_list = pytest.mark.parametrize("route", list_routes(), ids=str)


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content).decode()


def exported(client: ApiClient, path: str, form: str = "ndjson", **parameters: Any) -> list[Any]:
    """Return the rows of an export: objects, or of CSV objects of text."""
    text = text_of(client.get(path, {"format": form} | parameters))
    if form == "csv":
        return list(csv.DictReader(StringIO(text, newline=""), strict=True))
    return [json.loads(line) for line in text.split("\n")[:-1]]


def listed(client: ApiClient, path: str, **parameters: Any) -> list[Any]:
    return client.get(path, {"limit": 200} | parameters).json()["results"]


def errors(answer: Any) -> list[tuple[str, str]]:
    return [(each["field"], each["code"]) for each in answer.json()["errors"]]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages be of three rows, and then of as many as fit in 2,000 characters."""
    monkeypatch.setattr(exports, "FIRST_ROWS", 3)
    monkeypatch.setattr(exports, "PAGE_CHARACTERS", 2_000)


# --- What is exported --------------------------------------------------------------------------------


@each_list
def test_every_list_is_exported_as_it_is_listed(route: Route, owner: Actor, other_organization: Any) -> None:
    make_many(route.model, owner.organization, 3)
    make(route.model, other_organization)
    rows = listed(owner.by_key, route.path())
    assert rows
    assert exported(owner.by_key, route.path()) == rows
    table = exported(owner.by_key, route.path(), "csv")
    assert [list(line) for line in table] == [list(row) for row in rows]
    for line, row in zip(table, rows, strict=True):
        assert {name: cell for name, cell in line.items() if name.endswith("id")} == {
            name: "" if value is None else str(value).removeprefix("'")
            for name, value in row.items()
            if name.endswith("id")
        }


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("ordering", ["-created_at", "due_at,-created_at", "-due_at"])
def test_an_export_of_many_pages_has_each_row_once_in_order(ordering: str, owner: Actor) -> None:
    tasks = make_many(Task, owner.organization, 40)
    for number, task in enumerate(tasks[::3]):
        Task.objects.filter(pk=task.pk).update(due_at=f"2030-01-0{1 + number % 4}T00:00:00Z")
    with CaptureQueriesContext(connection) as queries:
        rows = exported(owner.by_key, TASKS, ordering=ordering)
    assert len([query for query in queries if '"agents_task"' in query["sql"]]) > 5
    assert len(rows) == 40
    assert rows == listed(owner.by_key, TASKS, ordering=ordering)


@pytest.mark.usefixtures("small_pages")
def test_rows_that_come_during_an_export_hide_none(owner: Actor) -> None:
    tasks = make_many(Task, owner.organization, 20)
    answer = owner.by_key.get(TASKS, {"format": "ndjson", "fields": "id"})
    pages = iter(answer.streaming_content)
    text = next(pages)
    make_many(Task, owner.organization, 5)  # newer than all, and the export goes from the newest to the oldest
    Task.objects.filter(pk=tasks[0].pk).delete()
    text += b"".join(pages)
    assert [json.loads(line)["id"] for line in text.splitlines()] == [str(task.pk) for task in tasks[:0:-1]]


def test_filters_ordering_and_fields_are_the_lists(owner: Actor) -> None:
    for name, status in (("b", "active"), ("c", "draft"), ("a", "active")):
        ProductFactory(organization=owner.organization, name=name, status=status)
    asked = {"status": "active", "ordering": "name", "fields": "name,status"}
    assert exported(owner.by_key, PRODUCTS, **asked) == [
        {"name": "a", "status": "active"},
        {"name": "b", "status": "active"},
    ]
    answer = owner.by_key.get(PRODUCTS, {"format": "csv"} | asked)
    assert text_of(answer) == "name,status\r\na,active\r\nb,active\r\n"


def test_what_the_ordinary_way_renders_is_exported_too(owner: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    from catalog.api.serializers import ProductSerializer

    product = make(Product, owner.organization)
    expected = listed(owner.by_key, PRODUCTS)
    monkeypatch.setattr(ProductSerializer.Meta, "ordinary_fields", ("name",), raising=False)
    assert [row["id"] for row in exported(owner.by_key, PRODUCTS)] == [str(product.pk)]
    assert [row["name"] for row in exported(owner.by_key, PRODUCTS, "csv")] == [expected[0]["name"]]


def test_nothing_to_export_is_a_header_or_nothing(owner: Actor) -> None:
    assert text_of(owner.by_key.get(TASKS, {"format": "csv", "fields": "id,name"})) == "id,name\r\n"
    assert text_of(owner.by_key.get(TASKS, {"format": "ndjson"})) == ""


# --- Who gets what -----------------------------------------------------------------------------------


def test_scopes_roles_and_tenancy_are_the_lists(owner: Actor, customer: Actor, stranger: Actor) -> None:
    own = OrderFactory(organization=owner.organization, customer=customer.user)
    OrderFactory(organization=owner.organization)
    assert [row["id"] for row in exported(customer.by_key, ORDERS)] == [str(own.pk)]
    assert len(exported(owner.by_key, ORDERS)) == 2
    assert exported(stranger.by_key, ORDERS) == []
    for client, status in (
        (ApiClient(), 401),
        (owner.with_scopes([Scope.CORE_READ]), 403),
    ):
        answer = client.get(ORDERS, {"format": "csv"})
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert customer.role == Role.CUSTOMER
    assert customer.by_key.get(TASKS, {"format": "ndjson"}).status_code == 403


# --- The file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["*/*", "text/csv", "application/json", "text/html", "image/png"])
def test_the_parameter_chooses_whatever_is_accepted(accept: str, owner: Actor) -> None:
    for form, media_type in (("csv", "text/csv"), ("ndjson", "application/x-ndjson")):
        answer = owner.by_key.get(TASKS, {"format": form}, headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer["Content-Type"] == f"{media_type}; charset=utf-8"
        assert re.fullmatch(rf'attachment; filename="tasks-\d{{8}}T\d{{6}}Z\.{form}"', answer["Content-Disposition"])
        assert answer["Cache-Control"] == "private, no-store"


def test_the_accepted_type_chooses_without_the_parameter(owner: Actor) -> None:
    answer = owner.by_key.get(TASKS, headers={"Accept": "text/csv"})
    assert text_of(answer).startswith("id,")
    assert owner.by_key.get(TASKS, headers={"Accept": "image/png"}).status_code == 406


def test_json_is_a_page_as_ever(owner: Actor) -> None:
    make(Task, owner.organization)
    assert owner.by_key.get(TASKS, {"format": "json", "limit": 1}).json()["results"]


def test_head_tells_without_the_rows(owner: Actor) -> None:
    make(Task, owner.organization)
    answer = owner.by_key.head(TASKS, {"format": "csv"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert text_of(answer) == ""


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"format": "xml"}, [("format", "invalid_choice")]),
        ({"format": ""}, [("format", "invalid_choice")]),
        ({"format": "csv", "limit": "5"}, [("limit", "invalid")]),
        ({"format": "csv", "cursor": "x", "count": "exact"}, [("cursor", "invalid"), ("count", "invalid")]),
        ({"format": "csv", "nonsense": "1"}, [("nonsense", "unknown")]),
        ({"format": "ndjson", "fields": "nonsense"}, [("fields", "unknown")]),
        ({"format": "ndjson", "ordering": "nonsense"}, [("ordering", "invalid")]),
    ],
)
def test_what_is_wrong_is_a_problem_that_names_it(
    parameters: dict[str, str], expected: list[tuple[str, str]], owner: Actor
) -> None:
    answer = owner.by_key.get(TASKS, parameters)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert errors(answer) == expected


# --- Cells -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-12.50", "-12.50"),
        ("+49", "+49"),
        ("-1e-7", "-1e-7"),
        ("--1", "'--1"),
        ("+", "'+"),
        ("-٣", "'-٣"),
        ('plain, “quoted” "text"\r\nof two lines', 'plain, “quoted” "text"\r\nof two lines'),
        ("a=b", "a=b"),
        ("'=1", "'=1"),
    ],
)
def test_a_cell_begins_no_formula(name: str, cell: str, owner: Actor) -> None:
    task = make(Task, owner.organization)
    Task.objects.filter(pk=task.pk).update(name=name)
    [row] = exported(owner.by_key, TASKS, "csv", fields="id,name")
    assert row == {"id": str(task.pk), "name": cell}
    assert exported(owner.by_key, TASKS)[0]["name"] == name


@pytest.mark.parametrize("first", ["\t", "\r"])
def test_nor_does_one_that_begins_with_a_blank(first: str, owner: Actor) -> None:
    task = make(Task, owner.organization)
    Task.objects.filter(pk=task.pk).update(name=f"{first}=1")
    [row] = exported(owner.by_key, TASKS, "csv", fields="name")
    assert row == {"name": f"'{first}=1"}


def test_values_keep_their_exact_text(owner: Actor) -> None:
    config = '{"big": 12345678901234567890123.4500, "list": [1, {"=a": null}]}'
    task = make(Task, owner.organization)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE agents_task SET config = %s WHERE id = %s", [config, task.pk])
    Task.objects.filter(pk=task.pk).update(due_at=None)
    [row] = exported(owner.by_key, TASKS, "csv", fields="config,due_at,total_runs")
    assert row == {"config": config, "due_at": "", "total_runs": "0"}
    product = ProductFactory(organization=owner.organization, price="19.90")
    [row] = exported(owner.by_key, PRODUCTS, "csv", fields="id,price")
    assert row == {"id": str(product.pk), "price": "19.9000"}


# --- The schema --------------------------------------------------------------------------------------


def test_the_schema_tells_of_exports(tmp_path: Any) -> None:
    call_command("spectacular", "--file", str(tmp_path / "schema.yml"), "--format", "openapi-json")
    operation = json.loads((tmp_path / "schema.yml").read_text())["paths"]["/api/v1/tasks/"]["get"]
    [parameter] = [each for each in operation["parameters"] if each["name"] == "format"]
    assert parameter["schema"]["enum"] == ["json", "csv", "ndjson"]
    content = operation["responses"]["200"]["content"]
    assert content["text/csv"] == content["application/x-ndjson"] == {"schema": {"type": "string"}}
