"""``manage.py restore FILE``: bring a backup back, and compare it with what it was made of."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.db import connections

from config.postgresql.base import close_pool
from core.backup import configured, restore
from core.backup.command import BackupCommand


class Command(BackupCommand):
    """Ends with status 1 when anything differs from what was backed up, which it names."""

    help = "Restore a backup into the configured database and storage, and compare all with its manifest."
    # They may ask a database that isn't there yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("file", type=Path, metavar="FILE", help="The backup.")
        parser.add_argument(
            "--force",
            action="store_true",
            help="Put it in the place of a database that isn't empty, which is kept under another name, and replace"
            " stored files.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore, compare, and say what to do next."""
        place = configured()
        for alias in connections:
            connections[alias].close()
            close_pool(alias)  # its connections would keep the database from being renamed
        with self.at_work():
            seen = restore(place, options["file"], force=options["force"], tell=self.tell)
        for line in seen.differences:
            self.stderr.write(self.style.ERROR(line))
        if not seen.readable:
            self.tell(
                self.style.WARNING(
                    "The stored secrets of webhooks and integrations are encrypted with other keys than ENCRYPTION_KEYS"
                    " (or SECRET_KEY) has here: set those of the original."
                )
            )
        if seen.kept_as:
            self.stdout.write(f'The former database is kept: DROP DATABASE "{seen.kept_as}" when it isn\'t needed.')
        if seen.differences:
            sys.exit(1)
        rows = sum(table.number for table in seen.contents.tables.values())
        self.stdout.write(
            f"Restored: {len(seen.contents.tables)} tables with {rows:,} rows, equal to those that were backed up."
            " Next: `manage.py migrate`, `manage.py doctor`. Where there are two roles: as the one that restored, which"
            " all belongs to now, `manage.py roles`; then, as the owner, `migrate`, `roles` and `doctor`."
        )
