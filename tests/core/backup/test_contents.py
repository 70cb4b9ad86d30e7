"""What a backup covers, and which differences the comparison sees."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps

from core.backup.archive import Reader
from core.backup.contents import Contents, Rows, differences, look
from core.backup.place import Place
from tests.kit.reflection import our_models

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("backup")]

# Their rows mean something for a minute, or for a transaction.
UNLOGGED = ["public.agents_uncounted", "public.limits_ratewindow"]


@pytest.fixture(scope="module")
def contents(backup: Path) -> Contents:
    """What the manifest says."""
    with Reader(backup) as reader:
        return Contents.from_json(reader.manifest["contents"])


def test_every_model_is_covered(contents: Contents) -> None:
    managed = {f"public.{model._meta.db_table}" for model in apps.get_models(include_auto_created=True)}
    assert managed - contents.tables.keys() - set(contents.unlogged) == set()
    assert contents.unlogged == UNLOGGED


def test_rows_of_every_model_are_digested(contents: Contents) -> None:
    tables = {f"public.{model._meta.db_table}" for model in our_models()} - set(UNLOGGED)
    assert {name for name in tables if contents.tables[name].number == 0} == set()
    assert {name for name in tables if contents.tables[name].digest == "0"} == set()


@pytest.fixture
def broken(original: Place) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose changes are taken back."""
    with original.connect() as direct, direct.transaction(force_rollback=True):
        yield direct


def see(direct: psycopg.Connection[Any]) -> Contents:
    return look(direct, seen=lambda table, size: None)


USER = "public.core_user"


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (
            "UPDATE core_user SET name = name || ' ' WHERE id = (SELECT id FROM core_user LIMIT 1)",
            [f"The rows of {USER} differ from those that were backed up."],
        ),
        ("DELETE FROM procrastinate_events; ALTER TABLE procrastinate_events RENAME TO procrastinate_happened", None),
        (
            "CREATE TABLE stray (id int)",
            [
                "The table public.stray is there, and was not.",
                "The column public.stray.id is there, and was not.",
                "The table public.stray is there, and was not.",
            ],
        ),
        ("ALTER TABLE core_user DROP COLUMN name CASCADE", None),
        ("DROP INDEX limits_loginfailures_age", ["The index public.limits_loginfailures_age is missing."]),
        ("ALTER TABLE core_auditevent DISABLE TRIGGER USER", None),
        (
            "ALTER TABLE limits_loginfailures DROP CONSTRAINT limits_loginfailures_of_something",
            ["The constraint public.limits_loginfailures.limits_loginfailures_of_something is missing."],
        ),
        (
            "CREATE OR REPLACE FUNCTION muster_patterns(event_type text) RETURNS text[] LANGUAGE sql IMMUTABLE"
            " RETURN ARRAY['*']",
            ["The function public.muster_patterns(text) is defined otherwise."],
        ),
        ("ALTER TYPE procrastinate_job_status RENAME VALUE 'todo' TO 'to_do'", None),
        (
            "ALTER TABLE core_user ALTER COLUMN name SET DEFAULT 'Nobody'",
            [f"The column {USER}.name is defined otherwise."],
        ),
    ],
)
def test_damage_is_seen(
    damage: str, found: list[str] | None, contents: Contents, broken: psycopg.Connection[Any]
) -> None:
    with broken.transaction(force_rollback=True):
        broken.execute("SET session_replication_role = replica")
        broken.execute(damage)
        lines = list(differences(contents, see(broken)))
    assert lines
    if found is not None:
        assert [line for line, start in zip(lines, found, strict=True) if not line.startswith(start)] == []


def test_without_damage_nothing_is_seen(contents: Contents, broken: psycopg.Connection[Any]) -> None:
    assert list(differences(contents, see(broken))) == []


def test_a_sequence_stands_between_what_it_was_before_and_after_the_dump(contents: Contents) -> None:
    name = "public.procrastinate_jobs_id_seq"
    low = contents.sequences[name][0]
    wanted = replace(contents, sequences={name: (low, low + 4)})
    seen = {
        value: list(differences(wanted, replace(contents, sequences={name: (value, value)})))
        for value in (low - 1, low, low + 3, low + 4, low + 5)
    }
    assert [value for value, lines in seen.items() if lines] == [low - 1, low + 5]
    assert seen[low + 5] == [f"The sequence {name} stands at {(low + 6) // 2}, and should at {(low + 5) // 2}."]
    assert list(differences(wanted, replace(contents, sequences={}))) == [f"The sequence {name} is missing."]


def test_definitions_count_by_name_alone_between_versions_of_postgresql(contents: Contents) -> None:
    other = replace(
        contents, definitions={kind: dict.fromkeys(names, "") for kind, names in contents.definitions.items()}
    )
    assert len(list(differences(contents, other))) == sum(map(len, contents.definitions.values()))
    assert list(differences(contents, replace(other, major=contents.major + 1))) == []


def test_the_order_of_rows_does_not_count_and_their_number_does(broken: psycopg.Connection[Any]) -> None:
    broken.execute("CREATE TABLE stray (word text, at timestamptz)")
    rows = [("'a'", "'2026-01-01 00:00+00'"), ("'b'", "null"), ("'b'", "null")]
    digests = []
    for given, zone in ((rows, "UTC"), (rows[::-1], "Asia/Tokyo"), (rows[:2], "UTC")):
        broken.execute("SELECT set_config('TimeZone', %s, false)", [zone])
        values = ", ".join(f"({word}, {at})" for word, at in given)
        broken.execute(f"DELETE FROM public.stray; INSERT INTO public.stray VALUES {values}")
        digests.append(see(broken).tables["public.stray"])
    assert digests[0] == digests[1]
    assert digests[0].number == 3
    assert digests[2] != Rows(2, digests[0].digest)
    assert digests[2].digest != digests[0].digest
