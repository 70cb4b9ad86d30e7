"""Where uploaded files are kept, as the environment says."""

from importlib.util import find_spec

import pytest

from tests.config.conftest import Project


def test_files_are_kept_in_the_data_folder(project: Project) -> None:
    assert project.setting("STORAGES['default']") == "{'BACKEND': 'django.core.files.storage.FileSystemStorage'}"
    assert project.setting("MEDIA_ROOT") == str(project.data_dir / "media")


@pytest.mark.parametrize("url", ["http://bucket", "s3://", "s3://UPPER/x", "s3://bucket/a b", "/var/files"])
def test_a_wrong_url_is_refused(project: Project, url: str) -> None:
    assert project.refusal(STORAGE_URL=url).startswith(f"STORAGE_URL: got {url!r}; wants s3://BUCKET/FOLDER")


@pytest.mark.skipif(find_spec("storages") is not None, reason="the extra s3 is installed")
def test_a_missing_package_is_told(project: Project) -> None:
    assert "uv sync --extra s3" in project.refusal(STORAGE_URL="s3://bucket/files")


@pytest.mark.parametrize("name", ["ARTIFACT_MAX_BYTES", "ARTIFACT_MAX_TEXT_BYTES"])
def test_a_wrong_limit_is_refused(project: Project, name: str) -> None:
    for wrong in ("0", "1 GB", "-1"):
        assert project.refusal(**{name: wrong}).startswith(f"{name}: got {wrong!r}; wants a whole number of bytes")
    assert project.setting(name, **{name: "2048"}) == "2048"
