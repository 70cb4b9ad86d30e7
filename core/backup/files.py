"""The stored files (media), through Django's storage: folders and S3 alike."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile

from django.core.files import File
from django.core.files.storage import Storage

from core.api.uploads import INCOMING
from core.backup.archive import CHUNK, MEDIA, Entry, Reader, Writer
from core.backup.errors import BackupError
from core.stores import is_missing, name_of, said_by, store_errors

IN_MEMORY = 16 << 20  # bytes of a file that is restored; larger ones go through a temporary file


@contextmanager
def _asking(storage: Storage, what: str) -> Iterator[None]:
    """Ask the storage inside.

    Args:
        storage: a folder's, or a store's.
        what: what it is asked for, to begin "… failed".

    Raises:
        FileNotFoundError: a store hasn't got the file, as folders put it.
        BackupError: a store refuses, can't be reached or breaks off.
    """
    try:
        yield
    except store_errors() as error:
        if is_missing(error):
            raise FileNotFoundError(said_by(error)) from error
        raise BackupError(f"{what} failed, in {name_of(storage)}: {said_by(error)}") from error


def names(storage: Storage, folder: str = "") -> Iterator[str]:
    """Yield the name of every file in the storage, folder by folder, but of uploads still under way."""
    try:
        with _asking(storage, f"Listing the files in {folder}" if folder else "Listing the files"):
            folders, files = storage.listdir(folder)
    except FileNotFoundError:  # nothing was stored yet, or the folder has gone meanwhile
        return
    for name in sorted(files):
        yield f"{folder}/{name}" if folder else name
    for name in sorted(folders):
        path = f"{folder}/{name}" if folder else name
        if path != INCOMING:
            yield from names(storage, path)


def copy_all(storage: Storage, writer: Writer) -> Iterator[str]:
    """Copy every stored file into the backup, and yield its name.

    To be called when the snapshot stands: a record's file is stored before the record, so all that the snapshot tells
    of are there, but those whose record is deleted meanwhile. Such a file is passed over.

    Raises:
        BackupError: a store doesn't give what it has, or the backup can't be written.
    """
    for name in names(storage):
        try:
            with _asking(storage, f"Reading {name}"):
                stored = storage.open(name)
                stored.seek(0)  # fetches a store's file, which else its first chunk would
        except FileNotFoundError:
            next(names(storage), None)  # raises where not the file but its whole bucket has gone
            continue
        with stored, writer.file(MEDIA + name, compress=True) as sink:
            for chunk in stored.chunks(CHUNK):
                sink.write(chunk)
        yield name


def digest(storage: Storage, name: str) -> Entry | None:
    """Return the size and digest of a stored file; None: there is none."""
    sha256, size = hashlib.sha256(), 0
    with _asking(storage, f"Reading {name}"):
        if not storage.exists(name):
            return None
        with storage.open(name) as stored:
            for chunk in stored.chunks(CHUNK):
                sha256.update(chunk)
                size += len(chunk)
    return Entry(size, sha256.hexdigest())


def compare(storage: Storage, reader: Reader) -> tuple[list[str], list[str]]:
    """Return the names of the backup's files that the storage lacks, and of those it has with another content."""
    absent, different = [], []
    for name, entry in reader.media().items():
        standing = digest(storage, name)
        if standing is None:
            absent.append(name)
        elif standing != entry:
            different.append(name)
    return absent, different


def store(storage: Storage, reader: Reader, names: Iterable[str]) -> Iterator[str]:
    """Store files of the backup, in place of what has their names, and yield each name.

    Raises:
        BackupError: the backup can't be read, and what has the name is still stored; or the storage keeps the file
            under another name, or gives back another content; or a store fails, which may be between the removal of
            what had the name and the storing of the file: then that is said.
    """
    for name in names:
        with SpooledTemporaryFile(max_size=IN_MEMORY) as content:
            for chunk in reader.chunks(MEDIA + name):
                content.write(chunk)
            content.seek(0)
            storing = f"Storing {name}"
            with _asking(storage, f"Removing {name}, to replace it,"):
                if storage.exists(name):
                    storage.delete(name)
                    storing += ", in whose place nothing is stored now,"
            with _asking(storage, storing):
                kept = storage.save(name, File(content, name=name))
        if kept != name or digest(storage, name) != reader.entries[MEDIA + name]:
            raise BackupError(f"The storage doesn't keep {name} as it was given.")
        yield name
