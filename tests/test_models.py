"""Every model keeps the rules that all models have, in the database itself; found by reflection, so a new one too."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.core.management import call_command
from django.db import IntegrityError, models
from django.db.models import F

from agents.models.fields import JSONDocumentField
from core.models import Audited, Organization, OrganizationLog, Record
from tests.factories import factories, make
from tests.kit.database import triggers_off
from tests.kit.reflection import api_routes, our_models, read_serializer_class, shown_models
from tests.kit.sql import refused, run

pytestmark = pytest.mark.django_db

each_model = pytest.mark.parametrize("model", our_models(), ids=lambda model: model._meta.label)
each_record = pytest.mark.parametrize(
    "model", [model for model in our_models() if issubclass(model, Record)], ids=lambda model: model._meta.label
)


def choice_fields() -> list[Any]:
    """Return each field with choices, and each array of such."""
    return [
        field
        for model in our_models()
        for field in model._meta.concrete_fields
        if getattr(field, "base_field", field).choices
    ]


each_choice_field = pytest.mark.parametrize("field", choice_fields(), ids=str)


def columns(model: type[models.Model]) -> list[str]:
    return [field.column for field in model._meta.concrete_fields]


# --- What each model has beside itself -------------------------------------------------------------


@each_model
def test_a_model_has_an_admin(model: type[models.Model]) -> None:
    assert admin.site.is_registered(model)


@each_model
def test_a_model_has_an_endpoint(model: type[models.Model]) -> None:
    viewsets = {route.viewset for route in api_routes() if route.viewset}
    shown = {shown for viewset in viewsets for shown in shown_models(read_serializer_class(viewset)())}
    assert model in shown


@each_model
def test_a_model_has_a_factory_whose_rows_are_in_the_organization(
    model: type[models.Model], organization: Organization, other_organization: Organization
) -> None:
    assert model in factories()
    row = make(model, organization)
    assert row in model._default_manager.for_organization(organization)  # type: ignore[attr-defined]
    assert row not in model._default_manager.for_organization(other_organization)  # type: ignore[attr-defined]


FILLED_BY_UPLOADS = {"agents.StoredContent"}  # each row has a file in storage, which no fixture carries


def test_the_demo_story_fills_every_table() -> None:
    """Of the audit log too: its events are written as the story is loaded."""
    call_command("loaddata", "demo", verbosity=0)
    assert {model._meta.label for model in our_models() if not model._default_manager.exists()} == FILLED_BY_UPLOADS
    assert Organization.objects.count() >= 2


# --- Keys and times --------------------------------------------------------------------------------


@each_model
def test_the_primary_key_is_a_time_ordered_uuid(model: type[models.Model], organization: Organization) -> None:
    assert isinstance(model._meta.pk, models.UUIDField)
    row = make(model, organization)
    assert row.pk.version == 7


@each_model
def test_raw_sql_may_leave_out_key_and_times(model: type[models.Model], organization: Organization) -> None:
    make(model, organization)
    table = model._meta.db_table
    automatic = [name for name in ("id", "created_at", "updated_at", "timestamp") if name in columns(model)]
    generated = [field.column for field in model._meta.concrete_fields if field.generated]
    rest = ", ".join(name for name in columns(model) if name not in automatic + generated)
    run(f"CREATE TEMP TABLE probe (LIKE {table} INCLUDING DEFAULTS INCLUDING GENERATED)")
    run(f"INSERT INTO probe ({rest}) SELECT {rest} FROM {table}")
    for name in automatic:
        assert run(f"SELECT count(*) FROM probe WHERE {name} IS NULL") == [(0,)]
    assert {identifier.version for (identifier,) in run("SELECT id FROM probe")} == {7}


@each_model
def test_times_know_their_zone_and_json_is_jsonb_but_for_documents(model: type[models.Model]) -> None:
    types = dict(
        run(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s",
            model._meta.db_table,
        )
    )
    assert set(types) == set(columns(model))
    wrong = {"timestamp without time zone", "json", "money"}
    found = {name for name, kind in types.items() if kind in wrong}
    assert found == {field.column for field in model._meta.concrete_fields if isinstance(field, JSONDocumentField)}


# --- Triggers --------------------------------------------------------------------------------------


def triggers(model: type[models.Model]) -> set[str]:
    """Return the names of the functions that the table's enabled triggers execute."""
    return {
        name
        for (name,) in run(
            "SELECT proname FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
            " WHERE tgrelid = %s::regclass AND NOT tgisinternal AND tgenabled = 'O'",
            model._meta.db_table,
        )
    }


@each_model
def test_a_table_has_the_triggers_that_its_base_classes_promise(model: type[models.Model]) -> None:
    promised = set()
    if issubclass(model, Record):
        promised.add("muster_touch")
    if issubclass(model, Audited):
        promised.add("muster_audit")
    if issubclass(model, OrganizationLog):
        promised.add("muster_immutable")
    if getattr(model, "lifecycle", None):
        promised.add("muster_transition")
    assert promised <= triggers(model)


def refuses_updates(model: type[models.Model]) -> bool:
    """Tell whether a trigger keeps the rows of the table as they are."""
    [(found,)] = run(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgfoid = 'muster_append_only'::regproc"
        " AND tgtype & 16 <> 0",
        model._meta.db_table,
    )
    return found > 0


@each_record
def test_an_update_that_changes_nothing_is_no_change(model: type[models.Model], organization: Organization) -> None:
    if refuses_updates(model):
        pytest.skip("It is never updated.")
    row: Any = make(model, organization)
    versioned = any(field.attname == "row_version" for field in model._meta.concrete_fields)
    stated = "updated_at" + ", row_version" * versioned
    [before] = run(f"SELECT {stated} FROM {model._meta.db_table} WHERE id = %s", row.pk)
    run(f"UPDATE {model._meta.db_table} SET created_at = created_at WHERE id = %s", row.pk)
    assert run(f"SELECT {stated} FROM {model._meta.db_table} WHERE id = %s", row.pk) == [before]


@each_record
def test_updated_at_is_true_in_every_table(model: type[models.Model], organization: Organization) -> None:
    stored = model._base_manager.filter(pk=make(model, organization).pk)
    before = stored.values_list("updated_at", flat=True).get()
    if refuses_updates(model):
        with pytest.raises(IntegrityError, match="append-only"):
            stored.update(created_at=F("created_at") - timedelta(days=1))
        return
    stored.update(created_at=F("created_at") - timedelta(days=1), updated_at=before)
    assert stored.values_list("updated_at", flat=True).get() > before


# --- Choices ---------------------------------------------------------------------------------------


def checks_of(field: models.Field) -> dict[str, set[str]]:
    """Return the CHECK constraints about this column alone: name, and the words in it."""
    rows = run(
        "SELECT conname, pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint JOIN pg_attribute"
        " ON attrelid = conrelid AND conkey = ARRAY[attnum]"
        " WHERE contype = 'c' AND conrelid = %s::regclass AND attname = %s",
        field.model._meta.db_table,
        field.column,
    )
    return {name: set(re.findall(r"'((?:[^']|'')*)'", definition)) for name, definition in rows}


@each_choice_field
def test_a_choice_field_has_a_check_of_the_same_choices(field: Any) -> None:
    choices = {str(value) for value, _ in getattr(field, "base_field", field).flatchoices}
    assert choices | ({field.default} if field.blank and field.default == "" else set()) in checks_of(field).values()


@each_choice_field
def test_a_word_that_is_no_choice_is_refused(field: Any, organization: Organization) -> None:
    make(field.model, organization)
    value = ["nonsense"] if isinstance(field, ArrayField) else "nonsense"
    with triggers_off():
        rule = refused(f"UPDATE {field.model._meta.db_table} SET {field.column} = %s", value)
    assert rule in checks_of(field)


# --- Foreign keys ----------------------------------------------------------------------------------


def indexes(table: str) -> list[list[str]]:
    """Return the columns of each index that finds every row which is not null in the index's first column."""
    rows = run(
        """
        SELECT array_agg(attname ORDER BY position)
          FROM pg_index
          CROSS JOIN LATERAL unnest(indkey::int2[]) WITH ORDINALITY AS part (number, position)
          JOIN pg_attribute ON attrelid = indrelid AND attnum = part.number
         WHERE indrelid = %s::regclass AND indisvalid
           AND (indpred IS NULL OR pg_get_expr(indpred, indrelid) = (
               SELECT format('(%%I IS NOT NULL)', attname) FROM pg_attribute
                WHERE attrelid = indrelid AND attnum = indkey[0]))
         GROUP BY indexrelid
        """,
        table,
    )
    return [names for (names,) in rows]


def tables_of_ours() -> list[str]:
    """Return the tables of our models and of their many-to-many fields."""
    through = [field.remote_field.through for model in our_models() for field in model._meta.local_many_to_many]
    return sorted({model._meta.db_table for model in [*our_models(), *through]})


@pytest.mark.parametrize("table", tables_of_ours())
def test_a_foreign_key_has_an_index_that_serves_it(table: str) -> None:
    models_here = [model for model in apps.get_models(include_auto_created=True) if model._meta.db_table == table]
    declared = [[field.column] for model in models_here for field in model._meta.concrete_fields if field.is_relation]
    constrained = run(
        "SELECT array_agg(attname) FROM pg_constraint CROSS JOIN unnest(conkey) AS number"
        " JOIN pg_attribute ON attrelid = conrelid AND attnum = number"
        " WHERE contype = 'f' AND conrelid = %s::regclass GROUP BY pg_constraint.oid",
        table,
    )
    composite = [set(names) for (names,) in constrained if len(names) > 1]
    for [column] in declared:
        wanted = [{column}, *(names for names in composite if column in names)]
        served = [index for index in indexes(table) if any(set(index[: len(names)]) == names for names in wanted)]
        assert served, f"No index of {table} begins with {column}."


@each_model
def test_a_foreign_key_states_what_deletion_does(model: type[models.Model]) -> None:
    """DO_NOTHING leaves it to the database to fail, unless there is no constraint on purpose."""
    for field in model._meta.concrete_fields:
        if field.is_relation and field.remote_field.on_delete is models.DO_NOTHING:
            assert not field.db_constraint, f"{field} fails late: state CASCADE, PROTECT, RESTRICT or SET_NULL."
