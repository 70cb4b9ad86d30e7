"""Artifacts over HTTP: texts, uploads, downloads, and what becomes of their files."""

import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext

from agents.models import Artifact, StoredContent
from agents.services import artifacts
from core.models import AuditEvent
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


def test_an_upload_with_a_key_is_done_once(teammate: Actor, media: Path) -> None:
    def once(content: bytes, boundary: str, name: str = "log") -> Any:
        file = SimpleUploadedFile("log.txt", content, "text/plain")
        body = encode_multipart(boundary, {"name": name, "file": file})
        headers = {"Idempotency_Key": "upload-1"}
        return send(teammate.by_key, body, f"multipart/form-data; boundary={boundary}", **headers)

    first, again = once(CONTENT, "one"), once(CONTENT, "another")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Artifact.objects.count() == 1
    assert len(files(media)) == 1
    for other in (once(CONTENT + b"!", "one"), once(CONTENT, "one", name="other")):
        assert other.status_code == 422
    assert Artifact.objects.count() == 1
    assert len(files(media)) == 1


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


@pytest.fixture
def made(teammate: Actor) -> dict[str, Any]:
    answer: dict[str, Any] = upload(teammate.by_key).json()
    return answer


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
    assert not any('artifact"."text"' in query["sql"] for query in queries)
