"""Health when the store of files fails in the ways of its own library."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.test import override_settings

from tests.core.receiver import receiving
from tests.kit.client import ApiClient
from tests.kit.postgres import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def forbidding() -> Iterator[str]:
    """The address of a store that lets nobody in."""
    with receiving(lambda request: (403, {}, b"")) as store:
        yield store.url("")


KEYS = {"access_key": "any", "secret_key": "one"}


def storage_state(endpoint: str, **options: str) -> Any:
    """Return what `/health/ready` says of a store at this address."""
    config = import_module("botocore.config").Config(retries={"total_max_attempts": 1})
    known = {"bucket_name": "files", "endpoint_url": endpoint, "region_name": "none", "client_config": config}
    store = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**known, **options}}
    with override_settings(STORAGES={"default": store}):
        answer = ApiClient().get("/health/ready")
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    return answer.json()["components"]["storage"]


def check_down(state: Any) -> None:
    assert (state["status"], state["detail"]) == ("down", "The store of files can't be used.")


def test_a_store_that_is_away() -> None:
    check_down(storage_state(f"http://127.0.0.1:{free_port()}", **KEYS))


def test_a_store_that_refuses_us(forbidding: str) -> None:
    check_down(storage_state(forbidding, **KEYS))


def test_a_store_without_credentials(forbidding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    check_down(storage_state(forbidding))
