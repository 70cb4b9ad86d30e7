"""Backups that come back, and those that don't: then nothing may have changed."""

import errno
import hashlib
import json
import os
import shutil
import uuid
import zipfile
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.core.management import CommandError, call_command

from core.backup import BackupError, Place, databases, files, restore
from core.backup.archive import DUMP, MEDIA, Reader, Writer
from tests.core.backup.conftest import STORED, names_of_databases, quiet

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("backup")]


def refused(place: Place, source: Path, storage: Any, **options: Any) -> str:
    """The reason why a backup isn't restored; databases and storage must be as they were."""
    before = names_of_databases(place)
    with place.connect() as direct:
        standing = databases.something_in(direct)
    with pytest.raises(BackupError) as refusal:
        restore(place, source, tell=quiet, storage=storage, **options)
    assert names_of_databases(place) == before
    with place.connect() as direct:
        assert databases.something_in(direct) == standing
    return str(refusal.value)


def test_into_an_empty_database_and_in_place_of_a_full_one(
    backup: Path, original: Place, media: FileSystemStorage, settings: Any
) -> None:
    place = databases.make_like(original, f"test_restored_{uuid.uuid4().hex[:12]}")
    kept = None
    try:
        restored = restore(place, backup, tell=quiet, storage=media)
        assert (restored.differences, restored.kept_as, restored.readable) == ([], None, True)
        assert {name: media.open(name).read() for name in STORED} == STORED
        assert refused(place, backup, media).startswith(f"The database {place.name} isn't empty: it holds the ")

        with place.connect() as direct:
            direct.execute("UPDATE core_user SET name = 'Only here'")
        settings.SECRET_KEY = "another one"
        # A session that would keep the database from being renamed is ended.
        with place.connect() as web:
            again = restore(place, backup, force=True, tell=quiet, storage=media)
            with pytest.raises(psycopg.OperationalError):
                web.execute("SELECT 1")
        kept = again.kept_as
        assert again.differences == []
        assert again.readable is False
        assert kept is not None
        query = "SELECT count(*) FROM core_user WHERE name = 'Only here'"
        with place.connect() as direct, place.beside(kept).connect() as former:
            assert direct.execute(query).fetchone() == (0,)
            assert former.execute(query).fetchone() != (0,)
    finally:
        databases.drop(place)
        if kept:
            databases.drop(place.beside(kept))


def test_by_a_role_that_is_no_superuser(backup: Path, empty: Place, media: FileSystemStorage) -> None:
    role = empty.name
    with empty.connect() as direct:
        direct.execute(f'CREATE ROLE "{role}" LOGIN')
        direct.execute(f'ALTER DATABASE "{empty.name}" OWNER TO "{role}"')
        direct.execute("CREATE EXTENSION vector")  # the only one that a superuser has to make
    try:
        as_role = Place({**empty.parameters, "user": role}, empty.programs)
        assert restore(as_role, backup, tell=quiet, storage=media).differences == []
        with empty.connect() as direct:
            owners = direct.execute(
                "SELECT DISTINCT relowner::regrole::text FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace AND relname LIKE 'core\\_%'"
            ).fetchall()
        assert owners == [(f'"{role}"' if not role.isidentifier() else role,)]
        assert "may not make a database beside" in refused(as_role, backup, media, force=True)
    finally:
        databases.drop(empty)
        with empty.beside("postgres").connect() as direct:
            direct.execute(f'DROP ROLE "{role}"')


def test_what_else_is_stored_is_not_overwritten_unasked(backup: Path, empty: Place, media: FileSystemStorage) -> None:
    name, content = next(iter(STORED.items()))
    media.save(name, ContentFile(b"another"))
    assert refused(empty, backup, media) == f"Something else is stored as {name}. --force replaces it."
    assert media.open(name).read() == b"another"
    assert media.listdir("") == (["artifacts"], [])
    assert restore(empty, backup, force=True, tell=quiet, storage=media).differences == []
    assert media.open(name).read() == content


# --- Broken backups --------------------------------------------------------------------------------


def rewritten(backup: Path, path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """A copy of a backup of which each file was changed, or left out."""
    with zipfile.ZipFile(backup) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


def altered(content: bytes, **changes: Any) -> bytes:
    """A manifest with other values."""
    return json.dumps({**json.loads(content), **changes}).encode()


def signed(content: bytes, **changes: Any) -> bytes:
    """A manifest with other values, and a digest that fits."""
    manifest = {**json.loads(content), **changes}
    del manifest["sha256"]
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return json.dumps({**manifest, "sha256": hashlib.sha256(text.encode()).hexdigest()}).encode()


CHANGES: dict[str, tuple[Callable[[str, bytes], bytes | None], str]] = {
    "a dump with another byte": (
        lambda name, content: content[:-9] + b"?" + content[-8:] if name == DUMP else content,
        "database.dump isn't what it was when the backup was made",
    ),
    "a shorter stored file": (
        lambda name, content: content[:-1] if name.endswith("logo.png") else content,
        "media/logo.png isn't what it was when the backup was made",
    ),
    "a missing stored file": (
        lambda name, content: None if name.endswith("logo.png") else content,
        "media/logo.png is missing",
    ),
    "no dump": (lambda name, content: None if name == DUMP else content, "database.dump is missing"),
    "no manifest": (
        lambda name, content: None if name == "manifest.json" else content,
        "its manifest is missing or can't be read",
    ),
    "a manifest of anything": (
        lambda name, content: b"[]" if name == "manifest.json" else content,
        "its manifest is missing or can't be read",
    ),
    "another number of rows": (
        lambda name, content: altered(content, contents={}) if name == "manifest.json" else content,
        "its manifest was altered",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_files_that_were_altered(
    case: str, backup: Path, empty: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    change, reason = CHANGES[case]
    source = rewritten(backup, tmp_path / "altered.zip", change)
    assert refused(empty, source, media, force=True) == f"{source} is no whole backup: {reason}."
    assert not Path(media.location).exists()


ENTRY = {"size": 1, "sha256": "0" * 64}
MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "no files": ({"files": None}, "its manifest doesn't tell of its files"),
    "a list of files": ({"files": [DUMP]}, "its manifest doesn't tell of its files"),
    "files without sizes": ({"files": {DUMP: {"sha256": ""}}}, "its manifest doesn't tell of its files"),
    "a file above the storage": ({"files": {"media/../x": ENTRY}}, "media/../x leads out of the storage"),
    "a file of the system": ({"files": {"media//etc/x": ENTRY}}, "media//etc/x leads out of the storage"),
    "no proof of keys": ({"key_proof": None}, "its manifest has no proof of its keys"),
    "contents of anything": ({"contents": {"major": 1, "tables": []}}, "its manifest tells of no contents"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_manifests_that_were_written_by_hand(
    case: str, backup: Path, empty: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    changes, reason = MANIFESTS[case]
    source = rewritten(
        backup,
        tmp_path / "hand.zip",
        lambda name, content: signed(content, **changes) if name == "manifest.json" else content,
    )
    assert refused(empty, source, media, force=True) == f"{source} is no whole backup: {reason}."
    assert not Path(media.location).exists()


# Where a file's entry in the ZIP file's directory says how it is packed, and the bytes there.
PACKING = {
    "encrypted": (8, b"\x01\x00"),
    "patched": (8, b"\x20\x00"),
    "packed by a method that nobody knows": (10, b"\x63\x00"),
    "packed by another method": (10, b"\x0c\x00"),
}


@pytest.mark.parametrize("case", PACKING)
def test_files_that_are_packed_otherwise(
    case: str, backup: Path, empty: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    offset, packing = PACKING[case]
    source = tmp_path / "packed.zip"
    content = bytearray(backup.read_bytes())
    at = content.rindex(b"media/logo.png") - 46 + offset
    content[at : at + 2] = packing
    source.write_bytes(content)
    assert refused(empty, source, media) == f"{source} is no whole backup: media/logo.png can't be read."


def test_a_disk_that_fails(
    backup: Path, empty: Place, media: FileSystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(member: Any, size: int | None = -1) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    assert refused(empty, backup, media) == f"{backup} can't be read: Input/output error."


def test_what_is_refused_is_not_kept_open(backup: Path, tmp_path: Path) -> None:
    source = rewritten(
        backup, tmp_path / "none.zip", lambda name, content: None if name == "manifest.json" else content
    )
    with pytest.raises(BackupError) as refusal:
        Reader(source)
    assert source not in [path.resolve() for path in Path("/proc/self/fd").iterdir()]
    assert refusal.value.__cause__ is not None, "Who holds the error holds the reader."


def test_the_command_says_in_one_line_what_the_storage_refuses(backup: Path, tmp_path: Path, settings: Any) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    (tmp_path / "logo.png").symlink_to("logo.png")
    for command, path in (("backup", tmp_path / "made.zip"), ("restore", backup), ("drill", tmp_path)):
        argument = [str(path)] if command != "drill" else []
        with pytest.raises(CommandError, match="Too many levels of symbolic links"):
            call_command(command, *argument, stdout=StringIO(), stderr=StringIO())


def test_a_file_that_was_added(backup: Path, empty: Place, tmp_path: Path, media: FileSystemStorage) -> None:
    source = tmp_path / "more.zip"
    shutil.copy(backup, source)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("media/more.txt", "more")
    assert refused(empty, source, media).endswith("media/more.txt is not in its manifest.")


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.999])
def test_a_backup_that_was_cut_off(
    part: float, backup: Path, empty: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    source = tmp_path / "cut.zip"
    source.write_bytes(backup.read_bytes()[: int(backup.stat().st_size * part)])
    assert refused(empty, source, media) == f"{source} is no whole backup: it is no ZIP file, or was cut off."


def with_dump(backup: Path, path: Path, dump: bytes, stored: Mapping[str, bytes] = {}, **changes: Any) -> Path:
    """A backup whose files are as its manifest says, with another dump in it, and other stored files."""
    with Reader(backup) as reader, Writer(path) as writer:
        for name, content in {DUMP: dump, **{MEDIA + name: content for name, content in stored.items()}}.items():
            with writer.file(name) as sink:
                sink.write(content)
        manifest = {key: value for key, value in reader.manifest.items() if key not in ("files", "format")}
        writer.finish({**manifest, **changes})
    return path


def test_a_dump_that_was_broken_when_it_was_made(
    backup: Path, empty: Place, original: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    dump = zipfile.ZipFile(backup).read(DUMP)
    none = with_dump(backup, tmp_path / "none.zip", b"no dump at all")
    cut = with_dump(backup, tmp_path / "cut.zip", dump[: len(dump) * 3 // 4])
    assert "pg_restore failed: pg_restore: error: input file does not appear" in refused(empty, none, media)
    # Most tables were restored by then, in a transaction that is gone.
    assert "pg_restore failed: pg_restore: error: could not read from input file" in refused(empty, cut, media)
    # One that isn't empty keeps all that it holds.
    with original.connect() as direct:
        before = direct.execute("SELECT count(*), max(updated_at) FROM core_user").fetchone()
        assert "pg_restore failed" in refused(original, cut, media, force=True)
        assert direct.execute("SELECT count(*), max(updated_at) FROM core_user").fetchone() == before


def test_rows_that_are_not_those_of_the_manifest(
    backup: Path, empty: Place, original: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    with Reader(backup) as reader:
        contents = reader.manifest["contents"]
    contents["tables"]["public.core_user"]["number"] += 1
    contents["tables"]["public.core_organization"]["digest"] = "1"
    source = with_dump(backup, tmp_path / "told.zip", zipfile.ZipFile(backup).read(DUMP), contents=contents)
    number = contents["tables"]["public.core_user"]["number"]
    lines = [
        "The rows of public.core_organization differ from those that were backed up.",
        f"The table public.core_user has {number - 1} rows, and should have {number}.",
    ]
    assert restore(empty, source, tell=quiet, storage=media).differences == lines
    assert refused(original, source, media, force=True) == "\n".join(["It doesn't come back as it was:", *lines])


def test_files_are_replaced_only_where_the_database_comes_back_as_it_was(
    backup: Path, empty: Place, original: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    media.save("logo.png", ContentFile(b"another"))
    stored = {"logo.png": b"of the backup", "new.txt": b"new"}
    dump = zipfile.ZipFile(backup).read(DUMP)
    cut = with_dump(backup, tmp_path / "cut.zip", dump[: len(dump) * 3 // 4], stored)
    with Reader(backup) as reader:
        contents = reader.manifest["contents"]
    contents["tables"]["public.core_user"]["number"] += 1
    told = with_dump(backup, tmp_path / "told.zip", dump, stored, contents=contents)

    assert "pg_restore failed" in refused(empty, cut, media, force=True)
    assert "pg_restore failed" in refused(original, cut, media, force=True)
    assert "It doesn't come back as it was" in refused(original, told, media, force=True)
    assert media.open("logo.png").read() == b"another"
    assert restore(empty, told, force=True, tell=quiet, storage=media).differences[1:] == [
        "The stored file logo.png was not replaced."
    ]
    assert media.open("logo.png").read() == b"another"
    assert media.open("new.txt").read() == b"new"


def test_a_file_stays_where_the_one_in_its_place_cannot_be_read(
    backup: Path, tmp_path: Path, media: FileSystemStorage
) -> None:
    media.save("logo.png", ContentFile(b"another"))
    source = tmp_path / "later.zip"
    shutil.copy(backup, source)
    with Reader(source) as reader:
        at = zipfile.ZipFile(source).getinfo("media/logo.png").header_offset
        with source.open("r+b") as file:  # the disk fails after the backup was looked through
            file.seek(at)
            file.write(bytes(100))
        with pytest.raises(BackupError, match=r"media/logo\.png can't be read"):
            list(files.store(media, reader, ["logo.png"]))
    assert media.open("logo.png").read() == b"another"


def test_a_backup_of_a_newer_server_or_program(
    backup: Path, empty: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    with Reader(backup) as reader:
        contents = {**reader.manifest["contents"], "major": 99}
    newer = with_dump(backup, tmp_path / "newer.zip", b"", contents=contents)
    assert "is too old for what it is to work with" in refused(empty, newer, media)

    def renumber(name: str, content: bytes) -> bytes:
        if name != "manifest.json":
            return content
        return signed(content, format=2)

    source = rewritten(backup, tmp_path / "format.zip", renumber)
    assert refused(empty, source, media) == f"{source} has the format 2; this program reads 1."


def test_a_storage_that_gives_files_other_names(backup: Path, empty: Place) -> None:
    class Renaming(InMemoryStorage):
        def get_available_name(self, name: str, max_length: int | None = None) -> str:
            return f"other/{name}"

    assert refused(empty, backup, Renaming()).startswith("The storage doesn't keep artifacts/a/report.txt as")
