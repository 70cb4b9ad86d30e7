"""Artifacts over HTTP: texts, uploads, downloads, and what becomes of their files."""

import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext

from agents.models import Artifact, StoredContent
from agents.services import artifacts
from core.api import uploads
from core.models import AuditEvent, Organization
from tests.factories.agents.evidence import ArtifactFactory, StoredContentFactory, digest
from tests.factories.agents.work import TaskFactory, TaskRunFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

ARTIFACTS = "/api/v1/artifacts/"
CONTENT = b"0123456789" * 100


def upload(client: ApiClient, content: bytes = CONTENT, filename: str = "log.txt", **fields: Any) -> Any:
    """Upload a file."""
    file = SimpleUploadedFile(filename, content, fields.pop("part_type", "text/plain"))
    return send(client, encode_multipart(BOUNDARY, {**fields, "file": file}))


def send(client: ApiClient, content: bytes, content_type: str = MULTIPART_CONTENT, **headers: str) -> Any:
    """Send a body as it is."""
    return client.generic(
        "POST", ARTIFACTS, content, content_type, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


def send_part(client: ApiClient, content: bytes, length: int) -> Any:
    """Send the first ``length`` bytes of a body, and break off."""
    broken: dict[str, Any] = {"wsgi.input": BytesIO(content[:length])}
    return client.generic("POST", ARTIFACTS, content, MULTIPART_CONTENT, **broken)


def files(media: Path) -> list[Path]:
    """Return every file in storage, whole or not."""
    return [path for path in media.rglob("*") if path.is_file()]


def fetch(client: ApiClient, artifact: Any, **headers: str) -> Any:
    """Download an artifact, of which the id is given or stands in a JSON."""
    pk = artifact["id"] if isinstance(artifact, dict) else artifact
    return client.get(f"{ARTIFACTS}{pk}/download/", headers={name.replace("_", "-"): v for name, v in headers.items()})


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


# --- Texts -------------------------------------------------------------------------------------------


def test_a_text_is_kept_inline(teammate: Actor, media: Path) -> None:
    run = TaskRunFactory(organization=teammate.organization)
    text = "  Zeile\r\n漢字 "
    sent = {"name": "a.md", "artifact_type": "report", "metadata": {"n": 1}, "task_run": str(run.pk)}
    answer = teammate.by_key.post(ARTIFACTS, sent | {"text": text})
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert made.items() >= sent.items()
    assert (
        made.items()
        >= {
            "task": str(run.task_id),
            "content_type": "text/plain; charset=utf-8",
            "size": len(text.encode()),
            "sha256": digest(text.encode()),
            "stored": None,
        }.items()
    )
    assert "text" not in made
    downloaded = fetch(teammate.by_key, made)
    assert body(downloaded) == text.encode()
    assert downloaded["Content-Type"] == "text/plain; charset=utf-8"
    assert files(media) == []


def test_what_a_text_says_is_not_in_the_audit_log(teammate: Actor) -> None:
    teammate.by_key.post(ARTIFACTS, {"name": "a", "text": "confidential"})
    event = AuditEvent.objects.get(event_type="artifact.create")
    assert "confidential" not in json.dumps(event.new_value)
    assert event.new_value["text"] == "[redacted]"


def test_a_text_has_a_limit(teammate: Actor, settings: Any, writes_nothing: Callable[[], Any]) -> None:
    settings.ARTIFACT_MAX_TEXT_BYTES = 5
    assert teammate.by_key.post(ARTIFACTS, {"name": "a", "text": "12345"}).status_code == 201
    with writes_nothing():
        answer = teammate.by_key.post(ARTIFACTS, {"name": "a", "text": "12é45"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "text"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": None}, "text"),
        ({"text": "\0"}, "text"),
        ({"name": ""}, "name"),
        ({"name": "a\u0007b"}, "name"),
        ({"artifact_type": "poem"}, "artifact_type"),
        ({"content_type": "nonsense"}, "content_type"),
        ({"content_type": "text/html\r\nX-Evil: 1"}, "content_type"),
        ({"metadata": []}, "metadata"),
        ({"task": "00000000-0000-7000-8000-000000000000"}, "task"),
        ({"size": 3}, "size"),
    ],
)
def test_an_artifact_is_refused(
    change: dict[str, Any], field: str, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    with writes_nothing():
        answer = teammate.by_key.post(ARTIFACTS, {"name": "a", "text": "x"} | change)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


# --- Uploads -----------------------------------------------------------------------------------------


def test_an_upload_goes_to_storage(teammate: Actor, media: Path) -> None:
    task = TaskFactory(organization=teammate.organization)
    answer = upload(
        teammate.by_key, artifact_type="log", metadata='{"lines": 100}', task=str(task.pk), filename="../été.log"
    )
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    stored = StoredContent.objects.get()
    assert (
        made.items()
        >= {
            "name": "été.log",
            "artifact_type": "log",
            "content_type": "text/plain",
            "size": 1000,
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "metadata": {"lines": 100},
            "task": str(task.pk),
            "stored": str(stored.pk),
        }.items()
    )
    assert (stored.sha256, stored.size) == (made["sha256"], 1000)
    [file] = files(media)
    assert file == media / stored.location
    assert file.read_bytes() == CONTENT
    assert body(fetch(teammate.by_key, made)) == CONTENT


def test_name_and_type_can_be_given_apart_from_the_file(teammate: Actor) -> None:
    made = upload(teammate.by_key, name="report.csv", content_type="Text/CSV; charset=utf-8").json()
    assert (made["name"], made["content_type"]) == ("report.csv", "text/csv; charset=utf-8")
    assert upload(teammate.by_key, part_type="what\x7fever").json()["content_type"] == "application/octet-stream"


def test_a_session_uploads_too(teammate: Actor) -> None:
    assert upload(teammate.client).status_code == 201


def test_an_empty_file_is_a_file(teammate: Actor) -> None:
    made = upload(teammate.by_key, b"").json()
    assert (made["size"], made["sha256"]) == (0, digest(b""))
    assert body(fetch(teammate.by_key, made)) == b""


def test_the_same_content_is_stored_once_in_an_organization(teammate: Actor, stranger: Actor, media: Path) -> None:
    first, second = upload(teammate.by_key).json(), upload(teammate.by_key, filename="other.txt").json()
    assert first["stored"] == second["stored"]
    assert len(files(media)) == 1
    theirs = upload(stranger.by_key).json()
    assert theirs["stored"] != first["stored"]
    assert len(files(media)) == 2


def test_what_is_in_storage_needs_no_second_upload(
    teammate: Actor, stranger: Actor, writes_nothing: Callable[[], Any]
) -> None:
    made = upload(teammate.by_key).json()
    [known] = teammate.by_key.get("/api/v1/stored-contents/", {"sha256": digest(CONTENT)}).json()["results"]
    assert known["id"] == made["stored"]
    answer = teammate.by_key.post(ARTIFACTS, {"name": "again.bin", "stored": known["id"]})
    assert answer.status_code == 201, answer.json()
    assert answer.json().items() >= {"size": 1000, "sha256": digest(CONTENT), "stored": known["id"]}.items()
    with writes_nothing():
        assert stranger.by_key.post(ARTIFACTS, {"name": "mine", "stored": known["id"]}).status_code == 400
        both = {"name": "both", "stored": known["id"], "text": "x"}
        assert teammate.by_key.post(ARTIFACTS, both).status_code == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": "{"},
        {"artifact_type": "poem"},
        {"colour": "red"},
        {"task": "00000000-0000-7000-8000-000000000000"},
        {"name": "a\tb"},
    ],
)
def test_a_refused_upload_leaves_nothing(
    fields: dict[str, str], teammate: Actor, media: Path, writes_nothing: Callable[[], Any]
) -> None:
    with writes_nothing():
        assert upload(teammate.by_key, **fields).status_code == 400
    assert files(media) == []


def test_an_upload_that_the_database_refuses_leaves_nothing(
    teammate: Actor, media: Path, writes_nothing: Callable[[], Any]
) -> None:
    run, task = TaskRunFactory(organization=teammate.organization), TaskFactory(organization=teammate.organization)
    with writes_nothing():
        answer = upload(teammate.by_key, task=str(task.pk), task_run=str(run.pk))
    assert answer.json()["errors"][0]["field"] == "task_run"
    assert files(media) == []


def test_viewers_and_strangers_upload_and_delete_nothing(
    viewer: Actor, stranger: Actor, media: Path, writes_nothing: Callable[[], Any]
) -> None:
    artifact = ArtifactFactory(organization=viewer.organization)
    viewer.key, stranger.key  # noqa: B018 (made here)
    with writes_nothing():
        assert upload(viewer.by_key).status_code == upload(viewer.client).status_code == 403
        for actor, status in ((viewer, 403), (stranger, 404)):
            assert actor.by_key.patch(f"{ARTIFACTS}{artifact.pk}/", {"name": "x"}).status_code == status
            assert actor.by_key.delete(f"{ARTIFACTS}{artifact.pk}/").status_code == status
        assert fetch(stranger.by_key, artifact.pk).status_code == 404
    assert files(media) == []


def test_an_upload_has_a_limit(teammate: Actor, settings: Any, media: Path, writes_nothing: Callable[[], Any]) -> None:
    settings.ARTIFACT_MAX_BYTES = 999
    with writes_nothing():
        answer = upload(teammate.by_key)
        declared = send(teammate.by_key, b"x", content_length=str(3 * 1024 * 1024))
    for refused in (answer, declared):
        assert refused.status_code == 413
        assert refused["Content-Type"] == "application/problem+json"
        assert refused.json()["type"] == "/api/problems/payload_too_large/"
        assert "999" in refused.json()["detail"]
    assert files(media) == []
    settings.ARTIFACT_MAX_BYTES = 1000
    assert upload(teammate.by_key).status_code == 201


def test_a_body_that_ends_early_leaves_nothing(teammate: Actor, media: Path, writes_nothing: Callable[[], Any]) -> None:
    whole = encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("a", CONTENT), "name": "a.txt"})
    for missing in (500, 3, len(whole) - 20):
        with writes_nothing():
            answer = send_part(teammate.by_key, whole, len(whole) - missing)
        assert answer.status_code == 400
        assert answer.json()["type"] == "/api/problems/parse_error/"
        assert files(media) == []


def test_a_body_without_its_length_is_refused(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    with writes_nothing():
        answer = send(teammate.by_key, b"", transfer_encoding="chunked")
    assert answer.status_code == 411


def test_a_body_that_is_no_form_is_refused(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    with writes_nothing():
        assert send(teammate.by_key, b"x").status_code == 400
        assert send(teammate.by_key, b"x", "multipart/form-data").status_code == 400
        assert send(teammate.by_key, b"x", "text/plain").status_code == 415
        assert send(teammate.by_key, b"[]", "application/json").status_code == 400


# --- Downloads ---------------------------------------------------------------------------------------


@pytest.fixture
def made(teammate: Actor) -> dict[str, Any]:
    answer: dict[str, Any] = upload(teammate.by_key).json()
    return answer


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=990-", 990, 999),
        ("bytes=990-5000", 990, 999),
        ("bytes=-3", 997, 999),
        ("bytes=-5000", 0, 999),
        ("Bytes = 1 - 2", 1, 2),
    ],
)
@pytest.mark.parametrize("inline", [False, True])
def test_a_range(asked: str, first: int, last: int, inline: bool, teammate: Actor, made: dict[str, Any]) -> None:
    if inline:
        made = teammate.by_key.post(ARTIFACTS, {"name": "a", "text": CONTENT.decode()}).json()
    answer = fetch(teammate.by_key, made, range=asked)
    assert answer.status_code == 206
    assert body(answer) == CONTENT[first : last + 1]
    assert answer["Content-Range"] == f"bytes {first}-{last}/1000"
    assert answer["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(asked: str, teammate: Actor, made: dict[str, Any]) -> None:
    answer = fetch(teammate.by_key, made, range=asked)
    assert answer.status_code == 416
    assert answer["Content-Range"] == "bytes */1000"
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "asked", ["bytes=2-1", "bytes=-", "lines=0-1", "bytes=0-1,5-6", "nonsense", "bytes=٣-٤", f"bytes={'9' * 5000}-"]
)
def test_a_range_that_is_none_is_ignored(asked: str, teammate: Actor, made: dict[str, Any]) -> None:
    answer = fetch(teammate.by_key, made, range=asked)
    assert answer.status_code == 200
    assert body(answer) == CONTENT


def test_an_empty_content_has_no_range(teammate: Actor) -> None:
    made = upload(teammate.by_key, b"").json()
    assert fetch(teammate.by_key, made, range="bytes=0-").status_code == 416
    assert fetch(teammate.by_key, made, range="bytes=-1").status_code == 416


def test_preconditions(teammate: Actor, made: dict[str, Any]) -> None:
    tag, other = f'"{made["sha256"]}"', f'"{"0" * 64}"'
    first = fetch(teammate.by_key, made)
    assert (first["ETag"], first["Accept-Ranges"]) == (tag, "bytes")
    assert fetch(teammate.by_key, made, range="bytes=0-1", if_range=tag).status_code == 206
    assert fetch(teammate.by_key, made, range="bytes=0-1", if_range=other).status_code == 200
    assert fetch(teammate.by_key, made, range="bytes=0-1", if_range=f"W/{tag}").status_code == 200
    assert fetch(teammate.by_key, made, range="bytes=9999-", if_range=other).status_code == 200
    unchanged = fetch(teammate.by_key, made, if_none_match=f"{other}, {tag}")
    assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", tag)
    assert fetch(teammate.by_key, made, if_none_match=other).status_code == 200
    assert fetch(teammate.by_key, made, if_match=tag).status_code == 200
    refused = fetch(teammate.by_key, made, if_match=other)
    assert (refused.status_code, refused["Content-Type"]) == (412, "application/problem+json")


def test_a_head_request_tells_the_length_only(teammate: Actor, made: dict[str, Any]) -> None:
    answer = teammate.by_key.head(f"{ARTIFACTS}{made['id']}/download/", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer["Content-Length"], body(answer)) == (200, "1000", b"")


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript"])
def test_nothing_is_rendered_in_our_origin(content_type: str, teammate: Actor) -> None:
    made = upload(teammate.by_key, b"<script>alert(1)</script>", "evil.html", content_type=content_type).json()
    assert made["content_type"] == content_type
    answer = fetch(teammate.client, made)
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="evil.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("a.txt", 'attachment; filename="a.txt"'),
        ('a".txt', 'attachment; filename="a\\".txt"'),
        ("été.txt", "attachment; filename*=utf-8''%C3%A9t%C3%A9.txt"),
        ("../../etc/passwd", 'attachment; filename=".._.._etc_passwd"'),
        ("a\u2028b", "attachment; filename*=utf-8''a%E2%80%A8b"),
    ],
)
def test_the_name_travels_safely(name: str, disposition: str, teammate: Actor) -> None:
    artifact = ArtifactFactory(organization=teammate.organization, name=name)
    assert fetch(teammate.by_key, artifact.pk)["Content-Disposition"] == disposition


def test_a_download_takes_whatever_type_the_client_accepts(teammate: Actor, made: dict[str, Any]) -> None:
    assert fetch(teammate.by_key, made, accept="text/csv").status_code == 200


def test_a_viewer_downloads_and_a_customer_doesnt(viewer: Actor, customer: Actor, made: dict[str, Any]) -> None:
    assert body(fetch(viewer.by_key, made)) == CONTENT
    assert fetch(customer.by_key, made).status_code == 403
    assert fetch(ApiClient(), made).status_code == 401


# --- Changes and deletion ----------------------------------------------------------------------------


def test_what_an_artifact_is_called_changes_and_what_it_holds_doesnt(teammate: Actor, made: dict[str, Any]) -> None:
    address = f"{ARTIFACTS}{made['id']}/"
    changed = teammate.by_key.patch(address, {"name": "b.txt", "artifact_type": "data", "metadata": {"a": 1}})
    assert changed.status_code == 200
    assert changed.json()["name"] == "b.txt"
    same = teammate.by_key.patch(address, {"sha256": "0" * 64, "size": 1, "content_type": "text/html", "stored": None})
    assert same.json().items() >= {"sha256": made["sha256"], "size": 1000, "stored": made["stored"]}.items()
    assert teammate.by_key.patch(address, {"text": "x"}).status_code == 400


def test_the_content_goes_with_the_last_artifact_that_has_it(
    teammate: Actor, media: Path, django_capture_on_commit_callbacks: Any
) -> None:
    first, second = upload(teammate.by_key).json(), upload(teammate.by_key).json()
    for artifact, left in ((first, 1), (second, 0)):
        with django_capture_on_commit_callbacks(execute=True):
            assert teammate.by_key.delete(f"{ARTIFACTS}{artifact['id']}/").status_code == 204
        assert len(files(media)) == StoredContent.objects.count() == left


def test_the_file_stays_until_the_deletion_is_committed(teammate: Actor, media: Path) -> None:
    made = upload(teammate.by_key).json()
    artifacts.delete_artifact(artifact=Artifact.objects.get(pk=made["id"]))  # within the test's transaction
    assert not StoredContent.objects.exists()
    assert len(files(media)) == 1


# --- What was left behind ----------------------------------------------------------------------------


def test_contents_of_artifacts_that_went_with_their_task_are_found(organization: Organization) -> None:
    task = TaskFactory(organization=organization)
    kept, left = StoredContentFactory(organization=organization), StoredContentFactory(organization=organization)
    ArtifactFactory(organization=organization, text=None, stored=kept)
    ArtifactFactory(organization=organization, text=None, stored=left, task=task)
    task.delete()
    assert list(artifacts.unreferenced()) == [left]
    assert artifacts.release(stored_id=left.pk)
    assert not artifacts.release(stored_id=kept.pk)
    assert list(StoredContent.objects.all()) == [kept]


def test_files_without_a_row_are_found_once_they_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    StoredContentFactory()
    lost = default_storage.save("artifacts/somebody/aa/lost", ContentFile(b"x"))
    assert list(artifacts.orphans()) == []
    monkeypatch.setattr(artifacts, "ORPHAN_AGE", -artifacts.ORPHAN_AGE)
    assert list(artifacts.orphans()) == [lost]


# --- Lists -------------------------------------------------------------------------------------------


def test_a_list_is_filtered(viewer: Actor) -> None:
    organization = viewer.organization
    run = TaskRunFactory(organization=organization)
    stored = StoredContentFactory(organization=organization)
    one = ArtifactFactory(organization=organization, task_run=run, artifact_type="log")
    two = ArtifactFactory(organization=organization, text=None, stored=stored, artifact_type="data")
    three = ArtifactFactory(organization=organization)

    def found(**query: Any) -> list[int]:
        answer = viewer.by_key.get(ARTIFACTS, query)
        assert answer.status_code == 200, answer.json()
        names = {str(one.pk): 1, str(two.pk): 2, str(three.pk): 3}
        return [names[row["id"]] for row in answer.json()["results"]]

    assert found() == [3, 2, 1]
    assert found(task=run.task_id) == found(task_run=run.pk) == found(artifact_type="log") == [1]
    assert found(artifact_type="log,data") == [2, 1]
    assert found(stored=stored.pk) == found(sha256=stored.sha256) == [2]


def test_a_list_leaves_the_texts_in_the_database(viewer: Actor) -> None:
    ArtifactFactory(organization=viewer.organization, text="needle")
    with CaptureQueriesContext(connection) as queries:
        answer = viewer.by_key.get(ARTIFACTS)
    assert "needle" not in answer.content.decode()
    assert not any('"text"' in query["sql"] for query in queries)


@pytest.mark.django_db(transaction=True)
def test_the_sweep_removes_what_was_left_and_nothing_else(
    organization: Organization, media: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ArtifactFactory(organization=organization, text=None, stored=StoredContentFactory(organization=organization))
    StoredContentFactory(organization=organization)
    default_storage.save("artifacts/somebody/aa/lost", ContentFile(b"x"))
    (media / "incoming").mkdir()
    (media / "incoming" / "upload-dead").write_bytes(b"x")
    call_command("sweep_artifacts")  # all but the content is too young
    assert "Removed 1 contents" in capsys.readouterr().out
    assert len(files(media)) == 3
    monkeypatch.setattr(artifacts, "ORPHAN_AGE", -artifacts.ORPHAN_AGE)
    monkeypatch.setattr(uploads, "STALE_SECONDS", -1)
    call_command("sweep_artifacts", dry_run=True)
    assert "Would remove 0 contents" in capsys.readouterr().out
    assert len(files(media)) == 3
    call_command("sweep_artifacts")
    assert "1 files without a content, and 1 broken uploads" in capsys.readouterr().out
    assert files(media) == [media / kept.stored.location]


def test_the_sweep_tells_what_storage_has_lost(media: Path) -> None:
    whole, gone, cut = StoredContentFactory(), StoredContentFactory(), StoredContentFactory()
    for stored in (whole, gone, cut):
        ArtifactFactory(organization=stored.organization, text=None, stored=stored)
    (media / gone.location).unlink()
    (media / cut.location).write_bytes(b"")
    with pytest.raises(CommandError) as caught:
        call_command("sweep_artifacts")
    assert whole.location not in str(caught.value)
    assert gone.location in str(caught.value)
    assert cut.location in str(caught.value)
