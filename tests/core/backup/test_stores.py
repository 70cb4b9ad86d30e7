"""Backups of an S3 store and into one, and stores that fail: each time it is said at what, and nothing half is left."""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from core.backup import BackupError, Place, back_up, databases, restore
from core.backup.archive import Reader
from tests.core.backup.conftest import STORED, installed, names_of_databases, quiet
from tests.core.bucket import KEYS, Answer, Bucket, refusal, serving
from tests.kit.listening import deaf_port

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("backup")]

REPORT, LAST = "artifacts/a/report.txt", "artifacts/b/empty.bin"
DENIED = refusal(403, "AccessDenied", "Nobody may.")
BROKEN_OFF: Answer = (200, {"Content-Length": "13000", "Connection": "close"}, b"All settled.")


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """A bucket with the stored files."""
    with serving(STORED) as bucket:
        yield bucket


def hasty(bucket: Bucket) -> Any:
    """The bucket's storage, which is asked for the same but once."""
    config = import_module("botocore.config").Config(retries={"total_max_attempts": 1}, read_timeout=30)
    transfer = import_module("boto3.s3.transfer").TransferConfig(num_download_attempts=1)
    return bucket.storage(client_config=config, transfer_config=transfer)


def at(wanted: str, name: str, answer: Answer) -> Callable[[str, str], Answer | None]:
    """Let the store fail at one kind of request for one file, or for listings, whose name is empty."""
    return lambda method, asked: answer if (method, asked) == (wanted, name) else None


def test_there_and_back(bucket: Bucket, original: Place, empty: Place, tmp_path: Path) -> None:
    made = back_up(original, tmp_path, tell=quiet, storage=bucket.storage())
    assert made.media == len(STORED)
    with serving({"logo.png": STORED["logo.png"], "other.txt": b"other"}) as into:
        assert restore(empty, made.path, tell=quiet, storage=into.storage()).differences == []
        assert into.files == STORED | {"other.txt": b"other"}


def test_a_file_that_goes_meanwhile_is_passed_over(bucket: Bucket, original: Place, tmp_path: Path) -> None:
    def gone_after_it_was_found(method: str, name: str) -> Answer | None:
        if (method, name) == ("HEAD", REPORT):
            asked.append(name)
            if len(asked) == 2:  # Django's storage asked first, and now the download does
                bucket.files.pop(REPORT, None)
        return None

    asked: list[str] = []
    bucket.fault = gone_after_it_was_found
    made = back_up(original, tmp_path, tell=quiet, storage=hasty(bucket))
    with Reader(made.path) as reader:
        assert reader.media().keys() == STORED.keys() - {REPORT}
    assert asked


def not_backed_up(bucket: Bucket, original: Place, folder: Path) -> str:
    """The reason why a store isn't backed up; nothing may be left of the backup."""
    with pytest.raises(BackupError) as refusal:
        back_up(original, folder, tell=quiet, storage=hasty(bucket))
    assert list(folder.iterdir()) == []
    return str(refusal.value)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (at("GET", "", DENIED), "Listing the files failed, in the bucket files: .*AccessDenied.*Nobody may"),
        (at("GET", "", refusal(404, "NoSuchBucket", "None.")), "Listing the files failed, .*NoSuchBucket"),
        (at("GET", REPORT, DENIED), f"Reading {REPORT} failed, in the bucket files: .*AccessDenied.*Nobody may"),
        (at("HEAD", REPORT, DENIED), f"Reading {REPORT} failed, in the bucket files: .*403"),
        (at("GET", REPORT, refusal(500, "InternalError", "Oh.")), f"Reading {REPORT} failed, .*InternalError"),
        (at("GET", REPORT, BROKEN_OFF), f"Reading {REPORT} failed, in the bucket files: .*(12|bytes|broken)"),
    ],
)
def test_a_store_that_does_not_give_its_files(
    fault: Callable[[str, str], Answer | None], reason: str, bucket: Bucket, original: Place, tmp_path: Path
) -> None:
    bucket.fault = fault
    told = not_backed_up(bucket, original, tmp_path)
    assert re.match(reason, told), told


def test_a_bucket_that_goes_meanwhile(bucket: Bucket, original: Place, tmp_path: Path) -> None:
    def gone(method: str, name: str) -> Answer | None:
        seen.append(name)
        return refusal(404, "NoSuchBucket", "None.") if LAST in seen else None

    seen: list[str] = []
    bucket.fault = gone
    assert "NoSuchBucket" in not_backed_up(bucket, original, tmp_path)


def test_a_store_that_is_away(original: Place, tmp_path: Path) -> None:
    with deaf_port() as port:
        told = not_backed_up(Bucket(endpoint=f"http://127.0.0.1:{port}"), original, tmp_path)
    assert told.startswith("Listing the files failed, in the bucket files: Could not connect to the endpoint URL")


# --- Into a store that fails -----------------------------------------------------------------------


def not_restored(backup: Path, place: Place, bucket: Bucket, **options: Any) -> str:
    """The reason why a backup isn't restored; the databases must be as they were."""
    before = names_of_databases(place)
    with place.connect() as direct:
        standing = databases.something_in(direct)
    with pytest.raises(BackupError) as refusal:
        restore(place, backup, tell=quiet, storage=hasty(bucket), **options)
    assert names_of_databases(place) == before
    with place.connect() as direct:
        assert databases.something_in(direct) == standing
    return str(refusal.value)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (at("HEAD", REPORT, DENIED), f"Reading {REPORT} failed, in the bucket files: .*403"),
        (at("PUT", REPORT, DENIED), f"Storing {REPORT} failed, in the bucket files: .*AccessDenied.*Nobody may"),
        (at("GET", REPORT, DENIED), f"Reading {REPORT} failed, in the bucket files: .*AccessDenied.*Nobody may"),
    ],
)
def test_a_store_that_does_not_take_files(
    fault: Callable[[str, str], Answer | None], reason: str, backup: Path, empty: Place
) -> None:
    with serving({"logo.png": STORED["logo.png"]}) as into:
        into.fault = fault
        told = not_restored(backup, empty, into)
        assert re.match(reason, told), told
        assert into.files["logo.png"] == STORED["logo.png"]
        into.fault = lambda method, name: None  # when the store is mended, the same again does
        assert restore(empty, backup, tell=quiet, storage=hasty(into)).differences == []
        assert into.files == STORED


def test_a_file_that_is_lost_between_removal_and_storing_is_told_of(
    backup: Path, original: Place, empty: Place
) -> None:
    reason = "Storing logo.png, in whose place nothing is stored now, failed, in the bucket files: "
    with serving(STORED | {"logo.png": b"another"}) as into:
        into.fault = at("PUT", "logo.png", DENIED)
        assert not_restored(backup, original, into, force=True).startswith(reason)
        assert into.files == {name: content for name, content in STORED.items() if name != "logo.png"}
        into.files["logo.png"] = b"another"
        with pytest.raises(BackupError) as refusal:
            restore(empty, backup, force=True, tell=quiet, storage=hasty(into))
    assert str(refusal.value).startswith(f"{empty.name} came back as it was, but not all of its files. {reason}")


# --- As commands -----------------------------------------------------------------------------------


def failed(place: Place, tmp_path: Path, bucket: Bucket, *arguments: str) -> str:
    """The last line that a command says which fails in the bucket."""
    place_of_store = {"STORAGE_URL": bucket.url, "STORAGE_ATTEMPTS": "1", **KEYS}
    done = installed(place, tmp_path).manage(*arguments, **place_of_store)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_the_commands_end_with_one_line(
    bucket: Bucket, backup: Path, original: Place, empty: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    bucket.fault = at("GET", REPORT, DENIED)
    reading = f"CommandError: Reading {REPORT} failed, in the bucket files: "
    assert failed(original, tmp_path, bucket, "backup", str(folder)).startswith(reading)
    assert list(folder.iterdir()) == []
    assert failed(original, tmp_path, bucket, "drill", "--folder", str(folder)).startswith(reading)
    assert list(folder.iterdir()) == []
    assert failed(empty, tmp_path, bucket, "restore", str(backup)).startswith(reading)
    with empty.connect() as direct:
        assert databases.something_in(direct) is None
