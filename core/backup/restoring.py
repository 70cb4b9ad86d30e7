"""How a backup is brought back, and compared with what it was made of."""

import subprocess
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography.fernet import InvalidToken
from django.core.files.storage import Storage, default_storage
from psycopg.conninfo import make_conninfo

from core import encryption
from core.backup import databases, files
from core.backup.archive import DUMP, Reader
from core.backup.contents import Contents, differences
from core.backup.errors import BackupError
from core.backup.place import Place
from core.backup.progress import Tell, look_at, meter

SHOWN = 20


@dataclass(frozen=True)
class Restored:
    """What came back.

    Args:
        contents: what the database holds now.
        differences: in what it differs from what was backed up; a line for each thing.
        kept_as: the name under which the former database stands; None: there was none.
        readable: whether the keys of this installation read the stored secrets.
    """

    contents: Contents
    differences: list[str]
    kept_as: str | None = None
    readable: bool = True


def restore(
    place: Place, source: Path, *, force: bool = False, tell: Tell, storage: Storage = default_storage
) -> Restored:
    """Bring a backup back into a database and the storage.

    An empty database is filled in one transaction. In place of one that isn't, with ``force``, comes a new one, made
    beside it and compared before they change names; so whatever fails leaves the present one as it is.

    Files that the storage lacks are stored first. Those that it has with another content are replaced, with ``force``,
    once the database has come back as it was, and before it changes names. Files that the backup doesn't know stay
    (``sweep_artifacts`` removes them).

    Raises:
        BackupError: the backup is broken, or nothing may be overwritten, or it doesn't come back as it was; no
            database has changed then, and no file that was stored. Or files can't be stored: then no database has
            changed either, but an empty one may have been filled, which is said.
        psycopg.Error: the database can't be reached, or refuses.
    """
    with Reader(source) as reader:
        contents = check(reader, tell)
        program = place.program("pg_restore", at_least=contents.major)
        with place.connect() as direct:
            standing = databases.something_in(direct)
            major = direct.info.server_version // 10000
        if major < contents.major:
            raise BackupError(f"The backup is of PostgreSQL {contents.major}, and the server is older: {major}.")
        absent, different = files.compare(storage, reader)
        _refuse_to_overwrite(place, standing, different, force)
        store = partial(_store, storage, reader, tell=tell)
        with tempfile.TemporaryDirectory(prefix="muster-") as private:
            listed = _list(place, program, reader, Path(private))
            store(absent)
            if standing is None:
                found = fill(place, program, reader, listed, tell)
                kept_as = None
                wrong = list(differences(contents, found))
                if wrong:
                    wrong += [f"The stored file {name} was not replaced." for name in different]
                else:
                    _store_beside(place, partial(store, different))
            else:
                found, kept_as = _replace(place, program, reader, listed, tell, before=partial(store, different))
                wrong = []
        return Restored(found, wrong, kept_as, _is_readable(reader))


def _store_beside(place: Place, store: Callable[[], None]) -> None:
    """Store files when the database has come back already; whoever is told that they can't be is told of that too."""
    try:
        store()
    except BackupError as error:
        raise BackupError(f"{place.name} came back as it was, but not all of its files. {error}") from error


def _store(storage: Storage, reader: Reader, names: list[str], *, tell: Tell) -> None:
    if names:
        tell(f"Storing {len(names):,} files …")
    with meter("files", " files", len(names)) as shown:
        for _ in files.store(storage, reader, names):
            shown.update()


def check(reader: Reader, tell: Tell) -> Contents:
    """Compare the files of a backup with its manifest, and return what the database held.

    Raises:
        BackupError: one isn't what it was.
    """
    tell(f"Checking {reader.source} …")
    with meter("check", "B", sum(entry.size for entry in reader.entries.values())) as shown:
        for size in reader.check():
            shown.update(size)
    if not isinstance(reader.manifest.get("key_proof"), str):
        raise reader.broken("its manifest has no proof of its keys")
    try:
        return Contents.from_json(reader.manifest["contents"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise reader.broken("its manifest tells of no contents") from error


def _refuse_to_overwrite(place: Place, standing: str | None, stored: list[str], force: bool) -> None:
    if force:
        return
    if standing:
        raise BackupError(
            f"The database {place.name} isn't empty: it holds {standing}. --force puts the backup in its place, and"
            " keeps it under another name."
        )
    if stored:
        raise BackupError(f"Something else is stored as {stored[0]}. --force replaces it.")


def _list(place: Place, program: str, reader: Reader, private: Path) -> Path:
    """Write down what of a dump is to be restored: all but comments on extensions, which their owners alone may make.

    Raises:
        BackupError: pg_restore can't read the dump.
    """
    path = private / "list"
    with path.open("w+b") as listing:
        with place.run([program, "--list"], writes_to=listing, reads=True) as run:
            _feed(run.process, reader.chunks(DUMP))
            run.check()
        listing.seek(0)
        lines = [line for line in listing if b" COMMENT - EXTENSION " not in line]
    path.write_bytes(b"".join(lines))
    return path


def fill(place: Place, program: str, reader: Reader, listed: Path, tell: Tell) -> Contents:
    """Restore a dump into an empty database, in one transaction, and return what it holds then.

    Raises:
        BackupError: pg_restore fails; the database is empty still.
    """
    tell(f"Restoring into {place.name} …")
    command = [program, "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]
    command += [f"--use-list={listed}", "--dbname", make_conninfo(dbname=place.name)]
    with meter("restore", "B", reader.entries[DUMP].size) as shown:

        def counted() -> Iterable[bytes]:
            for chunk in reader.chunks(DUMP):
                shown.update(len(chunk))
                yield chunk

        with place.run(command, writes_to=subprocess.DEVNULL, reads=True) as run:
            _feed(run.process, counted())
            run.check()
    tell(f"Comparing {place.name} with the manifest …")
    with place.connect() as direct:
        direct.execute("ANALYZE")
        return look_at(direct)


def _feed(process: "subprocess.Popen[bytes]", chunks: Iterable[bytes]) -> None:
    """Write to a program's standard input, until it has enough."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has read what it wants, or failed: its status tells
        for chunk in chunks:
            process.stdin.write(chunk)
        process.stdin.close()


def _replace(
    place: Place, program: str, reader: Reader, listed: Path, tell: Tell, *, before: Callable[[], None]
) -> tuple[Contents, str]:
    """Restore into a new database, and exchange it for the present one once it is as it should be.

    Args:
        place, program, reader, listed, tell: as ``fill`` has them, but for the present database.
        before: what is to be done before the exchange.
    """
    wanted = Contents.from_json(reader.manifest["contents"])
    now = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    new = place.beside(databases.shortened(place.name, f"_restored_{now}"))
    kept_as = databases.shortened(place.name, f"_before_{now}")
    try:
        databases.make_like(place, new.name)
        found = fill(new, program, reader, listed, tell)
        _refuse_differing(wanted, found)
        before()
        tell(f"Exchanging {place.name}, which is kept as {kept_as} …")
        databases.exchange(place, new, kept_as=kept_as)
    except BaseException:
        databases.drop(new)
        raise
    return found, kept_as


def _refuse_differing(wanted: Contents, found: Contents) -> None:
    if wrong := list(differences(wanted, found)):
        raise BackupError("It doesn't come back as it was:\n" + "\n".join(wrong[:SHOWN]))


def _is_readable(reader: Reader) -> bool:
    """Tell whether the keys of this installation are those that the backup's secrets are encrypted with."""
    try:
        encryption.fernet().decrypt(reader.manifest["key_proof"])
    except InvalidToken:
        return False
    return True
