"""The drill: a backup that is brought back at once, to see that it can be."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from django.core.files.storage import FileSystemStorage, Storage, default_storage

from core.backup import databases
from core.backup.making import Backup, back_up
from core.backup.place import Place
from core.backup.progress import Tell
from core.backup.restoring import Restored, restore


@dataclass
class Drill:
    """What a drill saw: the backup, what came back of it, and the seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict)
    backup: Backup | None = None
    restored: Restored | None = None

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Take the time of a step."""
        begin = time.monotonic()
        yield
        self.seconds[step] = time.monotonic() - begin


def drill(place: Place, folder: Path | None = None, *, tell: Tell, storage: Storage = default_storage) -> Drill:
    """Back a database up, restore it into another one on the same server, and compare the two.

    The backup, the other database and the files that are stored again are gone afterwards.

    Args:
        place: the database.
        folder: where the backup may lie meanwhile; None: the system's folder for temporary files.
        tell: is told what is done.
        storage: where the stored files are.

    Raises:
        BackupError: it can't be backed up or restored.
        psycopg.Error: the database can't be reached, or refuses.
    """
    seen = Drill()
    with tempfile.TemporaryDirectory(prefix="muster-drill-", dir=folder) as private:
        with seen.timed("backup"):
            seen.backup = back_up(place, Path(private), tell=tell, storage=storage)
        other = place.beside(databases.shortened(place.name, f"_drill_{token_hex(4)}"))
        try:
            databases.make_like(place, other.name)
            with seen.timed("restore"):
                seen.restored = restore(
                    other, seen.backup.path, tell=tell, storage=FileSystemStorage(Path(private, "media"))
                )
        finally:
            databases.drop(other)
    return seen
