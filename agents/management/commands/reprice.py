"""``manage.py reprice --since 2026-03-01``: costs of model calls, computed anew by the prices known now."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.services import repricing


class Command(BaseCommand):
    """Computes costs anew, each at its call's own time. What clients reported stays as it is."""

    help = "Compute the costs of model calls anew, by the prices that are known now."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--since``."""
        parser.add_argument("--since", required=True, help="Calls that began then or later: a day or a time, in UTC.")

    def handle(self, *args: Any, since: str, **options: Any) -> None:
        """Reprice, and say how much changed."""
        try:
            moment = datetime.fromisoformat(since)
        except ValueError as error:
            raise CommandError(f"{since!r} is no time; write 2026-03-01, or 2026-03-01T12:00:00Z.") from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seen, changed = repricing.reprice(since=moment)
        self.stdout.write(f"{changed} of {seen} model calls cost something else now.")
