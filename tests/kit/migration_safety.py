"""Whether migrations can run beside a program that serves: django-migration-linter and squawk on what they run.

The first migrations make tables that nobody uses yet, so those that came later are looked at. From the first release on
migrations are only appended, and each has to pass. ``python -m tests.kit.migration_safety`` tells of all.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader


def later_migrations() -> list[Migration]:
    """Return the migrations of the project's own apps that aren't first ones, in the order of their names."""
    ours = {app.label for app in apps.get_app_configs() if Path(app.path).is_relative_to(settings.BASE_DIR)}
    ours -= {app.label for app in apps.get_app_configs() if "site-packages" in app.path}
    found = [
        migration
        for (label, _), migration in MigrationLoader(None).disk_migrations.items()
        if label in ours | set(settings.MIGRATION_MODULES) and not migration.initial
    ]
    return sorted(found, key=lambda migration: (migration.app_label, migration.name))


def complaints(migration: Migration) -> Iterator[str]:
    """Yield what either tool has against the migration, in its own words."""
    from django_migration_linter import MigrationLinter

    linter = MigrationLinter(analyser_string="postgresql", no_cache=True, all_warnings_as_errors=True)
    said = StringIO()
    with redirect_stdout(said):
        linter.lint_migration(migration)
    if linter.has_errors:
        yield said.getvalue()

    squawk = shutil.which("squawk", path=Path(sys.executable).parent)
    assert squawk, "squawk comes with the development dependencies: uv sync"
    statements = call_command("sqlmigrate", migration.app_label, migration.name, stdout=StringIO())
    name = f"{migration.app_label}/{migration.name}.sql"
    command = [squawk, "--config", str(settings.BASE_DIR / ".squawk.toml"), "--stdin-filepath", name]
    plain = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, input=statements, env=plain, capture_output=True, text=True)
    if done.returncode:
        yield done.stdout + done.stderr


def main() -> int:
    """Print what there is against each migration; 1 if anything is."""
    migrations = later_migrations()
    found = [complaint for migration in migrations for complaint in complaints(migration)]
    print("\n".join([*found, f"{len(migrations)} migrations after the first ones, {len(found)} complaints"]))
    return 1 if found else 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    sys.exit(main())
