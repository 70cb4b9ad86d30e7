"""What artifacts leave behind in storage: how it is found, and removed."""

from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from agents.models import StoredContent
from agents.services import artifacts
from core.api import uploads
from core.models import Organization
from tests.agents.test_artifacts import files
from tests.factories.agents.evidence import ArtifactFactory, StoredContentFactory
from tests.factories.agents.work import TaskFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


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
