"""Every page of every registered admin answers, under the strict Content-Security-Policy."""

from typing import Any

import pytest
from django.contrib.admin import ShowFacets
from django.contrib.auth.models import Group
from django.contrib.postgres.indexes import GinIndex
from django.db import connection
from django.db.models import ForeignKey, Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.module_loading import import_string

from core.admin import RecordAdmin
from tests.admin import pages
from tests.admin.conftest import Staff
from tests.kit.database import writes_nothing


def make_record(model: type[Model]) -> Any:
    """Make a record with the model's factory, wherever it lives."""
    if model is Group:
        return Group.objects.create(name="Clerks")
    return import_string(f"tests.factories.{model._meta.app_label}.{model.__name__}Factory")()


def check(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code, response.headers.get("Location"))
    html = response.content.decode()
    assert pages.inline_code(html) == [], address
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    return html


@pytest.mark.parametrize("label", pages.names())
def test_a_list_reads_no_more_for_more_rows(label: str, superuser: Staff) -> None:
    model = pages.admin_of(label).model
    spent = []
    for _ in range(2):
        for _ in range(1 if model is Group else 4):
            make_record(model)
        with CaptureQueriesContext(connection) as queries:
            assert superuser.client.get(pages.url("changelist", model)).status_code == 200
        spent.append(len(queries))
        if model is Group:
            Group.objects.all().delete()
    assert spent[1] <= 10, "\n".join(query["sql"][:300] for query in queries.captured_queries)
    assert spent[0] == spent[1], "\n".join(query["sql"][:300] for query in queries.captured_queries)


def has_trigram_index(model: type[Model], field: str) -> bool:
    return any(
        isinstance(index, GinIndex) and "gin_trgm_ops" in str(index.deconstruct()) and field in str(index.deconstruct())
        for index in model._meta.indexes
    )


@pytest.mark.parametrize("label", [name for name in pages.names() if name != "auth.Group"])
def test_kit_rules_of(label: str) -> None:
    """What DESIGN.md asks of every list: no facets, no date hierarchy, no infix search without a trigram index."""
    admin = pages.admin_of(label)
    assert isinstance(admin, RecordAdmin)
    assert admin.description
    assert admin.date_hierarchy is None
    assert admin.show_facets is ShowFacets.NEVER
    assert not admin.show_full_result_count
    infix = [name for name in admin.search_fields if name[0] not in "^="]
    assert [name for name in infix if not has_trigram_index(admin.model, name)] == []


@pytest.mark.parametrize("label", pages.names())
def test_pages_of(label: str, superuser: Staff) -> None:
    admin = pages.admin_of(label)
    record = make_record(admin.model)
    client = superuser.client
    check(client, pages.url("changelist", admin.model))
    check(client, pages.url("changelist", admin.model) + "?q=something")
    check(client, pages.url("change", admin.model, record.pk))
    check(client, pages.url("history", admin.model, record.pk))
    request = client.get(pages.url("changelist", admin.model)).wsgi_request
    if admin.has_add_permission(request):
        check(client, pages.url("add", admin.model))
    if admin.has_delete_permission(request):
        check(client, pages.url("delete", admin.model, record.pk))


@pytest.mark.parametrize("label", pages.names())
def test_what_is_no_id_is_told_and_changes_nothing(label: str, superuser: Staff) -> None:
    model = pages.admin_of(label).model
    references = [field.name for field in model._meta.get_fields() if isinstance(field, ForeignKey)]
    with writes_nothing():
        answer = superuser.client.post(pages.url("add", model), dict.fromkeys(references, "x"))
    assert answer.status_code in (200, 403)
