"""``manage.py drill``: see that a backup can be brought back, and that nothing is lost by it."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from core.backup import configured, drill
from core.backup.command import BackupCommand
from core.backup.wording import megabytes


class Command(BackupCommand):
    """Ends with status 1 when anything differs, which it names."""

    help = (
        "Back up, restore into another database on the same server, compare every table's rows, every sequence and"
        " every definition, and remove all of it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument(
            "--folder", type=Path, help="Where the backup lies meanwhile (default: the folder for temporary files)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Drill, and print what was compared, how large it is and how long it took."""
        with self.at_work():
            seen = drill(configured(), options["folder"], tell=self.tell)
        made, restored = seen.backup, seen.restored
        assert made is not None
        assert restored is not None
        for line in restored.differences:
            self.stderr.write(self.style.ERROR(line))
        definitions = made.contents.definitions
        lines = {
            "tables": f"{len(made.contents.tables)} with {made.rows:,} rows",
            "sequences": len(made.contents.sequences),
            **{f"{kind} definitions": len(named) for kind, named in definitions.items()},
            "stored files": made.media,
            "backup": f"{megabytes(made.size)} in {seen.seconds['backup']:.1f} s",
            "restore": f"compared, in {seen.seconds['restore']:.1f} s",
        }
        for name, value in lines.items():
            self.stdout.write(f"{name:24} {value}")
        if restored.differences:
            self.stdout.write(f"{len(restored.differences)} differences.")
            sys.exit(1)
        self.stdout.write("Everything that was restored equals the original.")
