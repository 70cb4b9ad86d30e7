"""What the commands of backups have in common."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.core.management.base import BaseCommand, CommandError

from core.backup.errors import BackupError
from core.backup.wording import one_line


class BackupCommand(BaseCommand):
    """A command that ends with one line where a backup, the database or a disk refuses."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Do the work inside.

        Raises:
            CommandError: what can be foreseen went wrong.
        """
        try:
            yield
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        except psycopg.Error as error:
            raise CommandError(one_line(error)) from error
