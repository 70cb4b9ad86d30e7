"""The stored files (media), through Django's storage: folders and S3 alike."""

import hashlib
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile

from django.core.files import File
from django.core.files.storage import Storage

from core.api.uploads import INCOMING
from core.backup.archive import CHUNK, MEDIA, Entry, Reader, Writer
from core.backup.errors import BackupError

IN_MEMORY = 16 << 20  # bytes of a file that is restored; larger ones go through a temporary file


def names(storage: Storage, folder: str = "") -> Iterator[str]:
    """Yield the name of every file in the storage, folder by folder, but of uploads still under way."""
    try:
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
    """
    for name in names(storage):
        try:
            stored = storage.open(name)
        except FileNotFoundError:
            continue
        with stored, writer.file(MEDIA + name, compress=True) as sink:
            for chunk in stored.chunks(CHUNK):
                sink.write(chunk)
        yield name


def digest(storage: Storage, name: str) -> Entry | None:
    """Return the size and digest of a stored file; None: there is none."""
    if not storage.exists(name):
        return None
    sha256, size = hashlib.sha256(), 0
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
            under another name, or gives back another content.
    """
    for name in names:
        with SpooledTemporaryFile(max_size=IN_MEMORY) as content:
            for chunk in reader.chunks(MEDIA + name):
                content.write(chunk)
            content.seek(0)
            if storage.exists(name):
                storage.delete(name)
            kept = storage.save(name, File(content, name=name))
        if kept != name or digest(storage, name) != reader.entries[MEDIA + name]:
            raise BackupError(f"The storage doesn't keep {name} as it was given.")
        yield name
