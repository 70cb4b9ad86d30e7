"""``manage.py serve``: the web server, as production has it."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Becomes granian, by exec: signals reach the server itself, and nothing stands beside it."""

    help = "Serve admin and API. SIGTERM or Ctrl-C: take no more requests, finish those under way, and end."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--print", action="store_true", help="Print the server's command line, and serve nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """See that the server could do its work, and become it."""
        _refuse_more_threads_than_connections()
        _refuse_missing_static_files()
        command = server_command()
        if options["print"]:
            self.stdout.write(" ".join(command))
            return
        self.stdout.flush()
        os.chdir(settings.BASE_DIR)
        os.execv(command[0], command)  # noqa: S606 (our own arguments, and no shell is wanted)


def server_command() -> list[str]:
    """Return granian's command line, from the settings. Its own variables (``GRANIAN_…``) decide what isn't in it."""
    options = {
        "interface": "wsgi",
        "host": settings.WEB_HOST,
        "port": settings.WEB_PORT,
        "workers": settings.WEB_WORKERS,
        "blocking-threads": settings.WEB_THREADS,
        "workers-kill-timeout": settings.WEB_GRACE_SECONDS,
        "log-level": settings.LOG_LEVEL.lower(),
    }
    command = [sys.executable, "-m", "granian", "config.wsgi:application", "--no-ws", "--respawn-failed-workers"]
    return command + [part for name, value in options.items() for part in (f"--{name}", str(value))]


def _refuse_more_threads_than_connections() -> None:
    most = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
    if most < settings.WEB_THREADS:
        raise CommandError(
            f"WEB_THREADS is {settings.WEB_THREADS}, and each may need a connection;"
            f" DB_POOL_SIZE and DB_MAX_OVERFLOW allow {most} a process."
        )


def _refuse_missing_static_files() -> None:
    """Without the manifest each page would fail, and only once it is asked for."""
    if isinstance(staticfiles_storage, ManifestFilesMixin) and not staticfiles_storage.manifest_hash:
        raise CommandError("There are no static files of this version. Run “manage.py collectstatic --no-input” first.")
