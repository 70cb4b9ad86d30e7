"""``manage.py check_spans``: whether trace summaries and statistics are what counting the spans says."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.services import recounts


class Command(BaseCommand):
    """Names each row that differs, and mends them if asked. Exit status 1: some are wrong."""

    help = "Check that trace summaries and statistics are what counting all spans says."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--mend``."""
        parser.add_argument(
            "--mend",
            action="store_true",
            help="Make the wrong rows what counting says. Writers of spans wait meanwhile.",
        )

    def handle(self, *args: Any, mend: bool, **options: Any) -> None:
        """Check, and mend where asked."""
        number = 0
        for organization_id in recounts.organizations():
            wrong = list(recounts.differences(organization_id))
            number += len(wrong)
            for each in wrong:
                self.stdout.write(f"{each.organization_id} {each.what} {each.key}: {_told(each)}")
            if wrong and mend:
                recounts.mend(organization_id, wrong)
        if number and not mend:
            raise CommandError(f"{number} rows are wrong; --mend sets them right.")
        self.stdout.write(f"{number} rows mended." if number else "All trace summaries and statistics are right.")


def _told(each: recounts.Difference) -> str:
    if each.stored is None:
        return "is missing"
    if each.counted is None:
        return "has no spans"
    return ", ".join(
        f"{name} is {each.stored[name]}, counted {each.counted[name]}"
        for name in each.stored
        if each.stored[name] != each.counted[name]
    )
