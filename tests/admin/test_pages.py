"""Every page of every registered admin answers, under the strict Content-Security-Policy."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models import Model
from django.test import Client

from tests.admin import pages
from tests.admin.conftest import Staff


def make_record(model: type[Model]) -> Any:
    """Make a record with the model's factory, wherever it lives."""
    if model is Group:
        return Group.objects.create(name="Clerks")
    from django.utils.module_loading import import_string

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
