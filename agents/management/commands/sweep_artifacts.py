"""Removes what artifacts left behind in storage, and tells what storage has lost."""

from argparse import ArgumentParser
from typing import Any

from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError

from agents.services import artifacts
from core import audit
from core.api.uploads import stale_uploads


class Command(BaseCommand):
    """``manage.py sweep_artifacts [--dry-run]``: to be run now and then, while Muster serves too."""

    help = (
        "Remove contents that no artifact has any more, files that no record names, and uploads of processes that"
        " died. Exits with status 1 when a content's file is missing or has another size."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--dry-run", action="store_true", help="Say what would be removed, and remove nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep, and say what was found."""
        removing = not options["dry_run"]
        with audit.context(source="command"):
            contents = [stored for stored in artifacts.unreferenced() if not removing or self._release(stored)]
        files = list(artifacts.orphans())
        uploads = list(stale_uploads())
        if removing:
            for name in files:
                default_storage.delete(name)
            for path in uploads:
                path.unlink(missing_ok=True)
        verb = "Removed" if removing else "Would remove"
        size = sum(stored.size for stored in contents)
        self.stdout.write(f"{verb} {len(contents)} contents without an artifact ({size} bytes),")
        self.stdout.write(f"{len(files)} files without a content, and {len(uploads)} broken uploads.")
        lost = [stored.location for stored in artifacts.lost()]
        if lost:
            raise CommandError("\n".join([f"Storage has lost {len(lost)} files, or parts of them:", *lost]))

    def _release(self, stored: Any) -> bool:
        return artifacts.release(stored_id=stored.pk)
