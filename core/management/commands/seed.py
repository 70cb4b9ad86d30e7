"""``manage.py seed``: load the demo story, and say what stands in the database."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError

from core import demo
from core.errors import ConflictError


class Command(BaseCommand):
    """Loads `fixtures/` unless they are there, all or nothing, and prints the number of records of each kind."""

    help = "Load the demo story unless it is there, and print what stands in the database."

    def handle(self, *args: Any, **options: Any) -> None:
        """Load and count."""
        try:
            loaded = demo.load()
        except ProgrammingError as error:
            raise CommandError("The database isn't migrated. Run: manage.py migrate") from error
        except ConflictError as error:
            raise CommandError(str(error)) from error
        names = ", ".join(f"{path.parent.name}/{path.name}" for path in loaded)
        self.stdout.write(f"Loaded {names}.\n" if loaded else "The story is there already.\n")
        summary = demo.summary()
        width = max(len(name) for _, lines in summary for name, _ in lines)
        for app, lines in summary:
            self.stdout.write(f"\n{app}")
            for name, value in lines:
                self.stdout.write(f"  {name:{width}}  {f'{value:,}' if isinstance(value, int) else value:>10}")
