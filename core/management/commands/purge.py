"""``manage.py purge --older-than 90d``: remove for good what was deleted long ago."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from core import audit
from core.services import retention

UNITS = {"h": "hours", "d": "days", "w": "weeks"}
MOST = timedelta(days=365 * 100)
SHOWN = 20


def age(text: str) -> timedelta:
    """Return the time that ``90d`` stands for. Raises ArgumentTypeError for anything else."""
    match = re.fullmatch(r"(\d{1,6})([hdw])", text)
    if match is None or (given := timedelta(**{UNITS[match[2]]: int(match[1])})) > MOST:
        raise ArgumentTypeError(f"{text!r} is no time of up to 100 years such as 12h, 90d or 8w.")
    return given


class Command(BaseCommand):
    """Removes what the admin could still restore: agents, projects and whatever else is deleted softly."""

    help = "Remove for good what was deleted long ago, with all that hangs on it. There is no way back but a backup."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument(
            "--older-than", type=age, required=True, metavar="AGE", help="How long ago it was deleted: 12h, 90d, 8w."
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be removed, and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Remove, and say what was removed and what was not."""
        dry_run = options["dry_run"]
        with audit.context("command", details={"command": "purge"}):
            outcome = retention.purge(deleted_before=timezone.now() - options["older_than"], dry_run=dry_run)
        if not outcome.removed:
            self.stdout.write("There is nothing to remove.")
        for model, count in sorted(outcome.removed.items(), key=lambda item: item[0]._meta.label):
            noun = model._meta.verbose_name if count == 1 else model._meta.verbose_name_plural
            self.stdout.write(f"{'Would remove' if dry_run else 'Removed'} {count:,} {noun}.")
        for held in outcome.held[:SHOWN]:
            noun = str(held.record._meta.verbose_name)
            self.stderr.write(f"Kept {noun} {held.record} ({held.record.pk}): {held.reason}.")
        if len(outcome.held) > SHOWN:
            self.stderr.write(f"Kept {len(outcome.held) - SHOWN:,} more.")
