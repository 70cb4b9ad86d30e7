"""Migrations reverse to zero and come forward again, with the demo story's rows in place."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader

from tests.commands.conftest import Scratch

LEFTOVERS = """
    SELECT 'relation', c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
       AND c.relkind <> 'i' AND c.relname NOT LIKE 'django_migrations%'
    UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'type', typname FROM pg_type
     WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE '%django_migrations'
    UNION ALL SELECT 'extension', extname FROM pg_extension WHERE extname <> 'plpgsql'
"""


def foundations() -> list[str]:
    """The apps that build on no other: who reverses these reverses all."""
    graph = MigrationLoader(None).graph
    return sorted(app for (app, _), node in graph.node_map.items() if not node.parents)


def run(scratch: Scratch, *commands: tuple[str, ...]) -> None:
    """Run commands one after another, in one process."""
    lines = [f"call_command(*{command!r}, verbosity=0)" for command in commands]
    scratch.succeed("shell", "-v0", "-c", "\n".join(["from django.core.management import call_command", *lines]))


def test_to_zero_and_back_with_rows_in_place(scratch: Scratch) -> None:
    people = "SELECT id, email, updated_at FROM core_user ORDER BY id"
    counts = "SELECT (SELECT count(*) FROM catalog_order), (SELECT count(*) FROM core_user)"
    run(scratch, ("migrate",), ("seed",))
    before, count = scratch.rows(people), scratch.rows(counts)

    run(scratch, ("migrate", "catalog", "zero"))
    assert scratch.rows(people) == before
    run(scratch, *(("migrate", app, "zero") for app in foundations()))
    assert scratch.rows(LEFTOVERS) == []
    assert scratch.rows("SELECT app, name FROM django_migrations") == []

    run(scratch, ("migrate",), ("seed",), ("doctor",))
    assert scratch.rows(counts) == count


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, stdout=StringIO())
