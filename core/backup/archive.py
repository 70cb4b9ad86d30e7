"""The file of a backup: written whole or not at all, and looked through before anything in it is used."""

import errno
import hashlib
import io
import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.utils import validate_file_name

from core.backup.errors import BackupError

MANIFEST = "manifest.json"
DUMP = "database.dump"
MEDIA = "media/"
FORMAT = 1
CHUNK = 1 << 20
MANIFEST_LIMIT = 256 << 20  # bytes
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
# What reading a ZIP file raises, where something in it was altered.
ALTERED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error)
# What systems say of a file system that has no hard links, and of one that has no fsync of folders.
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
NO_SYNC = {errno.EINVAL, errno.EBADF}


@dataclass(frozen=True)
class Entry:
    """A file in a backup: its size in bytes, and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


class Draft(io.FileIO):
    """The file while it is written; says which file it is that the disk has no room for."""

    def __init__(self, descriptor: int, target: Path) -> None:
        super().__init__(descriptor, "r+")
        self._target = target

    def write(self, data: Any, /) -> int:
        """Write some more."""
        try:
            return super().write(data)
        except OSError as error:
            raise unwritable(self._target, error) from error


def unwritable(target: Path, error: OSError) -> BackupError:
    """Return the error that a backup can't be written."""
    return BackupError(f"{target} can't be written: {error.strerror}.")


class Sink:
    """What a file of the archive is written to; counts and digests what passes."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Write some more of the file."""
        self._member.write(chunk)
        self._sha256.update(chunk)
        self.size += len(chunk)

    def entry(self) -> Entry:
        """Return what was written so far."""
        return Entry(self.size, self._sha256.hexdigest())


class Writer:
    """A new backup, as a context. It stands under its name once ``finish`` has returned, and never in part.

    Raises:
        BackupError: the file is there already, or its folder isn't, or can't be written.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.entries: dict[str, Entry] = {}
        if target.exists():
            raise self._taken()
        try:
            descriptor, draft = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        except OSError as error:
            raise unwritable(target, error) from error
        self._draft: Path | None = Path(draft)
        self._file = io.BufferedRandom(Draft(descriptor, target))
        self._zip = zipfile.ZipFile(self._file, "w")

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._draft is not None:
            self._draft.unlink()
            self._zip.fp = None  # so that it doesn't try to complete what is given up
            with suppress(BackupError):  # a full disk, for one: nothing of it is kept
                self._file.close()

    @contextmanager
    def file(self, name: str, *, compress: bool = False) -> Iterator[Sink]:
        """Add a file, by writing to the context's sink."""
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        info.external_attr = 0o600 << 16
        with self._zip.open(info, "w", force_zip64=True) as member:
            sink = Sink(member)
            yield sink
        self.entries[name] = sink.entry()

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, to which the files are added, bring all to disk, and give the backup its name."""
        files = {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in self.entries.items()}
        whole = {"format": FORMAT, **manifest, "files": files}
        with self.file(MANIFEST, compress=True) as sink:
            sink.write(json.dumps({**whole, "sha256": _digest(whole)}, indent=1, sort_keys=True).encode())
        self._zip.close()
        self._file.flush()
        assert self._draft is not None
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._name(self._draft)
            try:
                _sync_folder(self.target.parent)
            except OSError:
                self.target.unlink()
                raise
        except FileExistsError as error:
            raise self._taken() from error
        except OSError as error:
            raise unwritable(self.target, error) from error

    def _name(self, draft: Path) -> None:
        """Give the draft its name, which nothing else may have by now: renaming would replace that."""
        try:
            self.target.hardlink_to(draft)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            self.target.touch(exist_ok=False)  # takes the name, if only we can
            try:
                draft.rename(self.target)
            except OSError:
                self.target.unlink()
                raise
            self._draft = None

    def _taken(self) -> BackupError:
        return BackupError(f"{self.target} is there already.")


def _sync_folder(path: Path) -> None:
    """Bring a folder's new name to disk, where the file system knows how."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(folder)


def _digest(manifest: Mapping[str, Any]) -> str:
    """Return a manifest's digest, which finds what was altered by accident, or by hand."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Reader:
    """A backup to read, as a context.

    Raises:
        BackupError: it is no whole backup, or none that this program reads.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        try:
            self._zip = zipfile.ZipFile(source)
        except OSError as error:
            raise self._unreadable(error) from error
        except ALTERED as error:
            raise self.broken("it is no ZIP file, or was cut off") from error
        try:
            self.manifest = self._read_manifest()
            self.entries = self._read_entries()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._zip.close()

    def broken(self, why: str) -> BackupError:
        """Return the error that this is no whole backup."""
        return BackupError(f"{self.source} is no whole backup: {why}.")

    def _unreadable(self, error: OSError) -> BackupError:
        return BackupError(f"{self.source} can't be read: {error.strerror}.")

    def _read_manifest(self) -> dict[str, Any]:
        try:
            if self._zip.getinfo(MANIFEST).file_size > MANIFEST_LIMIT:
                raise self.broken("its manifest is too large")
            manifest = json.loads(b"".join(self.chunks(MANIFEST)))
            written = manifest.pop("sha256")
            number = manifest["format"]
        except (KeyError, ValueError, AttributeError, TypeError, RecursionError) as error:
            raise self.broken("its manifest is missing or can't be read") from error
        if written != _digest(manifest):
            raise self.broken("its manifest was altered")
        if number != FORMAT:
            raise BackupError(f"{self.source} has the format {number}; this program reads {FORMAT}.")
        return dict(manifest)

    def _read_entries(self) -> dict[str, Entry]:
        try:
            files = {name: Entry(int(entry["size"]), entry["sha256"]) for name, entry in self.manifest["files"].items()}
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise self.broken("its manifest doesn't tell of its files") from error
        for name in files:
            try:
                validate_file_name(name.removeprefix(MEDIA), allow_relative_path=True)
            except SuspiciousFileOperation as error:
                raise self.broken(f"{name} leads out of the storage") from error
        return files

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file, piece by piece."""
        try:
            if self._zip.getinfo(name).compress_type not in METHODS:
                raise self.broken(f"{name} can't be read")
            with self._zip.open(name) as member:
                while chunk := member.read(CHUNK):
                    yield chunk
        except (KeyError, *ALTERED) as error:
            raise self.broken(f"{name} can't be read") from error
        except OSError as error:
            raise self._unreadable(error) from error

    def media(self) -> dict[str, Entry]:
        """Return the stored files, by their names in the storage."""
        return {name.removeprefix(MEDIA): entry for name, entry in self.entries.items() if name.startswith(MEDIA)}

    def check(self) -> Iterator[int]:
        """Compare every file with the manifest; yield the number of bytes read, again and again.

        Raises:
            BackupError: a file is missing, or isn't what it was.
        """
        held = set(self._zip.namelist())
        wanted = {*self.entries, MANIFEST}
        for name in sorted(wanted ^ held):
            raise self.broken(f"{name} is {'missing' if name in wanted else 'not in its manifest'}")
        if DUMP not in wanted:
            raise self.broken("it has no dump of the database")
        for name, entry in self.entries.items():
            sha256, size = hashlib.sha256(), 0
            for chunk in self.chunks(name):
                sha256.update(chunk)
                size += len(chunk)
                yield len(chunk)
            if (size, sha256.hexdigest()) != (entry.size, entry.sha256):
                raise self.broken(f"{name} isn't what it was when the backup was made")
