"""The rules that the database keeps, each attacked with raw SQL (REQUIREMENTS.md, sections 0 and 1)."""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction

from core.ids import uuid7
from core.models import APIKey, AuditEvent, Membership, Organization, Role, User
from tests.factories.core import (
    APIKeyFactory,
    AuditEventFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
)
from tests.kit.cast import Actor
from tests.kit.races import Meeting, errors, race, values
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

NEW_ORGANIZATION = (
    "INSERT INTO core_organization (name, slug, plan_tier, settings, is_active) VALUES (%s, %s, %s, '{}', true)"
    " RETURNING id, created_at, updated_at"
)


def moment_of(identifier: UUID) -> datetime:
    """Return the time in a version 7 UUID: its first 48 bits are milliseconds since 1970."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, tz=UTC)


def assert_made_now(identifier: UUID) -> None:
    assert identifier.version == 7
    assert identifier.variant == "specified in RFC 4122"
    assert abs(moment_of(identifier) - datetime.now(tz=UTC)) < timedelta(seconds=10)


# --- Every record ----------------------------------------------------------------------------------


def test_an_id_made_by_the_application_is_time_ordered() -> None:
    made = [uuid7() for _ in range(1000)]
    assert made == sorted(made)
    assert_made_now(made[0])


def test_a_row_by_raw_sql_gets_a_time_ordered_id_and_times() -> None:
    [(identifier, created_at, updated_at)] = run(NEW_ORGANIZATION, "Raw", "raw", "free")
    assert_made_now(identifier)
    assert created_at == updated_at
    assert abs(created_at - datetime.now(tz=UTC)) < timedelta(seconds=10)


def test_rows_by_copy_get_time_ordered_ids_and_times() -> None:
    with connection.cursor() as cursor:
        columns = "name, slug, plan_tier, settings, is_active"
        with cursor.copy(f"COPY core_organization ({columns}) FROM STDIN") as copy:
            for number in range(3):
                copy.write_row((f"Copy {number}", f"copy-{number}", "pro", "{}", True))
    rows = Organization.objects.filter(slug__startswith="copy-")
    assert [row.name for row in rows.order_by("id")] == ["Copy 0", "Copy 1", "Copy 2"]
    for row in rows:
        assert_made_now(row.pk)
        assert row.created_at == row.updated_at


def test_updated_at_is_true_for_raw_sql(organization: Organization) -> None:
    run("UPDATE core_organization SET name = 'Renamed'")
    stored = Organization.objects.get()
    assert stored.updated_at > organization.updated_at
    assert stored.created_at == organization.created_at


def test_updated_at_cannot_be_forged(organization: Organization) -> None:
    run("UPDATE core_organization SET updated_at = '2001-01-01', name = 'Forged'")
    assert Organization.objects.get().updated_at > organization.updated_at


def test_updated_at_stays_when_nothing_changes(organization: Organization) -> None:
    run("UPDATE core_organization SET name = name")
    assert Organization.objects.get().updated_at == organization.updated_at


def test_updated_at_moves_within_one_transaction(organization: Organization) -> None:
    run("UPDATE core_organization SET name = 'One'")
    first = Organization.objects.get().updated_at
    run("UPDATE core_organization SET name = 'Two'")
    assert Organization.objects.get().updated_at > first


@pytest.mark.parametrize(("table", "factory"), [("core_membership", MembershipFactory), ("core_apikey", APIKeyFactory)])
def test_a_row_stays_in_its_organization(table: str, factory: type, other_organization: Organization) -> None:
    factory()
    for _ in range(2):
        assert refused(f"UPDATE {table} SET organization_id = %s", other_organization.pk) == (
            f"{table}_organization_id_immutable"
        )
        ignore_all_triggers()


def test_times_are_moments_whatever_the_zone_of_the_session(organization: Organization) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL timezone = 'Asia/Kathmandu'")
        cursor.execute("UPDATE core_organization SET created_at = '2025-01-01 05:45'")
        cursor.execute("SET LOCAL timezone = 'UTC'")
        cursor.execute("SELECT created_at FROM core_organization")
        assert cursor.fetchone() == (datetime(2025, 1, 1, tzinfo=UTC),)


# --- Organization ----------------------------------------------------------------------------------


def test_organization_slug_is_unique(organization: Organization) -> None:
    assert refused(NEW_ORGANIZATION, "Other", "acme", "free").startswith("core_organization_slug")


@pytest.mark.parametrize("slug", ["", "Acme", "a b", "-a", "a-", "a--b", "a_b", "ä", "a\n", "a/b"])
def test_organization_slug_has_its_shape(slug: str) -> None:
    assert refused(NEW_ORGANIZATION, "Name", slug, "free") == "core_organization_slug_shape"


@pytest.mark.parametrize("tier", ["", "gold", "Free"])
def test_organization_plan_tier_is_one_of_the_tiers(tier: str) -> None:
    assert refused(NEW_ORGANIZATION, "Name", "name", tier) == "core_organization_plan_tier"


def test_organization_has_a_name() -> None:
    assert refused(NEW_ORGANIZATION, "", "name", "free") == "core_organization_name_given"


def test_organization_with_records_is_not_deleted(owner: Actor) -> None:
    rule = refused("DELETE FROM core_organization WHERE id = %s", owner.organization.pk)
    assert rule.startswith("core_membership_organization_id")


# --- User ------------------------------------------------------------------------------------------


def test_email_is_unique_without_regard_to_case() -> None:
    UserFactory(email="ann@example.com")
    other = UserFactory(email="bob@example.com")
    rule = refused("UPDATE core_user SET email = 'ANN@Example.COM' WHERE id = %s", other.pk)
    assert rule == "core_user_email_unique"


@pytest.mark.parametrize("email", ["", "ann", "@example.com", "ann@", "ann @example.com", "a@b@c", "ann@example.com\n"])
def test_email_has_its_shape(email: str) -> None:
    UserFactory()
    assert refused("UPDATE core_user SET email = %s", email) == "core_user_email_shape"


def test_a_user_with_memberships_is_not_deleted_by_raw_sql(teammate: Actor) -> None:
    rule = refused("DELETE FROM core_user WHERE id = %s", teammate.user.pk)
    assert rule.startswith("core_membership_user_id")


# --- Membership ------------------------------------------------------------------------------------


def test_a_pair_of_user_and_organization_has_one_membership(teammate: Actor) -> None:
    rule = refused(
        "INSERT INTO core_membership (user_id, organization_id, role) VALUES (%s, %s, 'viewer')",
        teammate.user.pk,
        teammate.organization.pk,
    )
    assert rule == "core_membership_pair"


@pytest.mark.parametrize("role", ["", "boss", "Owner"])
def test_role_is_one_of_the_roles(role: str, teammate: Actor) -> None:
    assert refused("UPDATE core_membership SET role = %s", role) == "core_membership_role"


LAST_OWNER = "core_membership_last_owner"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE core_membership SET role = 'admin' WHERE role = 'owner'",
        "DELETE FROM core_membership WHERE role = 'owner'",
        "DELETE FROM core_membership",
    ],
)
@pytest.mark.parametrize("owners", [1, 2])
def test_an_organization_never_loses_its_last_owner(sql: str, owners: int, owner: Actor, teammate: Actor) -> None:
    if owners == 2:
        MembershipFactory(organization=owner.organization, role=Role.OWNER)
    assert refused(sql) == LAST_OWNER
    ignore_all_triggers()
    assert refused(sql) == LAST_OWNER
    assert Membership.objects.filter(role=Role.OWNER).count() == owners


def test_the_last_owner_is_not_lost_with_the_user(owner: Actor) -> None:
    with pytest.raises(DatabaseError, match="last owner"), transaction.atomic():
        owner.user.delete()


def test_owner_and_member_swap_in_one_statement(owner: Actor, teammate: Actor) -> None:
    run("UPDATE core_membership SET role = CASE role WHEN 'owner' THEN 'member' ELSE 'owner' END")
    assert owner.user.role_in(owner.organization) == Role.MEMBER
    assert teammate.user.role_in(owner.organization) == Role.OWNER


def test_the_first_of_two_owners_may_leave(owner: Actor) -> None:
    second = MembershipFactory(organization=owner.organization, role=Role.OWNER)
    run("DELETE FROM core_membership WHERE id = %s", second.pk)
    assert list(Membership.objects.all()) == [owner.membership]


def test_an_organization_that_never_had_an_owner_changes_freely() -> None:
    membership = MembershipFactory(role=Role.VIEWER)
    run("DELETE FROM core_membership WHERE id = %s", membership.pk)
    assert not Membership.objects.exists()


def leave(membership: Membership, meeting: Meeting) -> None:
    with transaction.atomic():
        meeting.announce()
        Membership.objects.filter(pk=membership.pk).delete()
        meeting.attend()


def two_owners() -> list[Membership]:
    return MembershipFactory.create_batch(2, organization=OrganizationFactory(), role=Role.OWNER)


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_once_one_stays() -> None:
    meeting = Meeting(2)
    outcomes = race(*(partial(leave, owner, meeting) for owner in two_owners()))
    assert len(values(outcomes)) == 1
    assert "last owner" in str(errors(outcomes)[0])
    assert Membership.objects.filter(role=Role.OWNER).count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_owner_leaves_in_no_transaction_that_sees_what_stood_before(owner: Actor) -> None:
    MembershipFactory(organization=owner.organization, role=Role.OWNER)

    @transaction.atomic
    def leave_while_seeing_what_stood() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        owner.membership.delete()

    with pytest.raises(DatabaseError, match="READ COMMITTED"):
        leave_while_seeing_what_stood()
    assert Membership.objects.filter(role=Role.OWNER).count() == 2


@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_both_owners_would_leave() -> None:
    """Without the lock in muster_last_owner each sees the other one still there: the race is real."""
    [(function,)] = run("SELECT pg_get_functiondef('muster_last_owner'::regproc)")
    lock = "PERFORM 1 FROM core_organization WHERE id = OLD.organization_id FOR NO KEY UPDATE;"
    assert lock in function
    meeting = Meeting(2)
    run(function.replace(lock, "").replace("%", "%%"))
    try:
        assert errors(race(*(partial(leave, owner, meeting) for owner in two_owners()))) == []
        assert not Membership.objects.exists()
    finally:
        run(function.replace("%", "%%"))


# --- API key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scopes", [[], ["everything"], ["core:read", "core:rule"], [None], ["core:read", None]])
def test_scopes_are_known_ones_and_at_least_one(scopes: list[str]) -> None:
    APIKeyFactory()
    assert refused("UPDATE core_apikey SET scopes = %s::varchar[]", scopes) == "core_apikey_scopes"


@pytest.mark.parametrize("digest", ["", "mst_secret", "A" * 64, "0" * 63, "0" * 63 + "g", "0" * 63 + "\n"])
def test_a_key_stores_a_digest_and_nothing_else(digest: str) -> None:
    APIKeyFactory()
    assert refused("UPDATE core_apikey SET digest = %s", digest) == "core_apikey_digest_shape"


def test_two_keys_never_share_a_prefix() -> None:
    first, second = APIKeyFactory(), APIKeyFactory()
    rule = refused("UPDATE core_apikey SET prefix = %s WHERE id = %s", first.prefix, second.pk)
    assert rule.startswith("core_apikey_prefix")


def test_a_key_belongs_to_a_user_and_an_organization() -> None:
    APIKeyFactory()
    for column in ("user_id", "organization_id"):
        assert refused(f"UPDATE core_apikey SET {column} = NULL").startswith(("user_id", "core_apikey_organization"))
    assert refused("UPDATE core_apikey SET user_id = %s", uuid7()).startswith("core_apikey_user_id")


# --- Audit event -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE core_auditevent SET success = NOT success",
        "DELETE FROM core_auditevent",
        "TRUNCATE core_auditevent",
        "TRUNCATE core_auditevent, core_session CASCADE",
        "INSERT INTO core_auditevent SELECT * FROM core_auditevent ON CONFLICT (id) DO UPDATE SET success = false",
        "MERGE INTO core_auditevent USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM core_auditevent RETURNING 1) SELECT count(*) FROM gone",
    ],
)
def test_the_audit_log_is_append_only(sql: str) -> None:
    AuditEventFactory()
    sql = sql.replace("core_session", "django_session")
    before = list(AuditEvent.objects.values())
    assert refused(sql) == "core_auditevent_append_only"
    ignore_all_triggers()
    assert refused(sql) == "core_auditevent_append_only"
    assert list(AuditEvent.objects.values()) == before


def test_the_audit_log_outlives_what_it_tells_of() -> None:
    membership = MembershipFactory()
    User.objects.filter(pk=membership.user_id).delete()
    assert AuditEvent.objects.filter(event_type="user.delete", resource_id=membership.user_id).exists()
    assert AuditEvent.objects.filter(event_type="membership.delete", resource_id=membership.pk).exists()


@pytest.mark.parametrize("event_type", ["", "create", "Agent.create", "agent.", ".create", "a.b.c", "a b.c", "a.b\n"])
def test_event_types_read_resource_and_verb(event_type: str) -> None:
    rule = refused("INSERT INTO core_auditevent (event_type, resource_type) VALUES (%s, 'agent')", event_type)
    assert rule == "core_auditevent_type_shape"


def test_an_audit_event_by_raw_sql_gets_id_and_time() -> None:
    [(identifier, timestamp)] = run(
        "INSERT INTO core_auditevent (event_type, resource_type) VALUES ('a.b', 'a') RETURNING id, timestamp"
    )
    assert_made_now(identifier)
    assert abs(timestamp - datetime.now(tz=UTC)) < timedelta(seconds=10)


# --- Secrets ---------------------------------------------------------------------------------------


def test_passwords_are_kept_as_argon2() -> None:
    user = UserFactory(password="correct horse battery staple")
    assert user.password.startswith("argon2$argon2id$")
    assert User.objects.get().check_password("correct horse battery staple")


def test_a_key_is_kept_only_as_its_digest() -> None:
    key = APIKeyFactory()
    secret = key.text.rpartition("_")[2]
    assert APIKey.objects.get().digest != secret
    everything = run(
        "SELECT string_agg(to_jsonb(k)::text, ' ') FROM core_apikey k"
        " UNION ALL SELECT string_agg(to_jsonb(e)::text, ' ') FROM core_auditevent e"
    )
    for (text,) in everything:
        assert secret not in text
