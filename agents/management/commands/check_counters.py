"""``manage.py check_counters``: whether the counters of tasks are what counting their runs says."""

from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.services import counters


class Command(BaseCommand):
    """Names each task whose counters differ from its runs, and mends them if asked. Exit status 1: some are wrong."""

    help = "Check that the counters of tasks are what counting their runs says."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--mend``."""
        parser.add_argument(
            "--mend", action="store_true", help="Set the counters that are wrong to what counting says."
        )

    def handle(self, *args: Any, mend: bool, **options: Any) -> None:
        """Check, and mend where asked."""
        wrong = 0
        drifted = counters.drifted()
        while batch := list(islice(drifted, counters.BATCH)):
            wrong += len(batch)
            for drift in batch:
                self.stdout.write(f"{drift.task_id} {drift.name}: {_difference(drift)}")
            if mend:
                counters.mend([drift.task_id for drift in batch])
        if wrong and not mend:
            raise CommandError(f"{wrong} tasks have wrong counters; --mend sets them right.")
        self.stdout.write(f"{wrong} tasks mended." if wrong else "All counters are right.")


def _difference(drift: counters.Drift) -> str:
    return ", ".join(
        f"{name} is {drift.stored[name]}, counted {drift.counted[name]}"
        for name in drift.stored
        if drift.stored[name] != drift.counted[name]
    )
