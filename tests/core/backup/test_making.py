"""Backups that are made, and those that can't be."""

import errno
import json
import os
import re
import resource
import signal
import stat
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.core.management import CommandError, call_command

from core.api.uploads import ReceivedFile
from core.backup import BackupError, Place, back_up, drill, restore
from core.backup.archive import Reader, Writer
from core.management.commands.backup import Command
from tests.core.backup.conftest import STORED, fill, installed, names_of_databases, quiet
from tests.kit.waiting import PATIENCE

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("backup")]


def test_what_a_backup_holds(backup: Path, original: Place) -> None:
    with zipfile.ZipFile(backup) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
    assert (names[0], names[-1]) == ("database.dump", "manifest.json")
    assert sorted(names[1:-1]) == sorted(f"media/{name}" for name in STORED)
    assert backup.name.startswith(f"muster-{original.name}-2")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [path.name for path in backup.parent.iterdir()] == [backup.name]
    assert manifest["database"] == original.name
    assert ["core", "0001_initial"] in manifest["migrations"]
    assert {name: entry["size"] for name, entry in manifest["files"].items() if name.startswith("media/")} == {
        f"media/{name}": len(content) for name, content in STORED.items()
    }


def test_what_is_written_meanwhile_is_in_neither_dump_nor_digest(
    original: Place, empty: Place, tmp_path: Path, media: FileSystemStorage
) -> None:
    lines = []
    with original.connect() as other:

        def write(line: str) -> None:
            lines.append(line)
            if line.startswith("Dumping"):
                other.execute("INSERT INTO django_session VALUES ('meanwhile', '', now())")
                other.execute("SELECT nextval('catalog_order_number_seq')")

        try:
            made = back_up(original, tmp_path, tell=write, storage=InMemoryStorage())
        finally:
            other.execute("DELETE FROM django_session WHERE session_key = 'meanwhile'")
    assert any(line.startswith("Dumping") for line in lines)
    restored = restore(empty, made.path, tell=quiet, storage=media)
    assert restored.differences == []
    with empty.connect() as direct:
        assert direct.execute("SELECT count(*) FROM django_session").fetchone() == (0,)
        sequence = "public.catalog_order_number_seq"
    low, high = made.contents.sequences[sequence]
    assert low < high == restored.contents.sequences[sequence][0]


def test_a_drill_finds_everything_equal_and_leaves_nothing(original: Place, tmp_path: Path) -> None:
    before = names_of_databases(original)
    seen = drill(original, tmp_path, tell=quiet, storage=fill(InMemoryStorage()))
    after = names_of_databases(original)
    assert seen.restored is not None
    assert seen.backup is not None
    assert seen.restored.differences == []
    assert seen.backup.media == len(STORED)
    assert list(seen.seconds) == ["backup", "restore"]
    assert before == after
    assert list(tmp_path.iterdir()) == []


def test_uploads_under_way_are_left_out(
    original: Place, tmp_path: Path, media: FileSystemStorage, settings: Any
) -> None:
    settings.MEDIA_ROOT = media.location
    fill(media)
    media.save("artifacts/incoming/kept.txt", ContentFile(b"of that name"))
    upload = ReceivedFile("report.txt", "text/plain")
    upload.write(b"the first ha")
    made = back_up(original, tmp_path, tell=quiet, storage=media)
    upload.close()
    with Reader(made.path) as reader:
        assert reader.media().keys() == {*STORED, "artifacts/incoming/kept.txt"}


# --- What can't be ---------------------------------------------------------------------------------


def refused(place: Place, target: Path) -> str:
    """The reason why a backup isn't made; nothing may be left of it."""
    folder = target.parent if target.parent.exists() else target.parent.parent
    before = sorted(folder.iterdir())
    with pytest.raises(BackupError) as refusal:
        back_up(place, target, tell=quiet, storage=fill(InMemoryStorage()))
    assert sorted(folder.iterdir()) == before
    return str(refusal.value)


def test_a_folder_that_is_not_there(original: Place, tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "backup.zip"
    assert refused(original, target) == f"{target} can't be written: No such file or directory."


def test_a_file_that_is_there_is_not_overwritten(original: Place, tmp_path: Path) -> None:
    target = tmp_path / "backup.zip"
    target.write_text("precious")
    assert refused(original, target) == f"{target} is there already."
    assert target.read_text() == "precious"


def write(target: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Write a backup of nothing."""
    with Writer(target) as writer:
        meanwhile()
        writer.finish({})


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system have no hard links, as FAT has none."""

    def link(source: Any, target: Any, **options: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_overwritten(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        without_links(monkeypatch)
    target = tmp_path / "backup.zip"
    write(target)
    with Reader(target) as reader:
        assert reader.manifest["files"] == {}
    target.unlink()
    with pytest.raises(BackupError, match="is there already"):
        write(target, lambda: target.write_text("precious"))
    assert target.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("number", "refused"), [(errno.EIO, True), (errno.EINVAL, False)])
def test_a_folder_that_cannot_be_brought_to_disk(
    number: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    target = tmp_path / "backup.zip"
    if refused:
        with pytest.raises(BackupError, match="can't be written: Input/output error"):
            write(target)
        assert list(tmp_path.iterdir()) == []
    else:  # a file system that knows no such thing
        write(target)
        assert list(tmp_path.iterdir()) == [target]


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full(original: Place, tmp_path: Path) -> None:
    target = tmp_path / "backup.zip"
    with small_disk(50_000):
        assert refused(original, target) == f"{target} can't be written: File too large."


def test_a_database_that_is_not_muster_s(empty: Place, tmp_path: Path) -> None:
    assert refused(empty, tmp_path / "backup.zip").startswith("This is no database of Muster")


def test_a_program_that_fails_is_quoted(original: Place, tmp_path: Path) -> None:
    place = Place(original.parameters, programs=tmp_path / "bin")
    (tmp_path / "bin").mkdir()
    program(
        tmp_path / "bin",
        "if [ $1 = --version ]; then echo 'pg_dump (PostgreSQL) 99.1'; exit; fi\n"
        "head -c 100000 /dev/zero; echo 'pg_dump: error: the disk burns' >&2; exit 3",
    )
    assert refused(place, tmp_path / "backup.zip") == "pg_dump failed: pg_dump: error: the disk burns"


def program(folder: Path, script: str) -> None:
    """Make a program that is called pg_dump."""
    path = folder / "pg_dump"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)


def test_programs_older_than_the_server_or_missing(
    original: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = Place(original.parameters)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(on_path, tmp_path / "backup.zip").startswith(
        "pg_dump isn't on the PATH. Install PostgreSQL's client"
    )
    program(tmp_path, "echo 'pg_dump: no library' >&2; exit 127")
    assert refused(on_path, tmp_path / "backup.zip").startswith(f"{tmp_path / 'pg_dump'} doesn't run: ")
    program(tmp_path, "echo 'pg_dump (PostgreSQL) 14.9'")
    assert refused(on_path, tmp_path / "backup.zip").startswith(
        f"pg_dump (PostgreSQL) 14.9 ({tmp_path / 'pg_dump'}) is too old for what it is to work with."
    )


def test_no_password_stands_on_a_command_line_or_in_the_environment(original: Place) -> None:
    password = "colon: and \\ backslash"
    place = Place({**original.parameters, "password": password})
    shown = (
        'tr "\\0" "\\n" < /proc/self/cmdline; env; cat "$PGPASSFILE"; ls -ld "$PGPASSFILE"; ls -ld "${PGPASSFILE%/*}"'
    )
    with place.run(["/bin/sh", "-c", shown], writes_to=subprocess.PIPE, reads=False) as run:
        assert run.process.stdout is not None
        printed = run.process.stdout.read().decode()
        run.check()
    assert password not in printed
    assert "*:*:*:*:colon\\: and \\\\ backslash" in printed.splitlines()
    assert f"PGDATABASE={original.name}" in printed.splitlines()
    assert [line.split()[0] for line in printed.splitlines()[-2:]] == ["-rw-------", "drwx------"]
    assert password not in repr(place)


def ended(place: Place, tmp_path: Path, at: str, number: signal.Signals, *arguments: str) -> int:
    """Start a command, send it a signal once it says what begins with ``at``, and return its status."""
    process = installed(place, tmp_path).start(*arguments)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(at):
            process.send_signal(number)
            break
    process.communicate(timeout=PATIENCE)
    return process.returncode


def test_one_that_is_killed_leaves_nothing_under_its_name(original: Place, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    assert ended(original, tmp_path, "Dumping", signal.SIGKILL, "backup", str(folder)) == -signal.SIGKILL
    assert [path.suffix for path in folder.iterdir()] == [".part"]


@pytest.mark.parametrize("command", ["backup", "drill", "restore"])
def test_one_that_is_told_to_stop_leaves_nothing(command: str, backup: Path, original: Place, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    at, arguments = {
        "backup": ("Dumping", [str(folder)]),
        "drill": ("Restoring into", ["--folder", str(folder)]),
        "restore": ("Restoring into", ["--force", str(backup)]),
    }[command]
    before = names_of_databases(original)
    assert ended(original, tmp_path, at, signal.SIGTERM, command, *arguments) == 128 + signal.SIGTERM
    assert list(folder.iterdir()) == []
    assert names_of_databases(original) == before


@pytest.fixture
def _no_files(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Look away from the files that a developer has stored."""
    settings.MEDIA_ROOT = str(tmp_path_factory.mktemp("media"))


@pytest.mark.usefixtures("_no_files")
def test_the_command_prints_the_path_alone(tmp_path: Path) -> None:
    out, err = StringIO(), StringIO()
    call_command("backup", str(tmp_path), stdout=out, stderr=err)
    (path,) = tmp_path.iterdir()
    assert out.getvalue() == f"{path}\n"
    assert re.search(r"\d+ tables with [\d,]+ rows, 0 stored files; [\d.]+ MB, of which the dump", err.getvalue())
    with Reader(path) as reader:
        assert sum(reader.check()) > 0


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("_no_files")
def test_progress_is_not_red(tmp_path: Path) -> None:
    terminal = Terminal()
    command = Command(stdout=StringIO(), stderr=terminal, force_color=True)
    command.stderr.write("An error is.")
    assert terminal.getvalue().startswith("\x1b[31;1mAn error is.")
    terminal.truncate(0)
    call_command(command, str(tmp_path))
    assert "Digesting" in terminal.getvalue()
    assert "stored files; " in terminal.getvalue()
    assert "\x1b[31" not in terminal.getvalue()


@pytest.mark.usefixtures("_no_files")
def test_the_drill_command_prints_what_was_compared(tmp_path: Path) -> None:
    out = StringIO()
    call_command("drill", "--folder", str(tmp_path), stdout=out, stderr=StringIO())
    lines = dict(line.split("  ", 1) for line in out.getvalue().splitlines()[:-1])
    assert {"tables", "sequences", "trigger definitions", "index definitions", "backup", "restore"} <= lines.keys()
    assert out.getvalue().endswith("Everything that was restored equals the original.\n")


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    for command, arguments in (("backup", [tmp_path / "a" / "b"]), ("restore", [tmp_path / "none.zip"])):
        with pytest.raises(CommandError, match="No such file or directory"):
            call_command(command, *map(str, arguments), stdout=StringIO(), stderr=StringIO())
