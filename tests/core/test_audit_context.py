"""The context that tells the audit trigger who writes: how far it reaches, and with which statements it goes."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from psycopg import sql

from core import audit
from core.connections import prepared_cursor
from core.models import AuditEvent, Organization
from tests.factories.core import OrganizationFactory
from tests.kit.cast import Actor
from tests.kit.sql import run

pytestmark = pytest.mark.django_db


def events(**filters: Any) -> list[AuditEvent]:
    """Return the events, oldest first."""
    return list(AuditEvent.objects.filter(**filters).order_by("timestamp", "id"))


def test_a_context_names_the_source_and_goes_with_the_block(organization: Organization) -> None:
    with audit.context("job", request_id="job-1", details={"queue": "night"}):
        Organization.objects.update(name="Inside")
    Organization.objects.update(name="Outside")
    inside, outside = events(event_type="organization.update")
    assert inside.details == {"source": "job", "queue": "night"}
    assert inside.request_id == "job-1"
    assert outside.details["source"] == "muster pytest"
    assert outside.request_id == ""


@pytest.mark.django_db(transaction=True)
def test_a_context_goes_with_executemany_outside_of_a_transaction() -> None:
    OrganizationFactory()
    with audit.context("job"), connection.cursor() as cursor:
        cursor.executemany("UPDATE core_organization SET name = %s", [("50%",), ("60%",)])
    assert [event.details["source"] for event in events(event_type="organization.update")] == ["job", "job"]


@pytest.mark.django_db(transaction=True)
def test_a_context_leaks_into_no_later_transaction_of_the_connection() -> None:
    with audit.context("job"):
        OrganizationFactory()
    assert run("SELECT current_setting('muster.context', true)")[0][0] in (None, "")
    OrganizationFactory()
    assert [event.details["source"] for event in events()] == ["job", "muster pytest"]


def test_contexts_nest(organization: Organization) -> None:
    with audit.context("outer"):
        Organization.objects.update(name="1")
        with audit.context("inner"):
            Organization.objects.update(name="2")
        Organization.objects.update(name="3")
    assert [event.details["source"] for event in events(event_type="organization.update")] == [
        "outer",
        "inner",
        "outer",
    ]


def test_what_becomes_known_later_and_why_go_into_the_events_that_follow(owner: Actor) -> None:
    with audit.context("api"):
        Organization.objects.update(name="1")
        audit.amend(user=owner.user.pk, email=owner.user.email)
        audit.because("a customer asked")
        Organization.objects.update(name="2")
    before, after = events(event_type="organization.update")
    assert (before.user_id, before.details) == (None, {"source": "api"})
    assert (after.user_id, after.user_email) == (owner.user.pk, owner.user.email)
    assert after.details == {"source": "api", "reason": "a customer asked"}


def test_a_context_survives_a_savepoint_that_is_rolled_back(organization: Organization) -> None:
    with audit.context("job"):
        with transaction.atomic():
            Organization.objects.update(name="Never")
            transaction.set_rollback(True)
        Organization.objects.update(name="Ever")
    assert [event.details["source"] for event in events(event_type="organization.update")] == ["job"]


def test_an_error_of_the_database_comes_out_of_a_context_as_it_is(teammate: Actor) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), audit.context("job"):
        run_plain("UPDATE core_membership SET role = 'boss'")


def test_an_error_of_the_program_ends_the_context_too(organization: Organization) -> None:
    def fail() -> None:
        Organization.objects.update(name="Inside")
        raise ValueError("no")

    with transaction.atomic():
        with pytest.raises(ValueError, match="no"), audit.context("job"):
            fail()
        Organization.objects.update(name="Outside")
    assert [event.details["source"] for event in events(event_type="organization.update")] == ["job", "muster pytest"]


def run_plain(statement: Any, params: Any = None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.rowcount


@pytest.mark.parametrize(
    ("statement", "params"),
    [
        ("UPDATE core_organization SET name = '100%'", None),
        ("UPDATE core_organization SET name = %s", ["100%"]),
        ("UPDATE core_organization SET name = %(name)s", {"name": "100%"}),
        ("  update core_organization set name = '100%'", None),
        ("/* why */ UPDATE core_organization SET name = %s", ["100%"]),
        ("-- why\nUPDATE core_organization SET name = %s", ["100%"]),
        ("WITH new AS (SELECT '100%'::text AS name) UPDATE core_organization SET name = new.name FROM new", None),
        (
            "MERGE INTO core_organization USING (SELECT 1) AS one ON true WHEN MATCHED THEN UPDATE SET name = '100%'",
            None,
        ),
        (sql.SQL("UPDATE core_organization SET name = {}").format("100%"), None),
    ],
    ids=["plain", "positional", "named", "lower case", "comment", "line comment", "with", "merge", "composed"],
)
def test_a_context_goes_with_every_form_of_statement(statement: Any, params: Any, organization: Organization) -> None:
    with audit.context("job"):
        assert run_plain(statement, params) == 1
    event = events(event_type="organization.update")[-1]
    assert event.new_value == {"name": "100%"}
    assert event.details == {"source": "job"}


def test_a_statement_that_only_reads_stays_one(organization: Organization) -> None:
    with audit.context("job"), prepared_cursor() as cursor:  # which takes one command
        cursor.execute("WITH one AS (SELECT 1 AS updated_at) SELECT updated_at FROM one")
        assert cursor.fetchall() == [(1,)]


def test_a_context_goes_with_executemany(organization: Organization) -> None:
    with audit.context("job"), connection.cursor() as cursor:
        cursor.executemany("UPDATE core_organization SET name = %s", [("50%",), ("60%",)])
        assert cursor.rowcount == 2
    assert [event.details["source"] for event in events(event_type="organization.update")] == ["job", "job"]


def test_statements_in_a_context_return_rows_as_ever(organization: Organization) -> None:
    with audit.context("job"):
        made = Organization.objects.create(name="Made", slug="made")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE core_organization SET name = name || '!' RETURNING name")
            assert sorted(cursor.fetchall()) == [("Acme!",), ("Made!",)]
        assert Organization.objects.filter(pk=made.pk).update(name="x") == 1
        assert Organization.objects.filter(slug="none").update(name="x") == 0
    assert made.created_at is not None


def test_a_context_costs_no_round_trip(organization: Organization, django_assert_num_queries: Any) -> None:
    with audit.context("job"), django_assert_num_queries(1):
        run_plain("UPDATE core_organization SET name = 'once'")
