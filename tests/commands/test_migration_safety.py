"""Migrations that would stop a program that serves are found before they do: by CI, and at last by the lock timeout."""

import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands.conftest import Scratch
from tests.kit import migration_safety

FIRST = "from catalog.migrations import __path__\nfrom importlib import import_module\n" + (
    'class Migration(import_module("catalog.migrations.0001_initial").Migration):\n    pass\n'
)
LATER = """
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = [("catalog", "0001_initial")]
    operations = [{operation}]
"""
INDEX = "model_name='product', index=models.Index(fields=['price'], name='by_price')"


@pytest.fixture
def migration(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """The migration of catalog that comes second, of one operation."""
    package = f"sample_{abs(hash(request.node.name))}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "0001_initial.py").write_text(FIRST)
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {**settings.MIGRATION_MODULES, "catalog": package}

    def make(operation: str, *, atomic: bool = True) -> Any:
        (folder / "0002_sample.py").write_text(LATER.format(operation=operation, atomic=atomic))
        (found,) = migration_safety.later_migrations()
        return found

    yield make
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


@pytest.mark.django_db
def test_ours_are_safe() -> None:
    found = {each.name: list(migration_safety.complaints(each)) for each in migration_safety.later_migrations()}
    assert not any(found.values()), found


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("operation", "linter", "squawk"),
    [
        ("migrations.AddField('product', 'weight', models.IntegerField())", "NOT NULL constraint", None),
        ("migrations.RemoveField('product', 'price')", "DROPPING columns", "ban-drop-column"),
        ("migrations.RenameField('product', 'price', 'cost')", "RENAMING columns", "renaming-column"),
        (f"migrations.AddIndex({INDEX})", "CREATE INDEX locks table", "require-concurrent-index-creation"),
        (
            "migrations.AddConstraint('product', models.CheckConstraint(condition=models.Q(price__lt=9), name='low'))",
            None,
            "constraint-missing-not-valid",
        ),
        ("migrations.AlterField('product', 'name', models.IntegerField())", "ALTERING columns", "changing-column-type"),
    ],
)
def test_a_dangerous_one_is_found(migration: Any, operation: str, linter: str | None, squawk: str | None) -> None:
    said = "\n".join(migration_safety.complaints(migration(operation)))
    for word in filter(None, (linter, squawk)):
        assert word.lower() in said.lower()
    assert said


@pytest.mark.django_db(transaction=True)  # an index that is made concurrently refuses to be made in one
@pytest.mark.parametrize(
    ("operation", "atomic"),
    [
        (f"AddIndexConcurrently({INDEX})", False),
        ("migrations.AddField('product', 'weight', models.IntegerField(null=True))", True),
    ],
)
def test_a_careful_one_passes(migration: Any, operation: str, atomic: bool) -> None:
    assert list(migration_safety.complaints(migration(operation, atomic=atomic))) == []


def test_migrating_waits_for_a_table_no_longer_than_is_set(scratch: Scratch) -> None:
    scratch.succeed("migrate", "-v0", "catalog")
    with psycopg.connect(scratch.conninfo) as reader:
        reader.execute("SELECT count(*) FROM catalog_product")  # a long transaction, which holds its lock
        refused = scratch.manage("migrate", "-v0", "catalog", "zero", MIGRATE_LOCK_TIMEOUT="200")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith("A table is in use, and wasn't free within MIGRATE_LOCK_TIMEOUT (200 ms).")
    assert scratch.rows("SELECT count(*) FROM catalog_product") == [(0,)]
    scratch.succeed("migrate", "-v0", "catalog", "zero")
