"""Where uploaded files are kept, as the environment says."""

import pytest

from tests.config.conftest import Project


def test_files_are_kept_in_the_data_folder(project: Project) -> None:
    assert project.setting("STORAGES['default']") == "{'BACKEND': 'django.core.files.storage.FileSystemStorage'}"
    assert project.setting("MEDIA_ROOT") == str(project.data_dir / "media")


@pytest.mark.parametrize("url", ["http://bucket", "s3://", "s3://UPPER/x", "s3://bucket/a b", "/var/files"])
def test_a_wrong_url_is_refused(project: Project, url: str) -> None:
    assert project.refusal(STORAGE_URL=url).startswith(f"STORAGE_URL: got {url!r}; wants s3://BUCKET/FOLDER")


def test_a_missing_package_is_told(project: Project) -> None:
    (project.folder / "sitecustomize.py").write_text('import sys\nsys.modules["storages"] = None\n')
    assert "uv sync --extra s3" in project.refusal(STORAGE_URL="s3://bucket/files")


def test_a_store_is_taken_with_its_place(project: Project) -> None:
    store = project.setting("STORAGES['default']['OPTIONS']", STORAGE_URL="s3://bucket/a?endpoint=https://s3.example")
    assert "'bucket_name': 'bucket', 'location': 'a'" in store
    assert "'endpoint_url': 'https://s3.example'" in store


@pytest.mark.parametrize("name", ["ARTIFACT_MAX_BYTES", "ARTIFACT_MAX_TEXT_BYTES"])
def test_a_wrong_limit_is_refused(project: Project, name: str) -> None:
    for wrong in ("0", "1 GB", "-1"):
        assert project.refusal(**{name: wrong}).startswith(f"{name}: got {wrong!r}; wants a whole number of bytes")
    assert project.setting(name, **{name: "2048"}) == "2048"
