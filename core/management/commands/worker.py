"""``manage.py worker``: run background jobs."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from core.jobs.worker import Options, work
from core.services.webhooks_dispatch import DATABASE_THREADS

DEFAULT_CONCURRENCY = 4
DEFAULT_GRACE = 30.0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 on")
    return seconds


class Command(BaseCommand):
    """Runs jobs until SIGTERM or SIGINT. Start as many workers as are wanted, on as many machines."""

    help = "Run background jobs. SIGTERM or Ctrl-C: take no more, finish those that run, and end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument(
            "--concurrency",
            type=_positive,
            default=DEFAULT_CONCURRENCY,
            metavar="N",
            help="How many jobs run at once (default: %(default)s).",
        )
        parser.add_argument("--queues", nargs="+", metavar="QUEUE", help="Serve only these queues (default: all).")
        parser.add_argument(
            "--grace",
            type=_seconds,
            default=DEFAULT_GRACE,
            metavar="SECONDS",
            help="How long running jobs have to end once the worker is told to stop; others then start them again"
            " (default: %(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until told to stop."""
        most = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
        needed = options["concurrency"] + DATABASE_THREADS
        if needed > most:
            raise CommandError(
                f"--concurrency {options['concurrency']} needs {needed} connections, {DATABASE_THREADS} of them to send"
                f" webhooks; DB_POOL_SIZE and DB_MAX_OVERFLOW allow {most}."
            )
        work(Options(options["concurrency"], options["queues"], options["grace"]))
