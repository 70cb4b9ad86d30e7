"""A database with the demo story in it, committed, since pg_dump is another session; and a backup of it, made once."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.core.management import call_command
from django.db import connections

from agents.models import StoredContent
from config.postgresql.base import close_pool
from core.backup import Place, back_up, configured, databases, restore
from core.models import Organization
from tests.commands.conftest import Installation

STORED = {
    "artifacts/a/report.txt": b"All settled.\n" * 1000,
    "artifacts/b/empty.bin": b"",
    "logo.png": bytes(range(256)),
}


def quiet(line: str) -> None:
    """What the tests are told."""


def names_of_databases(place: Place) -> list[str]:
    """The database, and those beside it that are made of its name; other tests make and drop their own."""
    with place.connect() as direct:
        own = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1"
        return [name for (name,) in direct.execute(own, [place.name]).fetchall()]


def installed(place: Place, data_dir: Path) -> Installation:
    """Muster on a database, as its commands are started."""
    pieces = {f"DB_{piece.upper()}": place.parameters[piece] for piece in ("host", "port", "user")}
    return Installation(
        {
            **pieces,
            "DB_NAME": place.name,
            "DATA_DIR": str(data_dir),
            "DEBUG": "1",
            "SECRET_KEY": "only for tests, and for nothing else at all",
            "PATH": f"{place.programs}{os.pathsep}{os.environ['PATH']}",
        }
    )


def fill(storage: Any) -> Any:
    """Store some files."""
    for name, content in STORED.items():
        storage.save(name, ContentFile(content))
    return storage


@pytest.fixture(scope="session")
def original(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A database with a row for each model. No test leaves a change in it."""
    with django_db_blocker.unblock():
        template = configured()
        place = databases.make_like(template, f"test_original_{uuid.uuid4().hex[:12]}")
        folder = tmp_path_factory.mktemp("template")
        restore(place, back_up(template, folder, tell=quiet, storage=InMemoryStorage()).path, tell=quiet)
        default = connections.databases["default"]
        connections.databases["original"] = {**default, "NAME": place.name}
        try:
            call_command("loaddata", "demo", database="original", verbosity=0)
            organization = Organization.objects.using("original").earliest("created_at")
            StoredContent.objects.using("original").create(  # of which the story has none
                organization=organization, sha256="0" * 64, size=0, location=next(iter(STORED))
            )
        finally:
            connections["original"].close()
            close_pool("original")
            del connections["original"], connections.databases["original"]
        yield place
        databases.drop(place)


@pytest.fixture(scope="session")
def storage() -> InMemoryStorage:
    """A storage that isn't a folder, with some files."""
    return fill(InMemoryStorage())


@pytest.fixture(scope="session")
def backup(original: Place, storage: InMemoryStorage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the two. To be copied before it is altered."""
    return back_up(original, tmp_path_factory.mktemp("backup"), tell=quiet, storage=storage).path


@pytest.fixture
def empty(original: Place) -> Iterator[Place]:
    """An empty database."""
    place = databases.make_like(original, f"test_empty_{uuid.uuid4().hex[:12]}")
    yield place
    databases.drop(place)


@pytest.fixture
def media(tmp_path: Path) -> FileSystemStorage:
    """An empty folder for stored files."""
    return FileSystemStorage(tmp_path / "media")
