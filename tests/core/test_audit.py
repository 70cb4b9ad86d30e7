"""The event stream: every write of every writer is an event, in its transaction, and says who or what wrote."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.client import DatabaseClient
from django.test import Client

from config.embedded_postgres.server import binaries
from core.models import APIKey, AuditEvent, Membership, Organization, Role, User
from tests.factories.core import APIKeyFactory, MembershipFactory, OrganizationFactory, UserFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.sql import run
from tests.kit.waiting import PATIENCE

pytestmark = pytest.mark.django_db


def events(**filters: Any) -> list[AuditEvent]:
    """Return the events, oldest first."""
    return list(AuditEvent.objects.filter(**filters).order_by("timestamp", "id"))


def last_event(**filters: Any) -> AuditEvent:
    return events(**filters)[-1]


# --- What an event holds ---------------------------------------------------------------------------


def test_an_insert_is_one_event_with_all_values() -> None:
    organization = OrganizationFactory(name="Acme", slug="acme", settings={"theme": "dark"})
    [event] = events()
    assert event.event_type == "organization.create"
    assert (event.resource_type, event.resource_id) == ("organization", organization.pk)
    assert event.organization_id == organization.pk
    assert event.old_value is None
    assert event.new_value is not None
    assert event.new_value["name"] == "Acme"
    assert event.new_value["settings"] == {"theme": "dark"}
    assert set(event.new_value) == {field.column for field in Organization._meta.concrete_fields}
    assert event.success
    assert event.error_message == ""


def test_an_update_is_one_event_with_what_changed_only(organization: Organization) -> None:
    organization.name = "Renamed"
    organization.save()
    event = last_event()
    assert event.event_type == "organization.update"
    assert event.old_value == {"name": "Acme"}
    assert event.new_value == {"name": "Renamed"}
    assert event.changes() == [("name", "Acme", "Renamed")]


def test_a_deletion_is_one_event_with_the_old_values(teammate: Actor) -> None:
    Membership.objects.filter(pk=teammate.membership.pk).delete()
    event = last_event()
    assert event.event_type == "membership.delete"
    assert event.old_value is not None
    assert event.old_value["role"] == "member"
    assert event.new_value is None


def test_a_write_that_changes_nothing_is_no_event(organization: Organization) -> None:
    before = AuditEvent.objects.count()
    organization.save()
    run("UPDATE core_organization SET name = name")
    assert AuditEvent.objects.count() == before


def test_a_rewrite_that_leaves_json_equal_is_no_event() -> None:
    organization = OrganizationFactory(settings={"a": 1, "b": [1, 2]})
    before = AuditEvent.objects.count()
    Organization.objects.filter(pk=organization.pk).update(settings={"b": [1, 2], "a": 1})
    assert AuditEvent.objects.count() == before


def test_a_value_set_to_null_and_back_is_told() -> None:
    key = APIKeyFactory()
    for moment in ("2030-01-01T00:00:00Z", None):
        APIKey.objects.filter(pk=key.pk).update(expires_at=moment)
    to_time, to_null = events(event_type="api_key.update")
    assert to_time.old_value == {"expires_at": None}
    assert to_null.new_value == {"expires_at": None}


def test_an_event_names_the_organization_of_its_row(teammate: Actor, stranger: Actor) -> None:
    assert last_event(resource_id=teammate.membership.pk).organization_id == teammate.organization.pk
    assert last_event(resource_id=stranger.membership.pk).organization_id == stranger.organization.pk
    assert last_event(resource_id=teammate.user.pk).organization_id is None


def test_events_about_a_record_come_newest_first(organization: Organization) -> None:
    Organization.objects.update(name="Second")
    Organization.objects.update(name="Third")
    about = AuditEvent.objects.about(organization)
    assert [(event.new_value or {})["name"] for event in about] == ["Third", "Second", "Acme"]


# --- Secrets ---------------------------------------------------------------------------------------


def test_secrets_are_redacted_in_every_kind_of_event() -> None:
    user = UserFactory(password="a long and secret phrase")
    user.change_password("another long and secret phrase")
    key = APIKeyFactory(user=user)
    APIKey.objects.filter(pk=key.pk).update(digest="0" * 64)
    APIKey.objects.filter(pk=key.pk).delete()
    User.objects.filter(pk=user.pk).delete()

    changed = last_event(event_type="user.update")
    assert changed.old_value == changed.new_value == {"password": "[redacted]"}
    changed = last_event(event_type="api_key.update")
    assert changed.old_value == changed.new_value == {"digest": "[redacted]"}
    [(everything,)] = run("SELECT string_agg(to_jsonb(event)::text, ' ') FROM core_auditevent AS event")
    for secret in ("argon2", "secret phrase", user.password, key.digest, "0" * 64, key.text.rpartition("_")[2]):
        assert secret not in everything


def test_what_is_not_worth_an_event_is_none(teammate: Actor) -> None:
    before = AuditEvent.objects.count()
    User.objects.update(last_login="2025-01-01T00:00:00Z")
    APIKey.objects.update(last_used_at="2025-01-01T00:00:00Z")
    assert AuditEvent.objects.count() == before


# --- Every writer ----------------------------------------------------------------------------------


def test_bulk_create_is_an_event_a_row() -> None:
    Organization.objects.bulk_create(Organization(name=f"Bulk {n}", slug=f"bulk-{n}") for n in range(5))
    assert len(events(event_type="organization.create")) == 5


def test_an_update_of_many_is_an_event_a_row() -> None:
    OrganizationFactory.create_batch(3)
    Organization.objects.update(plan_tier="pro")
    updates = events(event_type="organization.update")
    assert len({event.resource_id for event in updates}) == len(updates) == 3


def test_bulk_update_is_an_event_a_row() -> None:
    rows = OrganizationFactory.create_batch(3)
    for row in rows:
        row.name += "!"
    Organization.objects.bulk_update(rows, ["name"])
    assert len(events(event_type="organization.update")) == 3


def test_an_upsert_is_told_as_what_it_did(organization: Organization) -> None:
    rows = [Organization(name="Acme 2", slug="acme"), Organization(name="New", slug="new")]
    Organization.objects.bulk_create(rows, update_conflicts=True, update_fields=["name"], unique_fields=["slug"])
    assert [event.event_type.partition(".")[2] for event in events()] == ["create", "update", "create"]


def test_copy_is_an_event_a_row() -> None:
    with connection.cursor() as cursor:
        columns = "name, slug, plan_tier, settings, is_active"
        with cursor.copy(f"COPY core_organization ({columns}) FROM STDIN") as copy:
            for number in range(3):
                copy.write_row((f"Copy {number}", f"copy-{number}", "pro", "{}", True))
    assert len(events(event_type="organization.create")) == 3


def test_loaddata_is_an_event_a_row_and_named(tmp_path: Path) -> None:
    fixture = tmp_path / "people.json"
    fields = {"name": "From a fixture", "slug": "from-a-fixture"}
    fixture.write_text(json.dumps([{"model": "core.organization", "fields": fields}]))
    call_command("loaddata", str(fixture), verbosity=0)
    [event] = events()
    assert event.event_type == "organization.create"
    assert event.user_id is None
    assert event.details["source"].startswith("muster ")


def test_a_writer_without_a_context_is_named_by_its_connection() -> None:
    """A shell, a script: config.database gives each process's connections a name."""
    OrganizationFactory()
    event = last_event()
    assert event.details == {"source": "muster pytest", "database_role": connection.settings_dict["USER"]}
    assert (event.user_id, event.user_email, event.api_key_id, event.request_id) == (None, "", None, "")


@pytest.mark.django_db(transaction=True)
def test_another_program_is_named_by_its_connection() -> None:
    parameters = connection.get_connection_params() | {"application_name": "nightly-report"}
    known = {name: parameters[name] for name in ("dbname", "host", "port", "user", "application_name")}
    with psycopg.connect(**known, password=parameters.get("password")) as outside:
        outside.execute(
            "INSERT INTO core_organization (name, slug, plan_tier, settings, is_active)"
            " VALUES ('Outside', 'outside', 'free', '{}', true)"
        )
    [event] = events()
    assert event.details == {"source": "nightly-report", "database_role": parameters["user"]}


@pytest.mark.django_db(transaction=True)
def test_psql_is_an_event_a_row_and_named() -> None:
    OrganizationFactory.create_batch(2)
    command, extra = DatabaseClient.settings_to_cmd_args_env(connection.settings_dict, [])
    statement = "UPDATE core_organization SET plan_tier = 'pro'"
    psql = str(binaries() / "psql")
    environment = {**os.environ, **(extra or {})}
    subprocess.run(
        [psql, *command[1:], "--no-psqlrc", "--quiet", "--command", statement],
        env={name: value for name, value in environment.items() if name != "PGAPPNAME"},
        check=True,
        timeout=PATIENCE,
    )
    found = events(event_type="organization.update")
    assert [event.details["source"] for event in found] == ["psql", "psql"]
    assert found[0].new_value == {"plan_tier": "pro"}


def test_the_api_names_who_wrote_by_session(owner: Actor) -> None:
    answer = owner.client.patch(
        f"/api/v1/organizations/{owner.organization.pk}/",
        {"name": "By session"},
        headers={"X-Request-ID": "req-1", "User-Agent": "Tests/1"},
    )
    assert answer.status_code == 200
    event = last_event(event_type="organization.update")
    assert (event.user_id, event.user_email, event.api_key_id) == (owner.user.pk, owner.user.email, None)
    assert (event.request_id, event.ip_address, event.user_agent) == ("req-1", "127.0.0.1", "Tests/1")
    assert event.details == {"source": "api"}


def test_the_api_names_who_wrote_by_key(owner: Actor) -> None:
    owner.by_key.patch(f"/api/v1/organizations/{owner.organization.pk}/", {"name": "By key"})
    event = last_event(event_type="organization.update")
    assert (event.user_id, event.user_email) == (owner.user.pk, owner.user.email)
    assert event.api_key_id == owner.key.pk


def test_the_email_stays_as_it_was(owner: Actor) -> None:
    owner.by_key.patch(f"/api/v1/organizations/{owner.organization.pk}/", {"name": "By key"})
    email = owner.user.email
    User.objects.filter(pk=owner.user.pk).update(email="renamed@example.com")
    assert last_event(event_type="organization.update").user_email == email


# --- Transactions ----------------------------------------------------------------------------------


def test_a_change_that_is_rolled_back_leaves_no_event(organization: Organization) -> None:
    before = AuditEvent.objects.count()
    with transaction.atomic():
        Organization.objects.update(name="Never")
        assert AuditEvent.objects.count() == before + 1
        transaction.set_rollback(True)
    assert AuditEvent.objects.count() == before


def test_a_refused_statement_leaves_no_event() -> None:
    MembershipFactory(role=Role.OWNER)
    before = AuditEvent.objects.count()
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.update(role=Role.VIEWER)
    assert AuditEvent.objects.count() == before


# --- What is no row change -------------------------------------------------------------------------


def log_in(**form: str) -> int:
    return Client().post("/admin/login/", form).status_code


def test_a_failed_login_is_an_event() -> None:
    UserFactory(email="ann@example.com", password="right horse battery", is_staff=True)
    assert log_in(username="ANN@example.com", password="wrong horse battery") == 200
    [event] = events(event_type="login.fail")
    assert not event.success
    assert (event.user_email, event.details["source"], event.ip_address) == ("ANN@example.com", "admin", "127.0.0.1")
    assert "wrong horse" not in str(vars(event))


def test_a_login_is_an_event() -> None:
    user = UserFactory(email="ann@example.com", password="right horse battery", is_staff=True)
    assert log_in(username="ANN@example.com", password="right horse battery") == 302
    [event] = events(event_type="login.succeed")
    assert event.success
    assert (event.user_id, event.resource_id) == (user.pk, user.pk)


@pytest.mark.parametrize("email", ["nobody@example.com", "x" * 500, "a\0b@example.com"])
def test_a_login_by_nobody_is_refused(email: str) -> None:
    assert log_in(username=email, password="wrong horse battery") == 200
    assert all(not event.success for event in events(event_type__startswith="login."))


def test_a_refused_request_is_an_event(viewer: Actor) -> None:
    answer = viewer.by_key.patch(f"/api/v1/organizations/{viewer.organization.pk}/", {"name": "No"})
    assert answer.status_code == 403
    [event] = events(event_type="request.refuse")
    assert not event.success
    assert event.organization_id == viewer.organization.pk
    assert (event.user_id, event.api_key_id) == (viewer.user.pk, viewer.key.pk)
    assert event.request_id == answer.json()["request_id"]
    assert event.error_message == answer.json()["detail"]
    assert event.details | {"code": "missing_role", "status": 403, "method": "PATCH"} == event.details


def test_a_request_with_a_bad_key_is_an_event(db: None) -> None:
    assert ApiClient(key="mst_12345678_wrong").get("/api/v1/users/").status_code == 401
    [event] = events(event_type="request.refuse")
    assert event.details["status"] == 401
    assert event.user_id is None
    assert "wrong" not in str(vars(event))
