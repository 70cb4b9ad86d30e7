"""Uploads and downloads through the server as it serves: memory, broken connections, many at once."""

import hashlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import transaction

from agents.models import Artifact, StoredContent
from agents.services import artifacts
from core.api.uploads import ReceivedFile
from core.models import Organization
from tests.agents.test_artifacts import ARTIFACTS, CONTENT, files
from tests.factories.agents.evidence import ArtifactFactory, StoredContentFactory, digest
from tests.kit.cast import Actor
from tests.kit.races import errors, race, values
from tests.kit.server import Server, serving
from tests.kit.waiting import PATIENCE, eventually

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024
LARGE = 200 * MIB
MAY_ADD = 64 * MIB
PIECE = bytes(range(256)) * 256
HEAD = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
TAIL = b"\r\n--edge--\r\n"


@pytest.fixture
def server(tmp_path: Path, teammate: Actor) -> Iterator[Server]:
    with serving(tmp_path) as running:
        yield running


def begin_upload(server: Server, actor: Actor, size: int) -> http.client.HTTPConnection:
    """Send the head of an upload of ``size`` bytes."""
    client = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    client.putrequest("POST", ARTIFACTS)
    client.putheader("Authorization", f"Bearer {actor.key.text}")  # type: ignore[attr-defined]
    client.putheader("Content-Type", "multipart/form-data; boundary=edge")
    client.putheader("Content-Length", str(len(HEAD) + size + len(TAIL)))
    client.endheaders(HEAD)
    return client


def test_200_mib_go_up_and_down_within_64_mib_of_memory(
    server: Server, teammate: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    for size in (1, 3 * MIB):  # what the first requests load isn't the upload's
        client = begin_upload(server, teammate, size)
        client.send(b"x" * size + TAIL)
        assert client.getresponse().status == 201
    server.forget_peak()
    before = server.resident()

    client = begin_upload(server, teammate, LARGE)
    expected = hashlib.sha256()
    for _ in range(LARGE // len(PIECE)):
        client.send(PIECE)
        expected.update(PIECE)
    client.send(TAIL)
    answer = client.getresponse()
    assert answer.status == 201
    made = Artifact.objects.select_related("stored").order_by("-id")[0]
    assert (made.size, made.sha256) == (LARGE, expected.hexdigest())
    up = server.peak_memory() - before

    server.forget_peak()
    client = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    client.request(
        "GET",
        f"{ARTIFACTS}{made.pk}/download/",
        headers={"Authorization": f"Bearer {teammate.key.text}"},  # type: ignore[attr-defined]
    )
    answer = client.getresponse()
    received, count = hashlib.sha256(), 0
    while piece := answer.read(len(PIECE)):
        if count == 0:
            time.sleep(1)  # a server that reads ahead of a slow client would fill its memory now
        received.update(piece)
        count += len(piece)
    assert (count, received.hexdigest()) == (LARGE, made.sha256)
    down = server.peak_memory() - before
    with capsys.disabled():
        print(f"\n200 MiB: {up / MIB:.1f} MiB of memory added by the upload, {down / MIB:.1f} by the download")
    assert max(up, down) < MAY_ADD


@pytest.mark.parametrize("sent", [100_000, 5 * MIB])
def test_an_upload_that_breaks_off_leaves_nothing(sent: int, server: Server, teammate: Actor) -> None:
    client = begin_upload(server, teammate, 50 * MIB)
    try:
        client.send(b"x" * sent)
        eventually(lambda: len(files(server.media)) == 1, "the file of what has come so far")
    finally:
        client.close()
    eventually(lambda: files(server.media) == [], "the end of the file")
    assert not StoredContent.objects.exists()
    assert not Artifact.objects.exists()


def test_a_refused_upload_is_not_read(server: Server, viewer: Actor) -> None:
    viewer.key  # noqa: B018 (made here)
    client = begin_upload(server, viewer, 50 * MIB)
    assert client.getresponse().status == 403
    client.close()
    assert files(server.media) == []


# --- Many at once ------------------------------------------------------------------------------------


def received(number: int) -> Any:
    """Return a file as an upload leaves it."""
    file = ReceivedFile(f"{number}.txt", "text/plain")
    file.write(CONTENT)
    file.to_disk()
    file.seek(0)
    file.size, file.sha256 = len(CONTENT), digest(CONTENT)
    return file


def keep(organization: Organization, number: int) -> Artifact:
    file = received(number)
    try:
        return artifacts.keep_file(
            organization_id=organization.pk, file=file, sha256=file.sha256, name=file.name, content_type="text/plain"
        )
    finally:
        file.close()


def test_equal_uploads_at_once_are_stored_once(organization: Organization, media: Path) -> None:
    outcomes = race(*(lambda number=number: keep(organization, number) for number in range(10)))  # type: ignore[misc]
    assert errors(outcomes) == []
    [stored] = StoredContent.objects.all()
    assert {artifact.stored_id for artifact in values(outcomes)} == {stored.pk}
    assert files(media) == [media / stored.location]


def test_an_upload_that_comes_while_the_content_goes_is_kept(organization: Organization, media: Path) -> None:
    for _ in range(10):
        old = keep(organization, 0)
        outcomes = race(
            lambda old=old: artifacts.delete_artifact(artifact=old),  # type: ignore[misc]
            lambda: keep(organization, 1),
            lambda: keep(organization, 2),
        )
        assert errors(outcomes) == []
        [stored] = StoredContent.objects.all()
        assert stored.artifacts.count() == 2
        assert files(media) == [media / stored.location]
        for artifact in Artifact.objects.all():
            artifacts.delete_artifact(artifact=artifact)
        assert files(media) == []


def test_the_last_two_artifacts_of_a_content_go_at_once(organization: Organization, media: Path) -> None:
    for _ in range(5):
        pair = [keep(organization, number) for number in range(2)]
        outcomes = race(*(lambda each=each: artifacts.delete_artifact(artifact=each) for each in pair))  # type: ignore[misc]
        assert errors(outcomes) == []
        assert not StoredContent.objects.exists()
        assert files(media) == []


def test_the_control_without_the_lock_the_last_two_leave_the_content(organization: Organization, media: Path) -> None:
    stored = StoredContentFactory(organization=organization)
    pair = [ArtifactFactory(organization=organization, text=None, stored=stored) for _ in range(2)]
    both = Barrier(2, timeout=PATIENCE)

    def unguarded(artifact: Artifact) -> None:
        with transaction.atomic():
            artifact.delete()
            is_last = not stored.artifacts.exists()
            both.wait()
            if is_last:
                stored.delete()

    race(*(lambda each=each: unguarded(each) for each in pair))  # type: ignore[misc]
    assert StoredContent.objects.exists()
    assert not Artifact.objects.exists()
