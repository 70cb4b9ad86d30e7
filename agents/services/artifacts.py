"""Artifacts: what comes in, what is kept of it once, and what goes when nothing refers to it any more.

A file has a name of its own in storage, which no other upload ever has (see ``content_name``). So whoever put it
there may take it away again without a look at anybody else, and an upload needs no lock while it goes to storage:
that may be a network away, and takes as long as it takes. The row decides who keeps: it is unique by organization
and digest.
"""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO
from uuid import UUID

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from agents.models import Artifact, StoredContent
from agents.models.artifacts import content_name
from core.ids import uuid7

ORPHAN_AGE = timedelta(days=1)


@transaction.atomic
def keep_text(*, organization_id: UUID, text: str, **fields: Any) -> Artifact:
    """Make an artifact of a text. The fields are Artifact's."""
    content = text.encode()
    return Artifact.objects.create(
        organization_id=organization_id,
        text=text,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        **fields,
    )


def keep_file(*, organization_id: UUID, file: File, sha256: str, **fields: Any) -> Artifact:
    """Make an artifact of a file, which goes to storage unless its content is there already. The fields are Artifact's.

    ``sha256`` is the content's digest in hexadecimal. Not to be called in a transaction: it talks to storage first.
    """
    while True:
        placed = None
        if not StoredContent.objects.filter(organization_id=organization_id, sha256=sha256).exists():
            placed = _place(organization_id, file, sha256)
        taken = False
        try:
            with transaction.atomic():
                stored = _claim(organization_id, sha256, placed)
                if stored is not None:
                    artifact = _refer(stored, fields)
            taken = stored is not None and placed is not None and stored.pk == placed.pk
        finally:
            if placed is not None and not taken:
                default_storage.delete(placed.location)
        if stored is not None:
            return artifact


@transaction.atomic
def refer_to(*, stored: StoredContent, **fields: Any) -> Artifact:
    """Make an artifact of a content that is in storage already. The fields are Artifact's.

    Raises StoredContent.DoesNotExist when it has gone meanwhile.
    """
    return _refer(StoredContent.objects.select_for_update(no_key=True).get(pk=stored.pk), fields)


@transaction.atomic
def delete_artifact(*, artifact: Artifact) -> None:
    """Delete an artifact, and its content with it if no other artifact has it."""
    stored_id = artifact.stored_id
    artifact.delete()
    if stored_id:
        release(stored_id=stored_id)


@transaction.atomic
def release(*, stored_id: UUID) -> bool:
    """Remove a content that no artifact has any more, and tell whether that was so.

    The row goes first, under a lock that whoever is about to refer to it waits for; its file after the commit. A
    file that couldn't be removed then is an orphan, which ``orphans`` finds.
    """
    stored = StoredContent.objects.select_for_update().filter(pk=stored_id).first()
    if stored is None or stored.artifacts.exists():
        return False
    stored.delete()
    transaction.on_commit(partial(default_storage.delete, stored.location), robust=True)
    return True


def open_artifact(artifact: Artifact, start: int, length: int) -> BinaryIO:
    """Open what an artifact holds at the byte ``start``, for reading the next ``length``."""
    if artifact.stored is None:
        assert artifact.text is not None, "An artifact has a text or a content."
        return BytesIO(artifact.text.encode()[start : start + length])
    file: Any = default_storage.open(artifact.stored.location, "rb")
    if hasattr(file, "obj"):  # S3: a ranged request, since reading the storage's own file fetches all of it
        wanted = {"Range": f"bytes={start}-{start + length - 1}"} if length else {}
        body: BinaryIO = file.obj.get(**wanted)["Body"]
        return body
    file.seek(start)
    return file


def unreferenced() -> Iterator[StoredContent]:
    """Yield the contents that no artifact has any more: those of artifacts that went with their task."""
    yield from StoredContent.objects.filter(artifacts=None).order_by("pk").iterator()


def orphans() -> Iterator[str]:
    """Yield the files in storage that no content names: those of processes that died between file and row."""
    for name in _files("artifacts"):
        old = default_storage.get_modified_time(name) < timezone.now() - ORPHAN_AGE
        if old and not StoredContent.objects.filter(location=name).exists():
            yield name


def lost() -> Iterator[StoredContent]:
    """Yield the contents whose file is gone from storage, or has another size: what only a backup brings back."""
    for stored in StoredContent.objects.order_by("pk").iterator():
        if not default_storage.exists(stored.location) or default_storage.size(stored.location) != stored.size:
            yield stored


def _files(folder: str) -> Iterator[str]:
    folders, files = default_storage.listdir(folder) if _is_there(folder) else ([], [])
    for file in files:
        yield f"{folder}/{file}"
    for inner in folders:
        yield from _files(f"{folder}/{inner}")


def _is_there(folder: str) -> bool:
    return hasattr(default_storage, "bucket") or default_storage.exists(folder)


def _place(organization_id: UUID, file: File, sha256: str) -> StoredContent:
    """Put the file into storage under a new name, and return the content that it is to be, not saved yet."""
    content_id = uuid7()
    location = default_storage.save(content_name(organization_id, content_id), file)
    return StoredContent(
        id=content_id, organization_id=organization_id, sha256=sha256, size=file.size, location=location
    )


def _claim(organization_id: UUID, sha256: str, placed: StoredContent | None) -> StoredContent | None:
    """Return the row of the content, locked until the transaction ends, whoever made it.

    None when there is none, and nothing was placed to make one of.
    """
    rows = StoredContent.objects.select_for_update(no_key=True)
    while True:
        if placed is not None:
            StoredContent.objects.bulk_create([placed], ignore_conflicts=True)
        stored = rows.filter(organization_id=organization_id, sha256=sha256).first()
        if stored is not None or placed is None:
            return stored


def _refer(stored: StoredContent, fields: dict[str, Any]) -> Artifact:
    return Artifact.objects.create(
        organization_id=stored.organization_id, stored=stored, size=stored.size, sha256=stored.sha256, **fields
    )
