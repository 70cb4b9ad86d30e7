"""The test kit does what tests rely on."""

import socket

import pytest
from django.db import connection

from core.models import AuditEvent, Organization, Role
from tests.factories.core import AuditEventFactory, OrganizationFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import writes_nothing


def test_each_of_the_cast_acts_in_their_organization(owner: Actor, stranger: Actor) -> None:
    for actor in (owner, stranger):
        for client in (actor.client, actor.by_key):
            answer = client.get("/api/v1/organizations/")
            assert [row["slug"] for row in answer.json()["results"]] == [actor.organization.slug]
    assert owner.user.role_in(owner.organization) == Role.OWNER
    assert owner.user.role_in(stranger.organization) is None


def test_writes_nothing_sees_a_write(organization: Organization) -> None:
    with pytest.raises(AssertionError, match="core_organization"), writes_nothing():
        Organization.objects.update(name="Changed")


def test_writes_nothing_sees_a_row_in_place_of_another(db: None) -> None:
    OrganizationFactory()

    def replace() -> None:
        Organization.objects.all().delete()
        OrganizationFactory()

    with pytest.raises(AssertionError, match="core_organization"), writes_nothing():
        replace()


def test_writes_nothing_lets_a_refusal_be_recorded(anonymous: ApiClient) -> None:
    with writes_nothing():
        AuditEventFactory(organization=None, resource_id=None, event_type="request.refuse")
    with pytest.raises(AssertionError, match="core_auditevent"), writes_nothing():
        AuditEventFactory(organization=None, resource_id=None, event_type="request.accept")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_transactional_tests_begin_with_no_row(turn: int) -> None:
    assert not Organization.objects.exists()
    assert not AuditEvent.objects.exists()
    OrganizationFactory()
    assert AuditEvent.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('session_replication_role')")
        assert cursor.fetchone() == ("origin",)


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_no_test_leaves_this_machine() -> None:
    with pytest.raises(RuntimeError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
