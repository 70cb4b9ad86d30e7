"""Every endpoint reads as declared: the same JSON as the ordinary way, in few queries. Found by reflection."""

import json
from datetime import datetime
from typing import Any

import pytest
from django.core.checks import Error, run_checks
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from core.api.readpath import row_text, underivable
from core.api.renderers import JSONRenderer
from core.api.serializers import OrganizationSerializer, RecordSerializer
from core.api.views import OrganizationViewSet
from core.checks import check_read_path
from core.models import Organization
from tests.factories import make, make_many
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY
from tests.kit.planting import nasty_texts, plant
from tests.kit.reflection import Route, list_routes, read_serializer_class, shown_models

pytestmark = pytest.mark.django_db

each_list = pytest.mark.parametrize("route", list_routes(), ids=str)

MOST_QUERIES = 4


def comparable(value: Any) -> Any:
    """Return a JSON value with its times as moments: both ways of writing UTC are right."""
    if isinstance(value, dict):
        return {name: comparable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    if isinstance(value, str) and value[4:5] == "-" and value[10:11] == "T":
        return datetime.fromisoformat(value)
    return value


def ordinary(serializer: serializers.ModelSerializer, row: models.Model) -> Any:
    """Return the row's JSON as REST framework itself renders it."""
    return comparable(json.loads(JSONRenderer().render(serializer.to_representation(row))))


def by_postgres(serializer: Any, row: models.Model) -> Any:
    """Return the row's JSON as PostgreSQL renders it."""
    [text] = type(row)._base_manager.filter(pk=row.pk).values_list(row_text(serializer), flat=True)
    return comparable(json.loads(text))


def derivable(viewset: Any) -> Any:
    """Return the viewset's serializer without the fields that it declares as not derivable."""
    serializer_class = read_serializer_class(viewset)
    declared = set(getattr(serializer_class.Meta, "ordinary_fields", ()))
    return serializer_class(only=[name for name in serializer_class().fields if name not in declared])


def fill(row: models.Model, serializer: Any) -> None:
    """Plant text that breaks careless rendering in the row, and in those that are nested in its JSON."""
    plant(row, nasty_texts)
    for model in list(shown_models(serializer))[1:]:
        for nested in model._base_manager.all():
            plant(nested, nasty_texts)


# --- The read path ---------------------------------------------------------------------------------


@each_list
def test_postgres_renders_a_row_as_the_serializer_would(route: Route, organization: Organization) -> None:
    serializer = derivable(route.viewset)
    rows = make_many(route.model, organization, 2)
    fill(rows[-1], serializer)
    for row in rows:
        row.refresh_from_db()
        assert by_postgres(serializer, row) == ordinary(serializer, row)


@each_list
def test_a_list_and_a_detail_answer_what_the_serializer_says(route: Route, owner: Actor) -> None:
    viewset: Any = route.viewset
    row = make(route.model, owner.organization)
    fill(row, read_serializer_class(viewset)())
    row.refresh_from_db()
    expected = ordinary(read_serializer_class(viewset)(), row)
    short = {name: value for name, value in expected.items() if name not in viewset.list_leaves_out}
    listed = owner.by_key.get(route.path()).json()["results"]
    assert short in [comparable(item) for item in listed]
    assert expected in [
        comparable(item) for item in owner.by_key.get(route.path(), {"fields": ",".join(expected)}).json()["results"]
    ]
    detail = owner.by_key.get(f"{route.path()}{row.pk}/")
    assert comparable(detail.json()) == expected
    assert list(detail.json()) == list(expected)


@each_list
def test_fields_narrow_the_answer(route: Route, owner: Actor) -> None:
    viewset: Any = route.viewset
    row = make(route.model, owner.organization)
    expected = ordinary(read_serializer_class(viewset)(), type(row)._base_manager.get(pk=row.pk))
    for name, value in expected.items():
        answer = owner.by_key.get(f"{route.path()}{row.pk}/", {"fields": name})
        assert comparable(answer.json()) == {name: value}
    pair = list(expected)[:2]
    listed = owner.by_key.get(route.path(), {"fields": ",".join(pair)}).json()["results"]
    assert all(list(item) == pair for item in listed)


def test_the_project_passes_its_check_of_the_read_path() -> None:
    assert check_read_path() == []
    assert not [message for message in run_checks() if str(message.id).startswith("muster.")]


class ShoutingSerializer(RecordSerializer):
    """Has a field that PostgreSQL can't render."""

    loud_name = serializers.SerializerMethodField()

    class Meta:
        model = Organization
        fields = ("id", "name", "loud_name")

    def get_loud_name(self, organization: Organization) -> str:
        return organization.name.upper()


def test_the_check_finds_a_field_that_cannot_be_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    assert underivable(ShoutingSerializer()) == ["loud_name"]
    monkeypatch.setattr(OrganizationViewSet, "serializer_class", ShoutingSerializer)
    [message] = check_read_path()
    assert isinstance(message, Error)
    assert message.id == "muster.E001"
    assert "loud_name" in message.msg


def test_the_check_finds_a_needless_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrganizationSerializer.Meta, "ordinary_fields", ("name",), raising=False)
    assert [message.id for message in check_read_path()] == ["muster.W001"]


def test_the_check_finds_a_source_that_is_no_column(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(RecordSerializer):
        title = serializers.CharField(source="get_title")

        class Meta:
            model = Organization
            fields = ("id", "title")

    monkeypatch.setattr(OrganizationViewSet, "serializer_class", Broken)
    assert [message.id for message in check_read_path()] == ["muster.E002"]


def test_a_declared_field_is_read_the_ordinary_way(monkeypatch: pytest.MonkeyPatch, owner: Actor) -> None:
    monkeypatch.setattr(ShoutingSerializer.Meta, "ordinary_fields", ("loud_name",), raising=False)
    monkeypatch.setattr(OrganizationViewSet, "serializer_class", ShoutingSerializer)
    assert check_read_path() == []
    [row] = owner.by_key.get("/api/v1/organizations/").json()["results"]
    assert row == {"id": str(owner.organization.pk), "name": "Acme", "loud_name": "ACME"}
    [row] = owner.by_key.get("/api/v1/organizations/", {"fields": "name"}).json()["results"]
    assert row == {"name": "Acme"}


# --- Queries ---------------------------------------------------------------------------------------


@each_list
@pytest.mark.parametrize("headers", [{}, ORDINARY_WAY], ids=["short", "ordinary"])
def test_a_list_takes_few_queries_whatever_its_length(headers: dict[str, str], route: Route, owner: Actor) -> None:
    for _ in range(3):  # notes the use of the key, and makes the shape of the request known
        owner.by_key.get(route.path(), {"limit": 200})
    counts = []
    for more in (3, 57):
        if route.model is not Organization:
            make_many(route.model, owner.organization, more)
        with CaptureQueriesContext(connection) as queries:
            assert owner.by_key.get(route.path(), {"limit": 200}, headers=headers).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= MOST_QUERIES


@each_list
def test_a_detail_takes_few_queries(route: Route, owner: Actor) -> None:
    row = make(route.model, owner.organization)
    owner.by_key.get(route.path())
    with CaptureQueriesContext(connection) as queries:
        assert owner.by_key.get(f"{route.path()}{row.pk}/").status_code == 200
    assert len(queries) <= MOST_QUERIES
