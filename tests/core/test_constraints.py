"""The composite foreign keys that keep references within an organization, and what violations of rules say."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError, OperationalError, connection, models, transaction

from catalog.models import OrderLine, UsageRecord
from core.constraints import SameOrganization
from core.ids import uuid7
from core.models import Membership, Role, User
from core.violations import Violation, constraints, explain
from knowledge.models.storage import Storage
from tests.factories import make
from tests.factories.catalog import SubscriptionFactory, UsageRecordFactory
from tests.factories.core import APIKeyFactory, MembershipFactory, OrganizationFactory, UserFactory
from tests.kit.reflection import our_models
from tests.kit.sql import refused, run

pytestmark = pytest.mark.django_db

REFERENCES = [
    (model, constraint)
    for model in our_models()
    for constraint in model._meta.constraints
    if isinstance(constraint, SameOrganization)
]
each_reference = pytest.mark.parametrize(
    ("model", "constraint"), REFERENCES, ids=lambda part: getattr(part, "name", "")
)


@each_reference
def test_a_reference_to_another_organization_is_refused(
    model: Any, constraint: SameOrganization, organization: Any, other_organization: Any
) -> None:
    row = make(model, organization)
    field = model._meta.get_field(constraint.field)
    foreign = make(field.related_model, other_organization)
    change = f"UPDATE {model._meta.db_table} SET {field.column} = %s WHERE id = %s"
    run("SELECT 1")  # checks what was deferred: a table with checks to come can't be altered
    # Rules that are quicker to refuse (a line never changes its order) stand before this one.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {model._meta.db_table} DISABLE TRIGGER USER")
        cursor.execute(
            "SELECT conname FROM pg_constraint AS one WHERE conrelid = %s::regclass AND contype IN ('c', 'f', 'u', 'x')"
            " AND conname <> %s AND NOT EXISTS (SELECT FROM pg_constraint AS other"
            " WHERE one.contype = 'u' AND other.contype = 'f' AND other.conindid = one.conindid)",
            [model._meta.db_table, constraint.name],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'ALTER TABLE {model._meta.db_table} DROP CONSTRAINT IF EXISTS "{name}" CASCADE')
        assert refused(change, foreign.pk, row.pk) == constraint.name
        assert refused(change, uuid7(), row.pk) == constraint.name
        transaction.set_rollback(True)


@each_reference
def test_the_kind_message_comes_before_the_database(
    model: Any, constraint: SameOrganization, organization: Any, other_organization: Any
) -> None:
    row = make(model, organization)
    constraint.validate(model, row)
    attname = model._meta.get_field(constraint.field).attname
    setattr(row, attname, make(model._meta.get_field(constraint.field).related_model, other_organization).pk)
    with pytest.raises(ValidationError) as caught:
        constraint.validate(model, row)
    assert set(caught.value.message_dict) == {constraint.field}
    constraint.validate(model, row, exclude={constraint.field})


def test_every_reference_within_an_organization_has_the_constraint() -> None:
    """A model of an organization refers to others of an organization only so, unless they are people."""
    missing = [
        f"{model._meta.label}.{field.name}"
        for model in our_models()
        for field in model._meta.concrete_fields
        if field.is_relation
        and "organization" in {each.name for each in field.related_model._meta.concrete_fields}
        and "organization" in {each.name for each in model._meta.concrete_fields}
        and getattr(field, "db_constraint", True)
    ]
    assert missing == []


def test_rows_may_come_before_what_they_refer_to(organization: Any) -> None:
    subscription = SubscriptionFactory.build(organization=organization)
    with transaction.atomic():
        UsageRecordFactory(organization=organization, subscription_id=subscription.pk)
        subscription.save(force_insert=True)
    run("SELECT 1")  # checks what was deferred
    assert UsageRecord.objects.get().subscription_id == subscription.pk


def test_a_constraint_can_be_written_to_a_migration() -> None:
    constraint = SameOrganization("product", name="example", violation_error_message="No.")
    path, args, kwargs = constraint.deconstruct()
    assert path == "core.constraints.SameOrganization"
    again = SameOrganization(*args, **kwargs)
    assert again == constraint
    assert hash(again) == hash(constraint)
    assert again != SameOrganization("order", name="example")
    assert again.get_violation_error_message() == "No."


# --- What violations say ---------------------------------------------------------------------------


def violation_of(sql: str, *params: Any) -> Violation | None:
    with pytest.raises(DatabaseError) as caught:
        run(sql, *params)
    return explain(caught.value)


def test_a_declared_rule_is_told_in_its_own_words() -> None:
    MembershipFactory()
    violation = violation_of("UPDATE core_membership SET role = 'boss'")
    assert violation == Violation("role", "invalid", "“role” must be one of the roles.")


def test_a_unique_expression_is_told_by_its_field_and_without_the_value() -> None:
    UserFactory(email="ann@example.com")
    violation = violation_of("UPDATE core_user SET email = 'ANN@example.com' WHERE id = %s", UserFactory().pk)
    assert violation == Violation("email", "unique", "“email” belongs to another user already.")


def test_a_unique_column_without_a_declared_rule_is_told_plainly() -> None:
    first, second = APIKeyFactory(), APIKeyFactory()
    violation = violation_of("UPDATE core_apikey SET prefix = %s WHERE id = %s", first.prefix, second.pk)
    assert violation is not None
    assert (violation.code, violation.message) == ("unique", "This value is taken already.")
    assert first.prefix not in str(violation)


def test_a_missing_value_is_told_by_its_field() -> None:
    MembershipFactory()
    violation = violation_of("UPDATE core_membership SET user_id = NULL")
    assert violation is not None
    assert (violation.field, violation.code) == ("user", "null")


def test_a_reference_to_nothing_is_told_by_its_field() -> None:
    MembershipFactory()
    violation = violation_of("UPDATE core_membership SET user_id = %s", uuid7())
    assert violation is not None
    assert (violation.field, violation.code) == ("user", "does_not_exist")


def test_a_rule_kept_by_a_trigger_is_told_by_its_field() -> None:
    MembershipFactory(role=Role.OWNER)
    violation = violation_of("UPDATE core_membership SET role = 'viewer'")
    assert violation is not None
    assert violation.field == "role"
    assert "last owner" in violation.message
    violation = violation_of("UPDATE core_membership SET organization_id = %s", OrganizationFactory().pk)
    assert violation is not None
    assert violation.field == "organization"


def test_a_value_that_does_not_fit_is_invalid_and_not_told() -> None:
    MembershipFactory()
    violation = violation_of("UPDATE core_membership SET role = %s", "secret" * 20)
    assert violation is not None
    assert violation.code == "invalid"
    assert "secret" not in violation.message


def test_a_null_character_is_invalid() -> None:
    with pytest.raises(DataError) as caught, transaction.atomic():
        User.objects.filter(email="a\0b").exists()
    violation = explain(caught.value)
    assert violation is not None
    assert violation.code == "invalid"


def test_what_is_no_fault_of_the_data_is_not_explained() -> None:
    with pytest.raises(OperationalError) as cancelled, transaction.atomic():
        run("SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)")
    assert explain(cancelled.value) is None
    assert explain(DatabaseError("no cause")) is None
    assert violation_of("SELECT 1/0") is not None
    with pytest.raises(DatabaseError) as mistake:
        run("SELEC 1")
    assert explain(mistake.value) is None


def test_every_declared_rule_has_words_of_its_own() -> None:
    """Django's own words name a constraint, of which no client knows."""
    wordless = [
        name
        for name, (model, constraint) in constraints().items()
        if model in our_models()
        and not isinstance(constraint, models.UniqueConstraint | Storage)  # a Storage refuses nothing
        and name in str(constraint.get_violation_error_message())
    ]
    assert wordless == []
    assert Membership._meta.constraints[-1].name in constraints()
    assert OrderLine in {model for model, _ in constraints().values()}
