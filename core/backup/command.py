"""What the commands of backups have in common."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psycopg
from django.core.management.base import BaseCommand, CommandError

from core.backup.errors import BackupError
from core.backup.wording import one_line


class BackupCommand(BaseCommand):
    """A command that ends with one line where a backup, the database or a disk refuses, and cleans up at SIGTERM."""

    def tell(self, line: str) -> None:
        """Write a line of progress to standard error, and not in the red that Django gives to all that goes there."""
        self.stderr.write(line, str)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Do the work inside.

        Raises:
            CommandError: what can be foreseen went wrong.
            SystemExit: SIGTERM came.
        """
        # Only the main thread can set it, and only there is it ours to set.
        mine = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGTERM, _end) if mine else None
        try:
            yield
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        except psycopg.Error as error:
            raise CommandError(one_line(error)) from error
        finally:
            if mine:
                signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:
    """End as by an exception, so that temporary files and databases are removed, undisturbed by a second signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)
