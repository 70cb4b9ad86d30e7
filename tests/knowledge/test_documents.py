"""Collections and documents over HTTP, in the admin, and from the command line."""

from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.models import Organization, Role
from knowledge.models import Collection, Document
from knowledge.services.documents import ContentRefusedError, change_document, content_of, read_bounded
from knowledge.services.processing import process_document
from tests.admin import pages
from tests.admin.conftest import Staff
from tests.factories.knowledge import ChunkFactory, CollectionFactory, DocumentFactory
from tests.kit.cast import Actor, make_actor
from tests.kit.client import ApiClient
from tests.knowledge import files
from tests.knowledge.library import put
from tests.knowledge.stand_in import MODEL, Server, busy, right

pytestmark = pytest.mark.django_db

DOCUMENTS = "/api/v1/documents/"


@pytest.fixture
def collection(organization: Organization) -> Collection:
    collection: Collection = CollectionFactory(organization=organization, name="Manuals")
    return collection


@pytest.fixture
def staff(organization: Organization) -> Staff:
    user = make_actor(organization, Role.ADMIN, "staff").user
    user.is_staff = user.is_superuser = True
    user.save()
    return Staff(user)


def upload(client: ApiClient, collection: Collection, content: bytes, name: str, **fields: Any) -> Any:
    part = SimpleUploadedFile(name, content, fields.pop("part_type", "application/octet-stream"))
    body = encode_multipart(BOUNDARY, {"collection": str(collection.pk), **fields, "file": part})
    return client.generic("POST", DOCUMENTS, body, MULTIPART_CONTENT)


# --- HTTP ------------------------------------------------------------------------------------------


def test_a_text_is_stored_and_sent_again_is_the_same_document(teammate: Actor, collection: Collection) -> None:
    body = {
        "collection": str(collection.pk),
        "document_id": "valves",
        "content": "Check each valve.",
        "title": "Valves",
    }
    made = teammate.by_key.post(DOCUMENTS, body)
    assert made.status_code == 201
    assert made["Location"].endswith(f"{DOCUMENTS}{made.json()['id']}/")
    assert {name: made.json()[name] for name in ("status", "version", "content_type", "size")} == {
        "status": "pending",
        "version": 1,
        "content_type": "text/plain",
        "size": 17,
    }
    again = teammate.by_key.post(DOCUMENTS, body)
    assert (again.status_code, again.json()) == (200, made.json())
    twin = teammate.by_key.post(DOCUMENTS, body | {"document_id": "copy", "title": "Copy", "metadata": {"a": 1}})
    assert (twin.status_code, twin.json()) == (200, made.json())
    assert twin.json()["document_id"] == "valves"
    newer = teammate.by_key.post(DOCUMENTS, body | {"content": "Check each valve twice."})
    assert (newer.status_code, newer.json()["id"], newer.json()["version"]) == (200, made.json()["id"], 2)


def test_a_file_is_uploaded_and_comes_back_as_it_came(teammate: Actor, collection: Collection) -> None:
    content = files.docx_file()
    made = upload(teammate.by_key, collection, content, "manual.docx", metadata='{"product": "servo"}')
    assert made.status_code == 201
    assert made.json()["document_id"] == "manual.docx"
    assert made.json()["content_type"].endswith("wordprocessingml.document")
    assert made.json()["metadata"] == {"product": "servo"}
    process_document(document_id=made.json()["id"])
    document = teammate.by_key.get(f"{DOCUMENTS}{made.json()['id']}/").json()
    assert (document["status"], document["title"]) == ("ready", "Service manual")
    [version] = teammate.by_key.get("/api/v1/document-versions/", {"document": document["id"]}).json()["results"]
    assert "text" not in version
    address = f"/api/v1/document-versions/{version['id']}/"
    assert teammate.by_key.get(address).json()["text"].startswith("# Valves")
    download = teammate.by_key.get(f"{address}download/")
    assert b"".join(download.streaming_content) == content
    assert download["ETag"] == f'"{version["content_hash"]}"'
    assert "attachment" in download["Content-Disposition"]
    chunks = teammate.by_key.get("/api/v1/chunks/", {"document": document["id"]}).json()["results"]
    assert [chunk["position"] for chunk in chunks] == list(range(document["chunk_count"]))


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"content": ""}, "content", "blank"),
        ({"content": "a\0b"}, "content", "null_characters_not_allowed"),
        ({"content_type": "image/png"}, "content_type", "unsupported"),
        ({"language": "xx"}, "language", "invalid_choice"),
        ({"metadata": []}, "metadata", "invalid"),
        ({"status": "ready"}, "status", "unknown"),
    ],
)
def test_what_cannot_become_a_document_is_refused_by_field(
    teammate: Actor, collection: Collection, change: dict[str, Any], field: str, code: str
) -> None:
    answer = teammate.by_key.post(DOCUMENTS, {"collection": str(collection.pk), "content": "x"} | change)
    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]
    assert not Document.objects.exists()


def test_an_upload_that_is_too_large_or_of_no_known_kind_is_refused(
    teammate: Actor, collection: Collection, settings: Any
) -> None:
    assert upload(teammate.by_key, collection, b"\x89PNG", "a.png").status_code == 400
    settings.DOCUMENT_MAX_BYTES = 100
    assert upload(teammate.by_key, collection, b"x" * 101, "a.txt").status_code == 413
    assert teammate.by_key.post(DOCUMENTS, {"collection": str(collection.pk), "content": "x" * 101}).status_code == 400
    assert not Document.objects.exists()


def test_another_organization_s_collection_does_not_exist(stranger: Actor, collection: Collection) -> None:
    answer = stranger.by_key.post(DOCUMENTS, {"collection": str(collection.pk), "content": "x"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "does_not_exist"


def test_a_collection_tells_how_far_its_documents_are(teammate: Actor, collection: Collection) -> None:
    for number in range(3):
        DocumentFactory(organization=collection.organization, collection=collection, document_id=str(number))
    Document.objects.filter(document_id="2").soft_delete()
    progress = teammate.by_key.get(f"/api/v1/collections/{collection.pk}/").json()["progress"]
    assert progress == {"pending": 2, "processing": 0, "ready": 0, "failed": 0}


def test_a_model_that_is_not_set_up_is_refused(teammate: Actor) -> None:
    answer = teammate.by_key.post("/api/v1/collections/", {"name": "A", "embedding_model": "nonsense"})
    assert [error["field"] for error in answer.json()["errors"]] == ["embedding_model"]


def test_a_new_collection_has_the_first_model_that_is_set_up(
    owner: Actor, staff: Staff, server: Server, settings: Any, folder: Path
) -> None:
    settings.EMBEDDING_MODELS = settings.EMBEDDING_MODELS[::-1]
    assert settings.EMBEDDING_MODELS[0] == MODEL
    made = owner.by_key.post("/api/v1/collections/", {"name": "By API"})
    assert (made.status_code, made.json()["embedding_model"], made.json()["search_model"]) == (201, MODEL, MODEL)
    imported("By command", str(folder), "--create")
    assert Collection.objects.get(name="By command").embedding_model == MODEL
    form = staff.client.get(pages.url("add", Collection)).content.decode()
    assert f'<option value="{MODEL}" selected>' in form


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "pending"}, 2),
        ({"status": "ready,failed"}, 0),
        ({"metadata": '{"year": 2026}'}, 1),
        ({"search": "contract"}, 1),
        ({"document_id": "a"}, 1),
        ({"created_at_after": "2100-01-01T00:00:00Z"}, 0),
    ],
)
def test_documents_are_filtered(teammate: Actor, collection: Collection, query: dict[str, str], found: int) -> None:
    ours = {"organization": collection.organization, "collection": collection}
    DocumentFactory(**ours, document_id="a", title="Contract", metadata={"year": 2026})
    DocumentFactory(**ours, document_id="b", title="Manual")
    assert len(teammate.by_key.get(DOCUMENTS, {"collection": str(collection.pk), **query}).json()["results"]) == found


def test_only_what_failed_is_retried(teammate: Actor, collection: Collection) -> None:
    document = DocumentFactory(organization=collection.organization, collection=collection)
    answer = teammate.by_key.post(f"{DOCUMENTS}{document.pk}/retry/")
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/transition_conflict/")


def test_a_deleted_document_is_gone_and_its_id_free(teammate: Actor, collection: Collection) -> None:
    document = DocumentFactory(
        organization=collection.organization, collection=collection, document_id="a", content="x"
    )
    ChunkFactory(organization=collection.organization, document=document)
    assert teammate.by_key.delete(f"{DOCUMENTS}{document.pk}/").status_code == 204
    assert teammate.by_key.get(f"{DOCUMENTS}{document.pk}/").status_code == 404
    assert teammate.by_key.get("/api/v1/chunks/").json()["results"] == []
    body = {"collection": str(collection.pk), "document_id": "a", "content": "x"}
    assert teammate.by_key.post(DOCUMENTS, body).status_code == 201


def test_what_is_only_read_may_be_sent_back_and_is_not_taken(teammate: Actor, collection: Collection) -> None:
    document = DocumentFactory(organization=collection.organization, collection=collection)
    address = f"{DOCUMENTS}{document.pk}/"
    other = CollectionFactory(organization=collection.organization)
    shown = teammate.by_key.get(address).json()
    answer = teammate.by_key.patch(address, shown | {"collection": str(other.pk), "version": 9, "title": "New"})
    assert answer.status_code == 200
    assert [answer.json()[name] for name in ("collection", "version", "title")] == [str(collection.pk), 1, "New"]


# --- The admin -------------------------------------------------------------------------------------


def test_staff_upload_several_files_and_read_what_was_refused(staff: Staff, collection: Collection) -> None:
    address = pages.url("action", Collection, collection.pk, "upload")
    assert 'enctype="multipart/form-data"' in staff.client.get(address).content.decode()
    uploads = [
        SimpleUploadedFile("a.md", b"# Valves\n\nCheck them."),
        SimpleUploadedFile("b.png", b"\x89PNG", "image/png"),
        SimpleUploadedFile("empty.md", b""),
        SimpleUploadedFile("c.html", b"<p>Oil the pump.", "text/html"),
        SimpleUploadedFile("again.md", b"# Valves\n\nCheck them."),
    ]
    page = staff.client.post(address, {"uploads": uploads, "language": "en"}, follow=True).content.decode()
    assert {document.document_id for document in collection.documents.all()} == {"a.md", "c.html"}
    assert "“b.png”: Nothing here reads" in page
    assert "“empty.md”: The content is empty." in page
    assert "“a.md”: created." in page
    assert "“again.md”: unchanged; its content is there as “a.md”." in page
    assert "2 pending" in page


def test_an_upload_wants_a_file(staff: Staff, collection: Collection) -> None:
    page = staff.client.post(pages.url("action", Collection, collection.pk, "upload"), {"language": "en"})
    assert "This field is required." in page.content.decode()
    assert not collection.documents.exists()


class Endless(BytesIO):
    """A file that says how much of it was read at once."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        self.most = max(self.most, size if size is not None and size >= 0 else 10**9)
        return b"x" * min(self.most, 10**6)


@pytest.mark.parametrize(
    ("name", "declared"), [("a.rtf", "text/rtf"), ("a.txt", "text/plain"), ("a.rtf", "application/msword")]
)
def test_a_format_that_only_looks_like_text_is_refused(name: str, declared: str) -> None:
    with pytest.raises(ContentRefusedError, match=r"Nothing here reads “application/rtf”.*DOCX") as caught:
        content_of(rb"{\rtf1\ansi Check each valve.\par}", declared=declared, name=name)
    assert caught.value.code == "unsupported"


def test_of_a_file_too_large_no_more_is_read_than_tells_it(settings: Any) -> None:
    settings.DOCUMENT_MAX_BYTES = 100
    file = Endless()
    with pytest.raises(ContentRefusedError, match="at most 100 bytes; this has more"):
        content_of(read_bounded(file), name="a.txt")
    assert file.most == 101


def test_files_too_large_are_refused_by_the_admin_and_the_command(
    staff: Staff, collection: Collection, folder: Path, settings: Any
) -> None:
    settings.DOCUMENT_MAX_BYTES = 25
    large = SimpleUploadedFile("large.txt", b"x" * 26)
    address = pages.url("action", Collection, collection.pk, "upload")
    page = staff.client.post(address, {"uploads": [large], "language": "en"}, follow=True).content.decode()
    assert "“large.txt”: A document has at most 25 bytes; this has more." in page
    out, err = imported("Manuals", str(folder))
    assert "1 new" in out
    assert "b.html: A document has at most 25 bytes" in err


def test_a_download_reads_no_draft(staff: Staff, collection: Collection) -> None:
    document = put(collection, "Check each valve.")
    document.versions.update(draft=b"vectors")
    with CaptureQueriesContext(connection) as queries:
        answer = staff.client.get(pages.url("download", Document, document.pk))
    assert b"".join(answer.streaming_content) == b"Check each valve."
    assert [query["sql"] for query in queries if '"original"' in query["sql"]]
    assert not [query["sql"] for query in queries if '"draft"' in query["sql"]]


def test_staff_see_why_a_document_failed_and_retry_it(staff: Staff, collection: Collection) -> None:
    document = DocumentFactory(
        organization=collection.organization, collection=collection, status="failed", error="It has no text."
    )
    page = staff.client.get(pages.url("change", Document, document.pk)).content.decode()
    assert "It has no text." in page
    assert "It has no text." in staff.client.get(pages.url("changelist", Document)).content.decode()
    staff.client.post(pages.url("action", Document, document.pk, "retry"))
    document.refresh_from_db()
    assert (document.status, document.error) == ("pending", "")


def test_the_list_tells_shortly_what_waits_failed_or_is_under_way(staff: Staff, collection: Collection) -> None:
    known = {"organization": collection.organization, "collection": collection}
    DocumentFactory(**known, status="failed", error="It can't be read. " * 100)
    DocumentFactory(**known, error="The server of openai:small@2 is busy: HTTP 503.")
    lease = {"lease_token": uuid4(), "lease_expires_at": timezone.now()}
    DocumentFactory(**known, **lease, status="processing", expected_chunks=1200, embedded_chunks=320)
    page = staff.client.get(pages.url("changelist", Document)).content.decode()
    assert "320 of 1,200 chunks" in page
    assert "is busy: HTTP 503." in page
    assert 1 <= page.count("can&#x27;t be read.") <= 5


# --- The command -----------------------------------------------------------------------------------


def imported(*arguments: str) -> tuple[str, str]:
    """Return what the command writes, and what it says for its end, on both streams."""
    out, err = StringIO(), StringIO()
    try:
        call_command("import_documents", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        err.write(str(error))
    return out.getvalue(), err.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "a.md").write_text("# Valves\n\nCheck them.")
    (folder / "deep" / "b.html").write_text("<title>Pumps</title><p>Oil them.")
    (folder / "deep" / "copy.md").write_text("# Valves\n\nCheck them.")
    (folder / "empty.txt").write_text("")
    (folder / ".git" / "c.md").write_text("hidden")
    (folder / "d.png").write_bytes(b"\x89PNG")
    (tmp_path / "secret.md").write_text("secret")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    return folder


def test_a_folder_is_imported_and_again_changes_nothing(collection: Collection, folder: Path) -> None:
    out, err = imported("Manuals", str(folder), "--process")
    assert "4 files: 2 new, 1 there already, 1 refused." in out
    assert "2 ready" in out
    assert "Passed over, for no text can be had of their kind: 1 .png." in out
    assert "empty.txt: The content is empty." in err
    assert err.endswith("Of 4 files, 1 can't be had; the reasons stand above.")
    found = {document.document_id: document.title for document in collection.documents.all()}
    assert found == {"docs/a.md": "Valves", "docs/deep/b.html": "Pumps"}
    assert "3 there already" in imported("Manuals", str(folder))[0]
    (folder / "a.md").write_text("# Valves\n\nCheck them twice.")
    assert "1 with a new version" in imported("Manuals", str(folder), "--glob", "*.md")[0]


def test_a_language_that_somebody_gave_stays_until_another_is_said(
    staff: Staff, collection: Collection, folder: Path
) -> None:
    address = pages.url("action", Collection, collection.pk, "upload")

    def upload_one(language: str) -> None:
        file = SimpleUploadedFile("c.md", b"# Pumps\n\nOil them.")
        assert staff.client.post(address, {"uploads": [file], "language": language}).status_code == 302

    upload_one("")
    imported("Manuals", str(folder), "--process")
    for document in collection.documents.all():
        change_document(document=document, language="de")
        process_document(document_id=document.pk)
    for given, expected in (("", "de"), ("fr", "fr")):
        upload_one(given)
        imported("Manuals", str(folder), *(["--language", given] if given else []))
        status = "pending" if given else "ready"
        assert set(collection.documents.values_list("language", "status")) == {(expected, status)}


def test_processing_ends_at_an_embedder_out_of_reach_and_says_what_waits(
    organization: Organization, server: Server, folder: Path
) -> None:
    CollectionFactory(organization=organization, name="Served", embedding_model=MODEL)
    server.answers = [right, *[busy(503, Retry_After="0")] * 3]
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match=r"is busy: HTTP 503\. Workers go on"):
        call_command("import_documents", "Served", str(folder), "--process", stdout=out, stderr=err)
    assert "Processed: 1 ready, 1 waiting." in out.getvalue()
    assert "Processed: 1 processed before, 1 ready." in imported("Served", str(folder), "--process")[0]


def test_the_collection_is_named_by_name_or_id_and_made_when_asked(
    collection: Collection, other_organization: Organization, folder: Path
) -> None:
    assert "new" in imported(str(collection.pk), str(folder))[0]
    assert "--create" in imported("Nothing", str(folder))[1]
    assert "--organization" in imported("Nothing", str(folder), "--create")[1]
    imported("Nothing", str(folder / "a.md"), "--create", "--organization", other_organization.slug)
    assert Collection.objects.get(name="Nothing").organization == other_organization
    CollectionFactory(organization=other_organization, name="Manuals")
    assert "--organization" in imported("Manuals", str(folder))[1]
