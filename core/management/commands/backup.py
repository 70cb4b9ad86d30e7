"""``manage.py backup FOLDER_OR_FILE``: put the database and the stored files into one file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from core.backup import back_up, configured
from core.backup.command import BackupCommand
from core.backup.wording import megabytes


class Command(BackupCommand):
    """Makes a backup of one moment, beside running servers. It has its name once it is whole."""

    help = "Back up the database and the stored files: a dump, the files, and a manifest to compare a restore with."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument(
            "path", type=Path, metavar="FOLDER_OR_FILE", help="Where to; in a folder, the name holds the time."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Back up, and print the backup's path, alone on standard output."""
        with self.at_work():
            made = back_up(configured(), options["path"], tell=self.tell)
        self.tell(
            f"{len(made.contents.tables)} tables with {made.rows:,} rows, {made.media:,} stored files;"
            f" {megabytes(made.size)}, of which the dump {megabytes(made.dump_size)}."
        )
        self.stdout.write(str(made.path))
