"""Where uploaded files are kept, as the environment says."""

from ast import literal_eval

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


def test_a_store_is_waited_for_as_long_as_is_said(project: Project) -> None:
    url = "s3://bucket/a?region=eu-central-1"
    asked = "[(each['OPTIONS']['bucket_name'], config.connect_timeout, config.read_timeout, config.retries)"
    asked += " for each in (STORAGES['default'], STORAGES['probe']) for config in [each['OPTIONS']['client_config']]]"

    def retries(attempts: int) -> dict[str, object]:
        return {"mode": "standard", "total_max_attempts": attempts}

    assert literal_eval(project.setting(asked, STORAGE_URL=url)) == [
        ("bucket", 5, 15, retries(2)),
        ("bucket", 2, 2, retries(1)),
    ]
    said = {"STORAGE_CONNECT_TIMEOUT": "1", "STORAGE_READ_TIMEOUT": "60", "STORAGE_ATTEMPTS": "4"}
    assert literal_eval(project.setting(asked, STORAGE_URL=url, **said)) == [
        ("bucket", 1, 60, retries(4)),
        ("bucket", 1, 2, retries(1)),
    ]


@pytest.mark.parametrize("name", ["STORAGE_CONNECT_TIMEOUT", "STORAGE_READ_TIMEOUT", "STORAGE_ATTEMPTS"])
def test_a_wrong_patience_is_refused(project: Project, name: str) -> None:
    assert project.refusal(STORAGE_URL="s3://bucket/a", **{name: "0"}).startswith(
        f"{name}: got '0'; wants a whole number"
    )


@pytest.mark.parametrize("name", ["ARTIFACT_MAX_BYTES", "ARTIFACT_MAX_TEXT_BYTES"])
def test_a_wrong_limit_is_refused(project: Project, name: str) -> None:
    for wrong in ("0", "1 GB", "-1"):
        assert project.refusal(**{name: wrong}).startswith(f"{name}: got {wrong!r}; wants a whole number of bytes")
    assert project.setting(name, **{name: "2048"}) == "2048"
