"""How a backup is made."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.files.storage import Storage, default_storage
from psycopg import Connection

from core import encryption
from core.backup import files
from core.backup.archive import CHUNK, DUMP, Writer
from core.backup.contents import Contents, last_values
from core.backup.errors import BackupError
from core.backup.place import Place
from core.backup.progress import Tell, look_at, meter

KEY_PROOF = b"muster backup"  # encrypted: who can read it can read the stored secrets too
MIGRATIONS = "SELECT app, name FROM public.django_migrations ORDER BY app, name"


@dataclass(frozen=True)
class Backup:
    """A backup that was made: where, what the database held, the numbers of bytes and of stored files."""

    path: Path
    contents: Contents
    dump_size: int
    size: int
    media: int

    @property
    def rows(self) -> int:
        """Return the number of rows in it."""
        return sum(table.number for table in self.contents.tables.values())


def path_for(place: Place, wanted: Path, now: datetime) -> Path:
    """Return the path of a new backup: as it is wanted, or a name with the time, where that is a folder."""
    return wanted / f"muster-{place.name}-{now:%Y%m%dT%H%M%SZ}.zip" if wanted.is_dir() else wanted


def back_up(place: Place, wanted: Path, *, tell: Tell, storage: Storage = default_storage) -> Backup:
    """Make a backup.

    Args:
        place: the database.
        wanted: a folder, or the path of a file that isn't there.
        tell: is told what is done.
        storage: where the stored files are.

    Raises:
        BackupError: it can't be made; nothing stands under its name then.
        psycopg.Error: the database can't be reached, or refuses to be read.
    """
    now = datetime.now(UTC)
    with Writer(path_for(place, wanted, now)) as writer, place.connect() as direct:
        major = direct.info.server_version // 10000
        program = place.program("pg_dump", at_least=major)
        snapshot = _begin(direct)
        tell(f"Digesting the tables of {place.name} …")
        contents = look_at(direct)
        tell(f"Dumping {len(contents.tables)} tables …")
        _dump(place, program, snapshot, writer)
        migrations = [list(row) for row in direct.execute(MIGRATIONS).fetchall()]
        # What the dump says of sequences isn't of the snapshot: it lies between these.
        after = last_values(direct)
        contents.sequences.update({name: (low, after.get(name, low)) for name, (low, _) in contents.sequences.items()})
        direct.execute("COMMIT")
        tell("Copying the stored files …")
        with meter("files", " files") as shown:
            for _ in files.copy_all(storage, writer):
                shown.update()
        writer.finish(
            {
                "made_at": now.isoformat(timespec="seconds"),
                "database": place.name,
                "server_version": direct.info.parameter_status("server_version"),
                "migrations": migrations,
                "key_proof": encryption.fernet().encrypt(KEY_PROOF).decode(),
                "contents": contents.to_json(),
            }
        )
        dump_size = writer.entries[DUMP].size
        media = len(writer.entries) - 2  # beside them stand the dump and the manifest
    return Backup(writer.target, contents, dump_size, writer.target.stat().st_size, media)


def _begin(direct: Connection[Any]) -> str:
    """Begin the transaction of one snapshot, and return the name by which pg_dump shares it."""
    direct.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    row = direct.execute("SELECT pg_export_snapshot(), to_regclass('public.django_migrations') IS NOT NULL").fetchone()
    assert row is not None
    if not row[1]:
        raise BackupError("This is no database of Muster: it has no table of migrations in the schema public.")
    return str(row[0])


def _dump(place: Place, program: str, snapshot: str, writer: Writer) -> None:
    """Let pg_dump write the snapshot into the backup."""
    # The quickest compression, which every pg_restore knows.
    command = [program, "--format=custom", "--compress=1", "--no-unlogged-table-data", "--no-password"]
    command += [f"--snapshot={snapshot}", "--encoding=UTF8"]
    with (
        meter("dump", "B") as shown,
        place.run(command, writes_to=subprocess.PIPE, reads=False) as run,
        writer.file(DUMP) as sink,
    ):
        assert run.process.stdout is not None
        while chunk := run.process.stdout.read(CHUNK):
            sink.write(chunk)
            shown.update(len(chunk))
        run.check()
